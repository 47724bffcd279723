"""Where the presets (`models/`) and the data manifests (`data_manifests/`) lie: inside an installed wheel, or at the top of a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def resource_folder(name: str) -> Path:
    """The folder `models` or `data_manifests`, in the installed package first and in the checkout second."""
    installed = _PACKAGE / "_shipped" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
