"""The command line: which commands there are, what is said on stderr, and the one place where errors are printed and become exit codes.

stdout carries data, stderr carries talk. Exit codes beyond those of `genomix.errors`: 130 Ctrl-C, 138 and 143 SIGUSR1 and SIGTERM where no state is to be
saved, 141 the reader of our output went away (all as a shell reports them of any program), 1 a bug, or not enough memory.
"""

import errno
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

import genomix
from genomix.cli import bench, data, demo, doctor, evaluate, explain, models, plan, predict, preprocess, pretrain, train
from genomix.errors import GenomixError, InputMissing, OutOfMemory, UsageError, is_out_of_memory
from genomix.outputs import CANNOT_WRITE, output_error
from genomix.processes import leave

BUG = 1
INTERRUPTED = 130
PIPE_CLOSED = 141

COMMANDS = ("demo", "preprocess", "pretrain", "train", "evaluate", "predict", "explain", "plan", "models", "data", "bench", "doctor")
"""In the order in which a newcomer needs them."""

_CommandLineError = typer.BadParameter.__mro__[1]
"""What all of typer's complaints are; typer itself gives a name only to this subclass."""

_log = logging.getLogger("genomix")


class _Ended(BaseException):
    """A signal asks the process to end. An exception, so that what is half written is removed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def _end(number: int, _frame: FrameType | None) -> None:
    raise _Ended(number)


class _InUsersOrder(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=COMMANDS.index)


class _EachOnce(TyperCommand):
    """Refuses an option of one value that is given again: what was said first would be forgotten without a word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = self.make_parser(ctx).parse_args(args=list(args))[2]
        for option in self.get_params(ctx):
            times = given.count(option)
            if times > 1 and isinstance(option, TyperOption) and not (option.multiple or option.is_flag or option.count):
                name = max(option.opts, key=len)
                raise UsageError(
                    f"{name} is given {'twice' if times == 2 else f'{times} times'}",
                    hint=f"it takes one value: keep one; `{ctx.command_path} --help` lists what there is",
                )
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_InUsersOrder,
    add_completion=False,
    rich_markup_mode=None,  # plain text: boxes break in pipes and logs
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("demo")(demo.demo)
app.command("preprocess")(preprocess.preprocess)
app.command("pretrain")(pretrain.pretrain)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("explain")(explain.explain)
app.command("plan")(plan.plan)
app.add_typer(models.app, name="models", no_args_is_help=False)  # without a word it is wrong usage, one line like any other
app.add_typer(data.app, name="data", no_args_is_help=False)
app.add_typer(bench.app, name="bench", no_args_is_help=False)
app.command("doctor")(doctor.doctor)
for _each in (app, models.app, data.app, bench.app):
    for _command_info in _each.registered_commands:
        _command_info.cls = _EachOnce


@app.callback(invoke_without_command=True)
def _top(
    ctx: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only warnings and errors.")] = False,
) -> None:
    """Classify very long DNA and RNA sequences with Paramixer networks.

    `genomix demo` shows the whole way on bundled data. With your own files: train, then predict.
    """
    if version:
        typer.echo(f"genomix {genomix.__version__}")
        raise typer.Exit
    if verbose and quiet:
        raise UsageError("--verbose and --quiet exclude each other")
    _log.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help(), err=True)
        raise typer.Exit(UsageError.exit_code)


