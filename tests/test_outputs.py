"""A result is whole or not there at all."""

import errno
import os
import signal
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from genomix.errors import OutputError
from genomix.outputs import atomic_file, atomic_folder, require_free


class StoppedError(Exception):
    pass


class SignalledError(BaseException):
    pass


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "x.tsv"
    with atomic_file(path) as file:
        file.write("é\r\n")
        assert not path.exists()
    assert path.read_bytes() == "é\r\n".encode()
    assert names(path.parent) == ["x.tsv"]


def test_bytes(tmp_path):
    with atomic_file(tmp_path / "x.npy", "wb") as file:
        file.write(b"\0\xff")
    assert (tmp_path / "x.npy").read_bytes() == b"\0\xff"


@pytest.mark.parametrize("error", [StoppedError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "x.tsv"
    path.write_text("old")

    def write_half():
        with atomic_file(path) as file:
            file.write("half of the new")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.tsv"]


@pytest.mark.parametrize("call", ["mkdir", "open", "replace", "close", "unlink", "rmdir"])
@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_signal_at_the_worst_moment_leaves_the_old_or_the_new(tmp_path, monkeypatch, call, which):
    """It comes when the system has done what it was asked for, but before the program knows."""
    folder, file = tmp_path / "ds", tmp_path / "x.tsv"
    folder.mkdir()
    (folder / "mark").write_text("old")
    file.write_text("old")
    done, calls = getattr(os, call), []

    def then_a_signal(*args, **named):
        given = done(*args, **named)
        calls.append(call)
        if len(calls) == which:
            signal.raise_signal(signal.SIGUSR1)
        return given

    def end(*_):
        raise SignalledError

    def replace_both():
        with atomic_folder(folder, marker="mark", force=True) as new:
            (new / "mark").write_text("new")
        with atomic_file(file) as text:
            text.write("new")

    before = signal.signal(signal.SIGUSR1, end)
    try:
        with monkeypatch.context() as patched, suppress(SignalledError):
            patched.setattr(os, call, then_a_signal)
            replace_both()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert names(tmp_path) == ["ds", "x.tsv"]
    assert names(folder) == ["mark"]
    assert {(folder / "mark").read_text(), file.read_text()} <= {"old", "new"}


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_files_and_folders_get_the_rights_that_the_user_wants(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_file(tmp_path / "file"):
            pass
        with atomic_folder(tmp_path / "folder", marker="*"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~umask


def test_what_replaces_another_is_for_the_eyes_of_the_same_people(tmp_path):
    (tmp_path / "file").touch(mode=0o640)
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "folder" / "mark").touch()
    with atomic_file(tmp_path / "file"), atomic_folder(tmp_path / "folder", marker="mark", force=True):
        pass
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "folder")] == [0o640, 0o700]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "x.tsv"
    link.symlink_to(tmp_path / "disk" / "y.tsv")
    with atomic_file(link) as file:
        file.write("new")
    assert link.is_symlink()
    assert (tmp_path / "disk" / "y.tsv").read_text() == "new"
    assert names(tmp_path / "disk") == ["y.tsv"]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    with atomic_file(pipe) as file:
        file.write("rows")
    reader.join()
    assert received == ["rows"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("write", [atomic_file, lambda path: atomic_folder(path, marker="*")], ids=["file", "folder"])
def test_a_full_disk_is_one_error_with_a_hint(tmp_path, write):
    with pytest.raises(OutputError) as caught, write(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    expected = f"{tmp_path}/x: cannot write: No space left on device\n  hint: free some space, or write elsewhere with -o"
    assert str(caught.value) == expected
    assert caught.value.exit_code == 73
    assert names(tmp_path) == []


@pytest.mark.parametrize("write", [atomic_file, lambda path: atomic_folder(path, marker="*")], ids=["file", "folder"])
@pytest.mark.parametrize("below", ["x", "y/x"])
def test_a_place_below_a_file_is_an_error(tmp_path, write, below):
    (tmp_path / "file").write_text("data")
    with pytest.raises(OutputError, match="cannot write"), write(tmp_path / "file" / below):
        pass
    assert (tmp_path / "file").read_text() == "data"


def test_a_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OutputError, match="a folder, expected a file"), atomic_file(tmp_path / "x") as file:
        file.write("data")
    assert names(tmp_path) == ["x"]


def test_other_errors_of_the_block_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "x"):
        (tmp_path / "missing input").read_text()


def test_a_folder_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "run"
    with atomic_folder(path, marker="run.toml") as folder:
        (folder / "run.toml").write_text("")
        assert not path.exists()
    assert names(tmp_path / "new") == ["run"]
    assert names(path) == ["run.toml"]


def test_a_failure_leaves_no_folder(tmp_path):
    def fill_half():
        with atomic_folder(tmp_path / "run", marker="*") as folder:
            (folder / "big").write_text("half")
            raise StoppedError

    with pytest.raises(StoppedError):
        fill_half()
    assert names(tmp_path) == []


def old_run(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "run.toml").write_text("old")
    (path / "only in the old one").write_text("")
    return path


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = old_run(tmp_path)
    with atomic_folder(path, marker="run.toml", force=True) as folder:
        (folder / "run.toml").write_text("new")
        assert (path / "run.toml").read_text() == "old"
    assert names(tmp_path) == ["run"]
    assert names(path) == ["run.toml"]
    assert (path / "run.toml").read_text() == "new"


def test_a_failure_leaves_the_old_folder(tmp_path):
    path = old_run(tmp_path)
    with pytest.raises(StoppedError), atomic_folder(path, marker="run.toml", force=True):
        raise StoppedError
    assert names(tmp_path) == ["run"]
    assert (path / "run.toml").read_text() == "old"


def test_an_existing_folder_is_refused_before_any_work(tmp_path):
    path = old_run(tmp_path)
    with pytest.raises(OutputError) as caught, atomic_folder(path, marker="run.toml"):
        pytest.fail("the block must not run")
    assert str(caught.value) == f"{path}: the output folder exists\n  hint: --force replaces it, or give another name"


def test_force_replaces_no_folder_of_somebody_else(tmp_path):
    path = tmp_path / "thesis"
    path.mkdir()
    (path / "chapter.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"no run\.toml in this one"), atomic_folder(path, marker="run.toml", force=True):
        pytest.fail("the block must not run")
    assert names(path) == ["chapter.txt"]


def test_what_is_free(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    require_free(tmp_path / "missing", force=False)
    require_free(tmp_path / "empty", force=False)
    require_free(tmp_path / "file", force=True)
    with pytest.raises(OutputError, match="the output file exists"):
        require_free(tmp_path / "file", force=False)


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "run").mkdir()
    with atomic_folder(tmp_path / "run", marker="*") as folder:
        (folder / "x").write_text("")
    assert names(tmp_path / "run") == ["x"]
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize("place", [".", ".."])
def test_the_folder_that_commands_are_run_from_is_refused_before_any_work(tmp_path, monkeypatch, place):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    with pytest.raises(OutputError, match="run from can't be replaced"), atomic_folder(place, marker="*", force=True):
        pytest.fail("the work began")
    assert names(tmp_path) == ["run"]


def test_a_folder_that_can_not_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mark").write_text("old")
    moves = []

    def fails_to_come(source, target):
        moves.append((source, target))
        if len(moves) == 2:
            raise OSError(errno.EIO, "Input/output error")
        Path(source).rename(target)

    monkeypatch.setattr(os, "replace", fails_to_come)
    with pytest.raises(OutputError, match="Input/output error"), atomic_folder(tmp_path / "run", marker="mark", force=True):
        pass
    assert (tmp_path / "run" / "mark").read_text() == "old"
    assert names(tmp_path) == ["run"]


def test_a_name_as_long_as_names_may_be(tmp_path):
    name = "ü" * 127
    with atomic_file(tmp_path / name) as file:
        file.write("x")
    with atomic_folder(tmp_path / ("f" * 255), marker="*"):
        pass
    assert names(tmp_path) == ["f" * 255, name]
    with pytest.raises(OutputError, match="too long"), atomic_file(tmp_path / ("f" * 256)):
        pass


def test_a_folder_does_not_go_to_standard_output():
    with pytest.raises(OutputError, match="standard output"), atomic_folder("-", marker="*"):
        pass
