"""Starts Python code in processes that know of each other, as torchrun starts them, on this machine's CPU with gloo."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).parent
COMMAND = "from genomix.cli.main import run; run()"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun tells a process; a world of 1 is a process that was started by nobody."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "TORCHELASTIC_"))}
    plain |= {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]), "OMP_NUM_THREADS": "1"}
    if world == 1:
        return plain
    told = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    return plain | {name: str(value) for name, value in told.items()} | {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test"}


def start(code: str, *words: str, world: int) -> list[subprocess.Popen]:
    """`python -c code words` in each of `world` processes."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, *words],
            env=environment(rank, world, port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def finish(processes: Sequence[subprocess.Popen], *, timeout: float = 300) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each, once all have ended; those that don't are killed, and fail the test."""
    try:
        said = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, out, err) for process, (out, err) in zip(processes, said, strict=True)]


def run_all(code: str, *words: str, world: int) -> None:
    """Run to the end in each process, which must be a good one."""
    ended = finish(start(code, *words, world=world))
    assert all(returncode == 0 for returncode, _, _ in ended), "\n".join(err for _, _, err in ended)