def run() -> None:
    """The console command `genomix`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # UTF-8 as all files that are written: ids and labels need not fit a terminal's encoding, nor names of files be UTF-8.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    for number in (signal.SIGTERM, signal.SIGUSR1):  # what `timeout` and schedulers send; training has handlers of its own
        signal.signal(number, _end)
    code = main()
    try:
        sys.stdout.flush()
    except OSError:  # the interpreter flushes once more when it ends, and would end with a code of its own; let that go nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    leave(code)
    sys.exit(code)


def main(argv: list[str] | None = None) -> int:
    """Run one command line (default: this process's) and give its exit code."""
    words = sys.argv[1:] if argv is None else argv
    with _talk():
        return exit_code_of(lambda: _command(words))


def _command(words: list[str]) -> None:
    # Not `app()`: typer's own boundary would print errors its way, and turn the EOFError of a broken file into "Aborted!".
    group = typer.main.get_command(app)
    with group.make_context("genomix", list(words)) as context:
        group.invoke(context)
    sys.stdout.flush()  # here, where a closed pipe or a full disk is still reported


def exit_code_of(call: Callable[[], None]) -> int:
    """Make the call, print what goes wrong, and give the exit code."""
    try:
        call()
    except typer.Exit as ended:
        return ended.exit_code
    except (KeyboardInterrupt, typer.Abort, _Ended) as ended:
        _say(str(ended) or "interrupted")
        return ended.exit_code if isinstance(ended, _Ended) else INTERRUPTED
    except BrokenPipeError:
        return PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the boundary: whatever it is, it ends as a message and a code
        known = _as_genomix_error(error)
        if known is None:
            traceback.print_exc()
            _say(f"this is a bug in genomix {genomix.__version__}; please report it with the lines above and your command line")
            return BUG
        _say(str(known))
        return known.exit_code
    return 0


def _as_genomix_error(error: Exception) -> GenomixError | None:
    """The error as one that a user can do something about; None if it is a bug."""
    if isinstance(error, GenomixError):
        return error
    if isinstance(error, _CommandLineError):
        return _usage_error(error)
    if isinstance(error, OSError):
        return _file_error(error)
    if is_out_of_memory(error):
        what = ": " + str(error).splitlines()[0] if str(error) else ""
        return OutOfMemory(f"not enough memory{what}", hint="genomix plan says what a preset needs")
    return None


def _usage_error(error: Any) -> UsageError:
    """A complaint of typer's in our form: what is wrong in the first line, its guess at the word that was meant in the hint."""
    path = error.ctx.command_path if error.ctx else "genomix"
    option = getattr(error, "option_name", None)
    if option in {"-v", "--verbose", "-q", "--quiet", "--version"}:
        return UsageError(f"{option} stands before the command", hint="as in: " + path.replace("genomix", f"genomix {option}", 1))
    if path in {"genomix predict", "genomix explain"} and option == "--model":
        command = path.removeprefix("genomix ")
        return UsageError(f"{command} has no option --model", hint=f"the model comes first: {path} MODEL SEQUENCES")
    guesses = getattr(error, "possibilities", None) or []
    message = " ".join((error.message if guesses else error.format_message()).split())
    message, _, guess = message.replace(": Value error, ", ": ").partition(" Did you mean ")
    guess = guess.strip("'?") or " or ".join(guesses)
    hint = f"did you mean {guess}? " if guess else ""
    return UsageError(message.rstrip("."), hint=f"{hint}`{path} --help` lists what there is")


def _file_error(error: OSError) -> GenomixError | None:
    path = error.filename if isinstance(error.filename, str) else "output"
    around = [each for each in Path(path).absolute().parents if os.access(each, os.F_OK)]
    hidden = bool(around) and not os.access(around[0], os.X_OK)
    unreadable = error.errno in {errno.EACCES, errno.EPERM} and (hidden or (os.access(path, os.F_OK) and not os.access(path, os.R_OK)))
    if isinstance(error, FileNotFoundError) or unreadable or error.errno == errno.ENAMETOOLONG:  # outputs see to their own
        return InputMissing(f"cannot open: {error.strerror}", where=path)
    return output_error(error, path) if error.errno in CANNOT_WRITE else None


def _say(text: str) -> None:
    sys.stderr.write(f"genomix: {text}\n")


class _Talk(logging.Handler):
    """Log records as plain lines on stderr, above a progress bar where one is drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        line = prefix + record.getMessage()
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
        else:
            sys.stderr.write(line + "\n")


@contextmanager
def _talk() -> Iterator[None]:
    """The package's log on stderr, for as long as a command runs."""
    handler = _Talk()
    _log.addHandler(handler)
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.setLevel(logging.NOTSET)
