"""`genomix bench`: equality first, then what it costs."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from genomix.cli.choices import Device, bytes_of
from genomix.cli.talk import say
from genomix.errors import OutputError, UsageError
from genomix.outputs import require_file, require_writable

app = typer.Typer(
    help="Measure: the mixing operator beside its peers, training, prediction, preprocessing. Results are compared first, and where they differ there is no speed "
    "and the exit code is 1.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


class Place(StrEnum):
    cpu = "cpu"
    cuda = "cuda"


class Numbers(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"


class Part(StrEnum):
    published = "published"
    lengths = "lengths"
    preset = "preset"


def _file(option: typer.CallbackParam, path: Path | None) -> Path | None:
    """The path, if it is not `-`, as what is printed already stands there, and a file can be written there: after measuring that would be late to hear."""
    if str(path) == "-":
        raise UsageError(
            f"{option.opts[0]} - would mix the figures with what is printed of them", hint=f"{option.opts[0]} FILE names a file"
        )
    if path is not None and not _is_stream(path):
        require_file(path)
        if path.exists() and not _is_ours(path, picture=option.name == "plot"):
            raise OutputError(
                "the file exists, and is not what genomix bench has written", where=str(path), hint=f"{option.opts[0]} names another file"
            )
        require_writable(path)
    return path


def _is_ours(path: Path, *, picture: bool) -> bool:
    """Whether a file is a picture of ours, or figures, or empty: others may be what is measured with, or hours of another program."""
    from genomix.bench.figures import are_figures
    from genomix.bench.plot import is_plot

    return path.stat().st_size == 0 or (is_plot(path) if picture else are_figures(path))


def _is_stream(path: Path) -> bool:
    return path.exists() and not (path.is_file() or path.is_dir())


Json = Annotated[Path | None, typer.Option("--json", help="File for every figure; replaces it.", metavar="FILE", callback=_file)]
Rounds = Annotated[int, typer.Option(help="Timed rounds, of which the median is taken.", min=1)]
Data = Annotated[Path | None, typer.Option(help="Dataset folder [two generated classes].", metavar="DIR")]


@app.command("ops")
def ops(
    *,
    device: Annotated[Place, typer.Option(help="What to measure on.")] = Place.cpu,
    dtype: Annotated[Numbers, typer.Option(help="bfloat16: products in bfloat16, weights in float32.")] = Numbers.float32,
    lengths: Annotated[str, typer.Option(help="Positions, with commas between.")] = "1024,4096,16384,65536",
    operators: Annotated[str, typer.Option(help="Names, with commas between; all is every operator.")] = "all",
    parts: Annotated[list[Part] | None, typer.Option("--part", help="Only this part; may be repeated.")] = None,
    rounds: Rounds = 5,
    limit: Annotated[float, typer.Option(help="Seconds of a step above which an operator is left out at that length.", min=0)] = 10.0,
    memory: Annotated[float | None, typer.Option(help="GiB that a step may take [most of what is free].", min=0)] = None,
    json: Json = None,
    add: Annotated[bool, typer.Option("--add", help="Add to the figures in FILE, if they are of this machine and commit.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="SVG to draw: time and memory against length; replaces it.", metavar="FILE", callback=_file)
    ] = None,
) -> None:
    """The mixing operator: against the published formulation, and beside attention, convolutions, rotations, and a long convolution by FFT."""
    from genomix.bench.figures import read_figures, write_figures
    from genomix.bench.ops import OpsPlan, bench_ops, chosen_lengths, chosen_operators
    from genomix.bench.plot import draw
    from genomix.bench.tables import comparison_lines, ops_lines
    from genomix.devices import require_device

    if add and json is None:
        raise UsageError("--add needs --json FILE, the file to add to")
    if json is not None and plot is not None and json.resolve() == plot.resolve():
        raise UsageError("--json and --plot name one file")
    require_device(device.value)
    plan = OpsPlan(
        lengths=chosen_lengths(lengths),
        operators=chosen_operators(operators),
        parts=tuple(part.value for part in parts or Part),
        rounds=rounds,
        limit=limit,
        memory=bytes_of(memory),
        device=device.value,
        dtype=dtype.value,
    )
    earlier = read_figures(json, **plan.where) if add and json else {}
    outcome = bench_ops(plan, earlier, progress=lambda text: say([text]))
    _print(comparison_lines(outcome.compared))
    _require_agreement(agree=outcome.agree)
    _print(ops_lines(outcome.figures))
    if json is not None:
        write_figures(json, outcome.figures)
    if plot is not None:
        draw(outcome.figures.get("lengths", []), plot, f"{device.value}, {dtype.value}")


@app.command("train")
def train(
    context: typer.Context,
    *,
    data: Data = None,
    preset: Annotated[str, typer.Option(help="Network and recipe.")] = "tiny",
    bases: Annotated[int, typer.Option(help="Bases to generate.", min=1000)] = 4_000_000,
    length: Annotated[int, typer.Option(help="Bases of a generated record.", min=100)] = 10_000,
    steps: Annotated[int, typer.Option(help="Updates to time.", min=1)] = 20,
    device: Annotated[Device, typer.Option(help="What to train on; auto takes an accelerator where there is one.")] = Device.cpu,
    json: Json = None,
) -> None:
    """A training run: tokens a second, and the share of an update that goes into reading, tokenising and collating its records."""
    from genomix.bench.train import bench_train, lines

    if data is not None:
        _require_absent(context, "with --data", "bases", "length")
    else:
        _require_records(bases, length)
    _finish(bench_train(data, preset=preset, bases=bases, length=length, steps=steps, device=device.value), lines, json)


@app.command("predict")
def predict(
    context: typer.Context,
    sequences: Annotated[list[str] | None, typer.Argument(help="Sequence files [generated records].", metavar="FILES")] = None,
    *,
    model: Annotated[Path | None, typer.Option(help="Model folder [an untrained network].", metavar="DIR")] = None,
    preset: Annotated[str, typer.Option(help="Network, where there is no model.")] = "tiny",
    bases: Annotated[int, typer.Option(help="Bases to generate.", min=1000)] = 20_000_000,
    length: Annotated[int, typer.Option(help="Bases of a generated record.", min=100)] = 10_000,
    rounds: Rounds = 5,
    device: Annotated[Device, typer.Option(help="What to run on; auto takes an accelerator where there is one.")] = Device.cpu,
    json: Json = None,
) -> None:
    """A prediction: bases a second, and the shares of parsing, of tokenising and of writing."""
    from genomix.bench.predict import bench_predict, lines

    if sequences:
        _require_absent(context, "with files", "bases", "length")
    else:
        _require_records(bases, length, fewest=1)
    if model is not None:
        _require_absent(context, "with --model", "preset")
    asked = bench_predict(sequences or [], model, preset=preset, bases=bases, length=length, rounds=rounds, device=device.value)
    _finish(asked, lines, json)


@app.command("preprocess")
def preprocess(
    context: typer.Context,
    sequences: Annotated[list[str] | None, typer.Argument(help="NAME=file pairs [two generated classes].", metavar="NAME=FILE")] = None,
    *,
    megabytes: Annotated[int, typer.Option(help="MB of FASTA to generate.", min=1)] = 200,
    length: Annotated[int, typer.Option(help="Bases of a generated record.", min=100)] = 5_000,
    rounds: Rounds = 5,
    json: Json = None,
) -> None:
    """Sequence files to a dataset: MB/s of plain and of gzip files, or of yours as they are, beside decompression alone, and peak memory."""
    from genomix.bench.preprocess import bench_preprocess, lines

    if sequences:
        _require_absent(context, "with files", "megabytes", "length")
    else:
        _require_records(megabytes * 1_000_000, length)
    _finish(bench_preprocess(sequences or [], megabytes=megabytes, length=length, rounds=rounds), lines, json)


def _require_absent(context: typer.Context, why: str, *names: str) -> None:
    """Raises UsageError for an option that was given and would do nothing."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{name} has no effect {why}")


def _require_records(bases: int, length: int, *, fewest: int = 6) -> None:
    """Raises UsageError where so many records can't be generated; of fewer, two classes could not be split in three."""
    if bases < fewest * length:
        asked = f"{fewest} records" if fewest > 1 else "one record"
        raise UsageError(f"{bases:,} bases are less than {asked} of {length:,}", hint="generate more, or give a lower --length")


def _finish(figures: dict[str, Any], lines: Any, json: Path | None) -> None:
    """Print comparison and figures; where the comparison is red, it alone."""
    from genomix.bench.figures import write_figures
    from genomix.bench.tables import comparison_lines

    _print(comparison_lines(figures["comparisons"]))
    _require_agreement(agree=all(each["error"] <= each["tolerance"] for each in figures["comparisons"]))
    _print(lines(figures))
    if json is not None:
        write_figures(json, figures)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def _require_agreement(*, agree: bool) -> None:
    if not agree:
        typer.echo("results differ: no speed is worth printing", err=True)
        raise typer.Exit(1)
