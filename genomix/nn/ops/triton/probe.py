"""Whether Triton works here. That it can be imported does not say so: it needs a C compiler, Python's headers, a cache to load code from, and a GPU that it knows."""

import torch
import triton
import triton.language as tl


@triton.jit
def one(result):
    tl.store(result, 1.0)


def launch(device: torch.device) -> None:
    """Compile the smallest kernel and run it.

    Raises:
        Exception: whatever Triton or the system raises where that fails.
    """
    result = torch.zeros(1, device=device)
    one[1,](result)
    if result.item() != 1:
        raise RuntimeError("a kernel ran and did nothing")
