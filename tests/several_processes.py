"""Starts Python code in processes that know of each other, as torchrun starts them, on this machine's CPU with gloo.

They are forked from a process that has loaded the libraries, once for all tests of a worker: loading takes longer than what most tests do with them. What
begins with a fresh interpreter is tested in test_cli.py, test_pipelines.py, test_slurm.py and where test_runs.py trains with `--devices 2`.
"""

import atexit
import multiprocessing
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
COMMAND = "from genomix.cli.main import run; run()"
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["genomix.runs", "genomix.pretraining", "genomix.shards", "torch.distributed.tensor"])


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


class Forked:
    """`python -c code words`, with what a test asks of a `subprocess.Popen`."""

    def __init__(self, code: str, words: Sequence[str], surroundings: dict[str, str]) -> None:
        folder = Path(tempfile.mkdtemp(dir=_folder()))
        self.said = (folder / "out", folder / "err")
        self.process = FORKING.Process(target=_become, args=(code, words, surroundings, self.said), daemon=True)
        self.process.start()

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise TimeoutError(f"the process goes on after {timeout} s")
        return self.process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        out, err = (path.read_text(encoding="utf-8") if path.exists() else "" for path in self.said)
        return out, err


@cache
def _folder() -> Path:
    """Where the processes of this session write what they say."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _become(code: str, words: Sequence[str], surroundings: dict[str, str], said: Sequence[Path]) -> None:
    """In the process that was forked: what the interpreter would do that is started with `-c code words`."""
    for number, path in enumerate(said, start=1):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115 - open as long as the process runs
    os.environ.clear()
    os.environ.update(surroundings)
    sys.argv = ["-c", *words]
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})


def start(code: str, *words: str, world: int) -> list[Forked]:
    """`python -c code words` in each of `world` processes."""
    port = free_port()
    return [Forked(code, words, environment(rank, world, port)) for rank in range(world)]


def finish(processes: Sequence[Forked], *, timeout: float = 300) -> list[tuple[int, str, str]]:
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
