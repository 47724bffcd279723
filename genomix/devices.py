"""What a network runs on."""

import torch

from genomix.errors import UsageError


def require_device(name: str) -> torch.device:
    """The device of that name, such as `cpu`, `cuda` or `cuda:1`; `auto` is an accelerator where there is one.

    Raises:
        UsageError: this machine has no such device.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"no kind of device: {name!r}", hint="auto, cpu, cuda or mps, and of several one as in cuda:1") from error
    count = torch.accelerator.device_count() if accelerator is not None and accelerator.type == device.type else 0
    if device.type != "cpu" and (device.index or 0) >= count:
        raise UsageError(f"no {name} device on this machine", hint="genomix doctor lists the devices")
    return device
