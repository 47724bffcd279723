"""genomix: classify very long DNA and RNA sequences with Paramixer networks."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("genomix-paramixer")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0+uninstalled"
