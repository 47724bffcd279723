"""What a run runs on.

Processes come from a launcher (torchrun, srun), which says how many there are on how many nodes, or are started here (`train.devices`).
"""

import logging
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy, Strategy
from packaging.version import Version

from genomix.devices import require_device
from genomix.errors import SettingsError, UsageError
from genomix.processes import Launched, Processes, launched, noticing_lost_processes
from genomix.train import sharding
from genomix.train.settings import FEWEST_RECORDS, TrainSettings

_PATIENCE = timedelta(hours=6)
"""How long a process waits for another, which may be preprocessing, or fitting baselines; one that has ended is noticed at once, or by the launcher."""


class _Srun(SLURMEnvironment):
    """Fabric's, without its demands on how tasks are asked for: what counts is the step that this process is in."""

    @staticmethod
    def _validate_srun_used() -> None:
        """Known: see `genomix.processes.launched`."""

    @staticmethod
    def _validate_srun_variables() -> None:
        """`srun -n 2` says enough."""

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """They are the step's own."""

    def world_size(self) -> int:
        found = launched()
        assert found is not None, "or another environment was chosen"
        return found.processes.world


def launch(settings: TrainSettings) -> Fabric:
    """The device, precision and processes of a run. With several `devices` this starts the other processes, each of which runs the command from its top.

    Raises:
        UsageError: this machine has no such device.
        SettingsError: an update has too few records for the processes; a launcher started another number of processes than the settings ask for, or different numbers on the nodes.
    """
    kind = require_device(settings.device).type
    found = launched()
    devices, nodes = _layout(settings, found)
    if found is None:
        require_records_for(settings, devices)  # before so many processes are started
    if kind != "cpu" and devices > (there := torch.accelerator.device_count()):
        raise UsageError(f"{devices} devices asked for, and this machine has {there} of kind {kind}", hint="--devices says how many")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    several: dict[str, Any] = {"strategy": _strategy(settings, devices * nodes)} if devices * nodes > 1 else {}
    fabric = Fabric(
        accelerator=settings.device,
        devices=devices,
        num_nodes=nodes,
        plugins=[_environment(found)],
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[settings.precision],  # type: ignore[arg-type]  # Fabric spells its literals out
        **several,
    )
    if several:
        _require_averages(settings, fabric)
    with noticing_lost_processes():
        fabric.launch()
    if not fabric.is_global_zero:
        logging.getLogger("genomix").setLevel(logging.WARNING)  # what the first process says need not be said again
    return fabric


def require_records_for(settings: TrainSettings, processes: int) -> None:
    """Raises SettingsError where an update has fewer records than there are processes to share them."""
    records = settings.max_records or FEWEST_RECORDS
    if records < processes:
        raise SettingsError(
            f"train.max_records is {records}: an update's records are too few for {processes:,} processes",
            hint="fewer processes, or a larger train.max_records",
        )


def joined(device: str) -> Processes:
    """The processes that a launcher started together with this one, brought together to score records on that kind of device; this one alone without a launcher.

    Raises:
        UsageError: this machine has no such device.
    """
    return processes_of(launch(TrainSettings.model_validate({"device": device}))) if launched() else Processes()


def processes_of(fabric: Fabric) -> Processes:
    """The processes that Fabric brought together."""
    return Processes(fabric.global_rank, fabric.world_size)


def _layout(settings: TrainSettings, found: Launched | None) -> tuple[int, int]:
    """Processes of each node, and nodes."""
    if found is None:
        return settings.devices, 1
    if found.per_node is None:
        raise SettingsError(f"{found.by} started different numbers of processes on the nodes, expected the same on each")
    if settings.devices not in (1, found.per_node):
        raise SettingsError(
            f"train.devices is {settings.devices}, and {found.by} started {found.per_node} processes on this node",
            hint=f"--set train.devices=1: {found.by} says how many there are",
        )
    return found.per_node, found.processes.world // found.per_node


def _environment(found: Launched | None) -> ClusterEnvironment:
    if found is None:
        return LightningEnvironment()
    return TorchElasticEnvironment() if found.by == "torchrun" else _Srun()


def _require_averages(settings: TrainSettings, fabric: Fabric) -> None:
    """Raises SettingsError where FSDP2 would give wrong gradients without a word: on CPUs older versions add them up, and don't divide."""
    if settings.strategy == "fsdp" and fabric.device.type == "cpu" and Version(torch.__version__) < Version("2.13"):
        raise SettingsError(
            f"train.strategy is fsdp, which on CPUs needs torch 2.13 or newer; this is {torch.__version__}", hint="--set train.strategy=ddp"
        )


def _strategy(settings: TrainSettings, world: int) -> Strategy:
    if settings.strategy == "fsdp":
        return sharding.strategy(world, _PATIENCE)
    # Short records leave the last factors out, so a process may have parameters without a gradient.
    return DDPStrategy(timeout=_PATIENCE, find_unused_parameters=True)
