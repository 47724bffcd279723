"""What all tests stand on: the same number of threads everywhere, no settings from the developer's own environment, the development data where there is any."""

import os
import signal
from pathlib import Path

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch is imported: the tests run in parallel, and sums don't depend on the machine's cores
# Triton's kernels run in its interpreter, on the CPU, unless the tests are started with TRITON_INTERPRET=0 on a machine with a GPU. Read when triton is imported.
os.environ.setdefault("TRITON_INTERPRET", "1")

# Started in the background by a shell the tests, and all programs that they start, would not hear Ctrl-C.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from hypothesis import settings

# A slow machine is no failure, and a failure found today must be found again tomorrow.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("GENOMIX_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def shared() -> Path:
    """The folder of development data sets that may lie beside the checkout; for tests marked `shared`."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no development data sets beside the checkout (../shared/data)")
    return folder
