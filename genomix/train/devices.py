"""What a run runs on."""

import logging

from lightning_fabric import Fabric

from genomix.bundle import require_device
from genomix.train.settings import TrainSettings


def launch(settings: TrainSettings) -> Fabric:
    """The device, precision and processes of a run. With several devices this starts the other processes, each of which runs the command from its top."""
    require_device(settings.device)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=settings.device,
        devices=settings.devices,
        # Short records leave the last factors out, so a process may have parameters without a gradient.
        strategy="ddp_find_unused_parameters_true" if settings.devices > 1 else "auto",
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[settings.precision],  # type: ignore[arg-type]  # Fabric spells its literals out
    )
    fabric.launch()
    if not fabric.is_global_zero:
        logging.getLogger("genomix").setLevel(logging.WARNING)  # what the first process says need not be said again
    return fabric
