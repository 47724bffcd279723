"""`genomix doctor`: is this installation sound, and what can it run on?"""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from genomix.health import Health


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Check the installation.

    Looks at versions, devices, folders, and for other programs of the same name. Ends with 0 where all is well and with 1 where there are problems, which it lists.
    """
    from genomix.health import examine

    health = examine()
    typer.echo(json.dumps(asdict(health), indent=2) if as_json else _report(health))
    if health.problems:
        raise typer.Exit(1)


def _report(health: "Health") -> str:
    return "\n".join(
        [
            *(f"{name:<20}{version}" for name, version in health.versions.items()),
            f"{'cores, threads':<20}{health.cores}, {health.threads}",
            *(
                f"{device.name:<20}{device.description}, {_gigabytes(device.memory)}; factors: {device.factors}"
                for device in health.devices
            ),
            f"{'presets':<20}{', '.join(health.presets)}",
            f"{'manifests':<20}{', '.join(health.manifests)}",
            f"{'temporary files':<20}{health.temporary_folder}",
            "",
            *(f"problem: {problem}" for problem in health.problems),
            *([] if health.problems else ["no problems found"]),
        ]
    )


def _gigabytes(size: int | None) -> str:
    return "memory unknown" if size is None else f"{size / 2**30:.1f} GiB"
