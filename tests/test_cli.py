"""The command line keeps its promises to a shell: exit codes, one line and a hint for an error, data on stdout and talk on stderr, a quick --help."""

import errno
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

import genomix
from genomix import errors, health
from genomix.cli import main as command_line
from genomix.cli.main import exit_code_of, main
from genomix.cli.talk import say

RUN = [sys.executable, "-c", "from genomix.cli.main import run; run()"]


def raiser(error: BaseException):
    def call() -> None:
        raise error

    return call


def os_error(number: int, path: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.DataError("found '*'", where="a.fa, line 2", hint="protein?"), 65, "genomix: a.fa, line 2: found '*'\n  hint: protein?\n"),
        (errors.Interrupted("stopped"), 75, "genomix: stopped\n"),
        (KeyboardInterrupt(), 130, "genomix: interrupted\n"),
        (typer.Abort(), 130, "genomix: interrupted\n"),
        (typer.Exit(7), 7, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
        (os_error(errno.ENOENT, "x.fa"), 66, "genomix: x.fa: cannot open: No such file or directory\n"),
        (os_error(errno.EACCES, "absent/x"), 73, "genomix: absent/x: cannot write: Permission denied\n"),
        (os_error(errno.EROFS, "x"), 73, "genomix: x: cannot write: Read-only file system\n"),
        (
            os_error(errno.ENOSPC),
            73,
            "genomix: output: cannot write: No space left on device\n  hint: free some space, or write elsewhere with -o\n",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_error_has_its_exit_code_and_its_line(error, code, said, capsys):
    assert exit_code_of(raiser(error)) == code
    assert capsys.readouterr() == ("", said)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, capsys):
    (tmp_path / "x.fa").touch()
    exists = command_line.os.F_OK
    monkeypatch.setattr(
        command_line.os, "access", lambda _, mode: mode == exists
    )  # root may read everything, so the question is answered for it
    assert exit_code_of(raiser(os_error(errno.EACCES, str(tmp_path / "x.fa")))) == 66
    assert capsys.readouterr().err.endswith("x.fa: cannot open: Permission denied\n")


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory.\nLong advice"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
    ids=["python", "cuda", "cpu"],
)
def test_too_little_memory_is_no_bug(error, capsys):
    assert exit_code_of(raiser(error)) == 1
    said = capsys.readouterr().err
    assert said.startswith("genomix: not enough memory")
    assert "hint: " in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 2


@pytest.mark.parametrize(
    "error", [ValueError("surprise"), EOFError("cut off"), OSError(errno.EMFILE, "Too many open files")], ids=lambda e: type(e).__name__
)
def test_a_bug_shows_its_traceback_and_asks_for_a_report(error, capsys):
    assert exit_code_of(raiser(error)) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.splitlines()[-1].startswith(f"genomix: this is a bug in genomix {genomix.__version__}; please report it")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["dcotor"], "No such command 'dcotor'", "did you mean doctor? `genomix --help` lists what there is"),
        (["doctor", "--jsno"], "No such option: --jsno", "did you mean --json? `genomix doctor --help` lists what there is"),
        (["--quite"], "No such option: --quite", "did you mean --quiet? `genomix --help` lists what there is"),
        (["doctor", "-q"], "-q stands before the command", "as in: genomix -q doctor"),
        (["models"], "Missing command", "`genomix models --help` lists what there is"),
        (["predict", "--model", "run", "x.fa"], "predict has no option --model", "the model comes first: genomix predict MODEL SEQUENCES"),
        (["predict", "--model=run", "x.fa"], "predict has no option --model", "the model comes first: genomix predict MODEL SEQUENCES"),
        (["predict"], "Missing argument 'MODEL'", "`genomix predict --help` lists what there is"),
        (["-q", "-v", "doctor"], "--verbose and --quiet exclude each other", None),
    ],
)
def test_wrong_words_end_in_2_with_the_nearest_right_one(words, message, hint, capsys):
    assert main(words) == 2
    assert capsys.readouterr() == ("", f"genomix: {message}\n" + (f"  hint: {hint}\n" if hint else ""))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["preprocess", "a.fa", "--labels", "x.tsv", "--labels=y.tsv", "-o", "d"], "--labels is given twice"),
        (["preprocess", "a.fa", "-o", "d", "--output", "e"], "--output is given twice"),
        (["preprocess", "a.fa", "--fractions", ".8", ".1", ".1", "--fractions", ".6", ".2", ".2", "-o", "d"], "--fractions is given twice"),
        (["train", "a.fa", "--preset", "tiny", "-o", "d", "--preset", "base", "--preset", "tiny"], "--preset is given 3 times"),
        (["bench", "ops", "--lengths", "1024", "--lengths", "4096"], "--lengths is given twice"),
    ],
)
def test_an_option_of_one_value_is_not_given_again(words, message, capsys):
    assert main(words) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"genomix: {message}"
    assert said[1].startswith("  hint: it takes one value: keep one; `genomix ")


