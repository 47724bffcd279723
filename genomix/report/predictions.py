"""Predictions as files: TSV, CSV or JSON lines, and one FASTA a predicted class."""

import csv
import io
import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import quote

from genomix.outputs import atomic_folder, output_text, shortened
from genomix.ranks import ranks_of
from genomix.records import Prediction, SequenceRecord
from genomix.tables import number, table_line, table_writer

COLUMNS = ("id", "length", "status", "label", "probability", "margin", "strand_agreement", "windows")
"""Columns of `predictions.tsv` before the `prob_<class>` ones; where labels have ranks, `rank` follows."""

EXTRA_COLUMNS = ("labels", "novelty")
"""Columns after those, each only where it is asked for, so that a reader of the others need not know."""

_FASTA_WIDTH = 80
_MOST_OPEN_FILES = 64
_SPLIT_MARKER = "genomix-split.txt"


def write_predictions(
    predictions: Iterable[tuple[SequenceRecord, Prediction]],
    classes: Sequence[str],
    output: str,
    *,
    form: Literal["tsv", "csv", "jsonl"] = "tsv",
    split_fasta: Path | None = None,
    extras: Sequence[str] = (),
    force: bool = False,
) -> Counter[str]:
    """Write every prediction in order, and each record into the FASTA of its class; all or nothing, but for `-`.

    Args:
        output: a file, or `-` for stdout.
        form: `tsv`, `csv` or `jsonl`.
        split_fasta: a folder for `<class>.fasta`, the class name percent-encoded, a leading `_` too, and shortened where it is long; records without a class go to `_unclassified.fasta`.
        extras: columns of `EXTRA_COLUMNS` to write too. A set of labels is a line of CSV within its column: `a,b`, or `"a,1",b` where a name has a comma.
        force: replace that folder if it exists.

    Returns:
        How many records ended with each status.

    Raises:
        OutputError: the files can't be written.
    """
    counts: Counter[str] = Counter()
    with output_text(output) as file, _class_files(split_fasta, force=force) as fasta:
        write = row_writer(file, classes, form, extras)
        for record, prediction in predictions:
            write(prediction)
            if fasta is not None:
                fasta.write(record, prediction)
            counts[prediction.status] += 1
    return counts


def counted(counts: Counter[str]) -> str:
    """How many records ended with each status, for people."""
    total = sum(counts.values())
    return f"{total} record{'s' * (total != 1)}: " + ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


def row_writer(
    file: IO[str], classes: Sequence[str], form: str, extras: Sequence[str], *, headed: bool = True
) -> Callable[[Prediction], object]:
    """What writes one prediction after the other, and, where `headed`, the names of the columns before the first; see `write_predictions`."""
    ranked = ["rank"] if ranks_of(classes) else []
    if form == "jsonl":
        return lambda prediction: file.write(json.dumps(_json_row(prediction, classes, [*ranked, *extras]), ensure_ascii=False) + "\n")
    writer = table_writer(file, form)
    header = iter(
        [header_line(classes, form, extras)] if headed else []
    )  # with the first row: stdout stays empty when the input can't be read

    def write(prediction: Prediction) -> None:
        file.writelines(header)
        writer.writerow([*_table_row(prediction, len(classes), ranked), *(_extra(prediction, name) for name in extras)])

    return write


def header_line(classes: Sequence[str], form: str, extras: Sequence[str]) -> str:
    """What stands before the first row."""
    if form == "jsonl":
        return ""
    ranked = ["rank"] if ranks_of(classes) else []
    return table_line([*COLUMNS, *ranked, *(f"prob_{name}" for name in classes), *extras], form)


def _table_row(prediction: Prediction, classes: int, ranked: Sequence[str]) -> list[str]:
    figures = (prediction.probability, prediction.margin, prediction.strand_agreement)
    probabilities = prediction.probabilities or (None,) * classes
    return [
        prediction.id,
        str(prediction.length),
        prediction.status,
        prediction.label,
        *map(number, figures),
        str(prediction.windows),
        *("" if prediction.rank is None else str(prediction.rank) for _ in ranked),
        *map(number, probabilities),
    ]


def _extra(prediction: Prediction, name: str) -> str:
    if name == "novelty":
        return number(prediction.novelty)
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerows([prediction.labels] if prediction.labels else [])
    return line.getvalue()


def _json_row(prediction: Prediction, classes: Sequence[str], more: Sequence[str]) -> dict[str, Any]:
    row = {name: getattr(prediction, name) for name in COLUMNS}
    row |= {"label": prediction.label or None, "probabilities": dict(zip(classes, prediction.probabilities, strict=False))}
    return row | {name: getattr(prediction, name) for name in more}


class _ClassFiles:
    """A FASTA a class, made at its first record. Few are open at a time: a system allows a process some hundreds, and there may be more classes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._files: OrderedDict[str, IO[str]] = OrderedDict()
        stack.callback(self._close_all)

    def write(self, record: SequenceRecord, prediction: Prediction) -> None:
        file = self._file(prediction.label)
        file.write(f">{record.id} {record.description}".rstrip() + "\n")
        letters = record.sequence.decode("ascii")
        for start in range(0, len(letters), _FASTA_WIDTH):
            file.write(letters[start : start + _FASTA_WIDTH] + "\n")

    def _file(self, label: str) -> IO[str]:
        if label not in self._files:
            if len(self._files) == _MOST_OPEN_FILES:
                self._files.popitem(last=False)[1].close()
            self._files[label] = self._path(label).open("a", encoding="utf-8")
        self._files.move_to_end(label)
        return self._files[label]

    def _path(self, label: str) -> Path:
        if not label:
            return self._folder / "_unclassified.fasta"
        name = quote(label, safe=" +,()'")
        if name.startswith("_"):  # those are our own names
            name = f"%5F{name[1:]}"
        name = shortened(name)
        return self._folder / f"{name.replace('.', '%2E') if name.startswith('.') else name}.fasta"

    def _close_all(self) -> None:
        for file in self._files.values():
            file.close()


@contextmanager
def _class_files(folder: Path | None, *, force: bool) -> Iterator[_ClassFiles | None]:
    if folder is None:
        yield None
        return
    with atomic_folder(folder, marker=_SPLIT_MARKER, force=force) as temporary, ExitStack() as stack:
        (temporary / _SPLIT_MARKER).write_text(
            "Written by genomix predict --split-fasta, one FASTA file a predicted class.\n", encoding="utf-8"
        )
        yield _ClassFiles(temporary, stack)