def test_flags_and_options_of_several_values_may_be_given_again(capsys):
    again = ["--set", "data.seed=1", "--set", "model.blocks=x", "--circular", "--circular"]
    assert main(["train", "a.fa", "-o", "d", *again]) != 2
    assert "given" not in capsys.readouterr().err


def test_extra_words_end_in_2(capsys):
    assert main(["doctor", "now"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "(now)" in err.splitlines()[0]
    assert len(err.splitlines()) == 2


def test_no_words_at_all_are_wrong_usage_and_get_the_help(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: genomix [OPTIONS] COMMAND")


def test_what_a_command_warns_of_is_said_under_quiet_too(monkeypatch, capsys):
    monkeypatch.setattr(health, "examine", lambda: say(["one", "warning: two"]) or health.Health())
    assert main(["-q", "doctor"]) == 0
    assert capsys.readouterr().err == "warning: two\n"


def test_stdout_is_utf8_whatever_the_locale():
    command = "from genomix.cli import main; main.main = lambda: print('\u03b2') or 0; main.run()"
    environment = os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True, env=environment)
    assert found.stdout.decode("utf-8").strip() == "\u03b2"


def test_the_package_is_a_command_too():
    done = subprocess.run([sys.executable, "-m", "genomix", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"genomix {genomix.__version__}\n"


def test_version_and_help_go_to_stdout(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"genomix {genomix.__version__}\n", "")
    assert main(["-h"]) == 0
    assert capsys.readouterr().out.startswith("Usage: genomix [OPTIONS] COMMAND")


@pytest.mark.parametrize(
    ("flags", "said"),
    [([], "one\nwarning: two\n"), (["-q"], "warning: two\n"), (["-v"], "debug: zero\none\nwarning: two\n")],
    ids=["plain", "quiet", "verbose"],
)
def test_how_much_is_said(flags, said, monkeypatch, capsys):
    def examine() -> health.Health:
        log = logging.getLogger("genomix.somewhere")
        log.debug("zero")
        log.info("%s", "one")
        log.warning("two")
        return health.Health()

    monkeypatch.setattr(health, "examine", examine)
    assert main([*flags, "doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == said
    assert "no problems found" in out
    assert logging.getLogger("genomix").handlers == []


def test_commands_are_listed_in_the_order_of_their_use():
    listed = typer.main.get_command(command_line.app).list_commands(None)
    assert listed == [name for name in command_line.COMMANDS if name in listed]


def test_doctor_tells_what_it_found_as_json(capsys):
    code = main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == (1 if found["problems"] else 0)
    assert {"python", "torch"} <= found["versions"].keys()
    assert found["devices"][0]["name"] == "cpu"
    assert found["devices"][0]["factors"]
    assert {"tiny", "base", "long", "cvpr22"} <= set(found["presets"])
    assert Path(found["temporary_folder"]).is_dir()


def test_doctor_lists_problems_and_ends_in_1(monkeypatch, capsys):
    monkeypatch.setattr(health, "examine", lambda: health.Health(versions={"python": "3"}, problems=["it hurts", "here too"]))
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert "problem: it hurts\nproblem: here too\n" in out
    assert "no problems" not in out
    assert err == ""


def test_doctor_sees_other_programs_of_the_same_name(tmp_path, monkeypatch):
    (tmp_path / "genomix").write_text("#!/bin/sh\n")
    (tmp_path / "genomix").chmod(0o755)
    (tmp_path / "genomix.py").touch()
    own = tmp_path / "own"
    own.mkdir()
    (own / "genomix").write_text("#!/bin/sh\n")
    (own / "genomix").chmod(0o755)
    monkeypatch.setattr(health.sysconfig, "get_path", lambda _: str(own))
    monkeypatch.setattr(health, "version", lambda name: "0.9" if name == "genomix" else "1")
    assert health.other_commands(f"{tmp_path}{os.pathsep}{own}") == [
        f"another command comes first on PATH: {tmp_path / 'genomix'}; this one is {own / 'genomix'}"
    ]
    assert health.other_commands(f"{own}{os.pathsep}{tmp_path}") == []
    assert health.other_modules([str(tmp_path), *sys.path]) == [f"another module genomix lies on Python's path: {tmp_path / 'genomix.py'}"]
    assert health.other_modules(sys.path) == []
    assert "genomix 0.9 is installed" in health.other_distributions()[0]


def test_doctor_sees_a_dependency_that_is_missing_or_too_old():
    found = health.Health()
    health._check_requirement(health.Requirement("no-such-thing-anywhere"), found)
    health._check_requirement(health.Requirement("numpy<1"), found)
    health._check_requirement(health.Requirement("numpy>1"), found)
    assert found.problems[0] == "no-such-thing-anywhere is not installed"
    assert found.problems[1].endswith("is installed, <1 is needed")
    assert len(found.problems) == 2
    assert "numpy" in found.versions


def test_help_is_quick_and_loads_nothing_heavy():
    code = "import sys; from genomix.cli.main import main; main(['--help']); print(*{'torch','numpy','pandas','sklearn','scipy','Bio'} & set(sys.modules), file=sys.stderr)"
    took = []
    for _ in range(3):  # processor time, of which a busy machine gives later but not more
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert "Usage: genomix" in done.stdout
        assert done.stderr == "\n"
    assert min(took) < 0.5


def test_what_is_wrong_with_the_words_of_a_run_is_said_before_torch_is_loaded(tmp_path):
    (tmp_path / "a.fa").write_text(">r\nACGT\n")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.toml").touch()
    data, new = str(tmp_path / "a.fa"), ["-o", str(tmp_path / "run")]
    cases = [
        ([str(tmp_path / "nothere.fa"), *new], 66),
        ([data, *new, "--preset", "tinny"], 78),
        ([data, *new, "--set", "model.chanels=8"], 78),
        ([data, "-o", str(tmp_path / "begun")], 73),
        ([data, "-o", str(tmp_path)], 73),
        ([data, *new, "--init", str(tmp_path), "--resume", "--force"], 2),
    ]
    words = [([command, *rest], code) for command in ("train", "pretrain") for rest, code in cases]
    words.append((["train", data, *new, "--labels", str(tmp_path / "nothere.tsv")], 66))
    code = f"import sys; from genomix.cli.main import main; print([main(each) for each, _ in {words}]); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"{[code for _, code in words]}\n", done.stderr
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "run").exists()


def test_a_reader_that_goes_away_is_no_error():
    with subprocess.Popen([*RUN, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_a_full_disk_is_one_line():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("w") as out:
        done = subprocess.run([*RUN, "--help"], stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 73
    assert done.stderr.startswith("genomix: output: cannot write: No space left on device\n")
    assert "Traceback" not in done.stderr


def test_a_signal_to_end_leaves_nothing_half_written(tmp_path):
    """The second input is a pipe that nobody writes to, so the command is busy for as long as it takes."""
    (tmp_path / "one.fa").write_text(">r\n" + "ACGT" * 50 + "\n")
    os.mkfifo(tmp_path / "pipe.fa")
    words = ["preprocess", f"a={tmp_path / 'one.fa'}", f"b={tmp_path / 'pipe.fa'}", "-o", str(tmp_path / "ds")]
    process = subprocess.Popen([*RUN, *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob(".*.partial")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said.strip().splitlines()[-1]) == (143, "genomix: ended by SIGTERM")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one.fa", "pipe.fa"]


def test_an_output_that_cannot_be_made_is_told_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("genomix.bundle.load_bundle", lambda *_, **__: pytest.fail("the work has begun"))

    def read_only(path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "touch", read_only)
    assert main(["evaluate", "run", "dataset", "-o", str(tmp_path / "ev")]) == 73
    assert "metrics.json: cannot write: Read-only file system" in capsys.readouterr().err


def test_a_memory_that_is_no_amount(capsys):
    assert main(["plan", "--lengths", "1000", "--memory", "inf"]) == 2
    assert "--memory inf: expected a number of GiB" in capsys.readouterr().err


def test_a_sequence_in_place_of_a_file_is_no_output_that_cannot_be_written(capsys):
    assert main(["preprocess", "ACGT" * 80, "-o", "never"]) == 66
    assert "File name too long" in capsys.readouterr().err


def test_shares_that_are_no_numbers(tmp_path, capsys):
    (tmp_path / "one.fa").write_text(">r\nACGT\n")
    words = ["preprocess", f"a={tmp_path / 'one.fa'}", "-o", str(tmp_path / "ds"), "--fractions", "0.7", "0.2", "nan"]
    assert main(words) == 78
    assert "must sum to 1" in capsys.readouterr().err


def test_names_of_files_need_not_be_utf_8(tmp_path):
    """Bytes that are not, as older systems wrote names: into tables, reports and on stdout."""
    sources = [tmp_path / os.fsdecode(name + b"\xe9.fa") for name in (b"a", b"b")]
    for source in sources:
        source.write_text(
            "".join(
                f">{source.stem[0]}{number}\n{('ACGGT' if source is sources[0] else 'CCGAT') * (10 + number)}\n" for number in range(12)
            )
        )
    output = tmp_path / os.fsdecode(b"ds\xe9")
    words = [*RUN, "preprocess", f"a={sources[0]}", f"b={sources[1]}", "-o", str(output), "--split", "stratified"]
    ended = subprocess.run(words, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, os.fsencode(output) + b"\n"), ended.stderr
    assert "a\\udce9.fa" in (output / "records.tsv").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_searched_holds_an_input_that_cannot_be_opened(tmp_path, monkeypatch, capsys):
    """Root may search any, so the system's answers are played."""
    locked = tmp_path / "locked"
    locked.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) in locked.parents or (Path(path) == locked and mode == os.F_OK))
    assert exit_code_of(raiser(PermissionError(errno.EACCES, "Permission denied", str(locked / "a.fa")))) == 66
    assert "cannot open: Permission denied" in capsys.readouterr().err
    assert exit_code_of(raiser(IsADirectoryError(errno.EISDIR, "Is a directory", "/"))) == 73
