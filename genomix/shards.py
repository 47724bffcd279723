"""Prediction shared out over processes that need not know of each other, and that may be killed at any moment and started again.

The input is cut into parts, the same ones however many processes there are. Each process reads it all, answers the parts that are its own and not there yet,
and writes each under its final name when it is whole, into a hidden folder beside the output. Whoever finds all parts there puts them together in input order
and renames the result to the output. The folder's name is a hash of input, model and settings: parts of anything else are never taken.
"""

import hashlib
import json
import logging
import os
import shutil
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from genomix import __version__
from genomix.bundle import Bundle, describe_folder
from genomix.certificate import LengthWatch
from genomix.data.augment import Strand
from genomix.data.store import file_entry
from genomix.errors import UsageError
from genomix.formats import require_readable
from genomix.outputs import atomic_file, require_free, shortened
from genomix.predict import Predictor, new_records
from genomix.processes import Processes, launched
from genomix.records import SequenceRecord
from genomix.report.predictions import counted, header_line, row_writer
from genomix.scorer import PredictSettings

_log = logging.getLogger(__name__)

_SAME_SIZE = 256
"""Parts of a size before they double: many for every process, and of a large input not too many files."""


@dataclass(frozen=True)
class Question:
    """What is to be answered, and how."""

    model: str
    sequences: Sequence[str]
    output: Path
    settings: PredictSettings
    form: Literal["tsv", "csv", "jsonl"] = "tsv"
    strand: Strand | None = None
    prior: np.ndarray | None = None

    @cached_property
    def key(self) -> str:
        """A hash of the content of the sequence files, the model, and all settings that the answers depend on.

        Raises:
            InputMissing: a file is not there.
        """
        described = {
            "genomix": __version__,
            "sequences": [file_entry(Path(path))["sha256"] for path in self.sequences],
            "model": describe_folder(self.model)["checksum"],
            "settings": self.settings.model_dump(mode="json"),
            "form": self.form,
            "strand": self.strand,
            "prior": None if self.prior is None else self.prior.tolist(),
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


@dataclass(slots=True)
class Shares:
    """What came of it.

    Attributes:
        counts: records by status, where the output is there.
        missing: parts that other processes have to make.
        made: parts that this one made.
    """

    counts: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    made: int = 0

    def lines(self, share: Processes, output: str) -> list[str]:
        """What to say of it."""
        if not self.missing:
            return [f"{counted(self.counts)}; written to {output}"]
        return [
            f"share {share.rank + 1} of {share.world}: done, {self.made} parts made now; {self.missing} parts of other shares are not there yet"
        ]


def own_share(word: str | None, output: str, sequences: Sequence[str], *, split_fasta: Path | None = None) -> Processes | None:
    """Which share this process has of a prediction; None where it does it alone.

    Args:
        word: `--shard`'s, such as 3/16; without one torchrun or srun says it. Parts that an earlier try left beside the output are finished, too.

    Raises:
        UsageError: the word says something else, torchrun or srun started this process as well, or the records are to be split up by class.
    """
    share = _own_share(word, output, sequences, resumes=split_fasta is None)
    if share is not None and split_fasta is not None:
        raise UsageError("--split-fasta needs one process that sees all records", hint="leave it out where processes share them")
    return share


def _own_share(word: str | None, output: str, sequences: Sequence[str], *, resumes: bool) -> Processes | None:
    """As `own_share`; `resumes` is whether parts of an earlier try are finished."""
    found = launched()
    if word is not None and found is not None:
        raise UsageError(f"--shard {word}: {found.by} has shared out the records already", hint="leave --shard out")
    if word is not None:
        return shards(word)
    if found is not None:
        if torch.cuda.is_available():
            torch.cuda.set_device(found.local % torch.cuda.device_count())
        return found.processes
    begun = resumes and output != "-" and _has_parts(parts_folder(Path(output))) and all(Path(path).is_file() for path in sequences)
    return Processes() if begun else None


def _has_parts(folder: Path) -> bool:
    """Whether an earlier try left parts; what is done left its marker only."""
    return folder.is_dir() and any(each.is_dir() for each in folder.iterdir())


def shards(word: str) -> Processes:
    """`3/16` -> the third of sixteen.

    Raises:
        UsageError: the word says something else.
    """
    number, _, count = word.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--shard {word}: expected two numbers such as 3/16, the first from 1 to the second")
    return Processes(int(number) - 1, int(count))


def parts_folder(output: Path) -> Path:
    """Where the parts of an output are."""
    target = output.resolve()
    return target.parent / f".{shortened(target.name)}.parts"


def _require_sharable(question: Question, *, force: bool) -> None:
    require_readable(question.sequences)
    for path in question.sequences:
        if path == "-" or not Path(path).is_file():
            raise UsageError(f"{path} can be read only once, and every process reads the whole input", hint="write it to a file first")
    if str(question.output) == "-" or (question.output.exists() and not question.output.is_file()):
        raise UsageError("several processes write one output, which must be a file", hint="-o names it")
    if not _is_whole(question):
        require_free(question.output, force=force)


def predict_shares(bundle: Bundle, question: Question, processes: Processes, *, force: bool = False) -> Shares:
    """Answer this process's share of the records, and put the output together where all are there.

    Args:
        force: replace an output of something else.

    Raises:
        UsageError: an input or the output is a stream.
        InputMissing: a file is not there.
        OutputError: the output exists, is of something else, and `force` is off.
        GenomixError: as `predict` raises.
    """
    _require_sharable(question, force=force)
    if _is_whole(question):
        return Shares(Counter(_marker(question.output)["counts"]))
    predictor = Predictor(bundle, question.settings, strand=question.strand, prior=question.prior)
    folder = parts_folder(question.output) / question.key[:32]
    folder.mkdir(parents=True, exist_ok=True)
    records = new_records(bundle, question.sequences)
    shares, parts = Shares(), 0
    for number, group in groupby(enumerate(predictor.chunks(records)), key=lambda numbered: part_of(numbered[0])):
        parts = number + 1
        path = _path(folder, number)
        if number % processes.world == processes.rank and not path.exists():
            if _is_whole(question):
                break
            try:
                _make_part(path, predictor, bundle, question, (chunk for _, chunk in group))
            except FileNotFoundError:
                if not _is_whole(question):
                    raise
                break
            shares.made += 1
    if _is_whole(question):  # another process was faster, and has cleared the parts away without knowing of one made since
        shutil.rmtree(folder, ignore_errors=True)
        return Shares(Counter(_marker(question.output)["counts"]), made=shares.made)
    there = set(folder.glob("part-*"))
    shares.missing = sum(_path(folder, number) not in there for number in range(parts))
    if shares.missing and _is_whole(question):  # put together, and the parts cleared away, since it was last asked
        return Shares(Counter(_marker(question.output)["counts"]), made=shares.made)
    if shares.missing:
        _warn_of_others(folder)
    else:
        shares.counts = _put_together(folder, parts, predictor, bundle, question)
    return shares


def _warn_of_others(folder: Path) -> None:
    if any(each.is_dir() and each != folder for each in folder.parent.iterdir()):
        _log.warning("%s holds parts of another input, model or settings too: shares of one output must be asked alike", folder.parent)


def part_of(chunk: int) -> int:
    """Which part a chunk of the input belongs to: one chunk a part at first, twice as many after every `_SAME_SIZE` parts."""
    before, size = 0, 1
    while chunk >= _SAME_SIZE * size:
        chunk, before, size = chunk - _SAME_SIZE * size, before + _SAME_SIZE, size * 2
    return before + chunk // size


def _path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:06d}"


def _make_part(path: Path, predictor: Predictor, bundle: Bundle, question: Question, chunks: Iterable[Sequence[SequenceRecord]]) -> None:
    """A line of JSON that sums the part up, at its end because it is known last, and before it the rows."""
    lengths, counts, novelties = LengthWatch(bundle.provenance.get("evaluation")), Counter[str](), []
    with atomic_file(path) as file:
        write = row_writer(file, bundle.classes, question.form, question.settings.columns, headed=False)
        for _, prediction in lengths.watch(chain.from_iterable(map(predictor.answers, chunks))):
            write(prediction)
            counts[prediction.status] += 1
            if prediction.windows:
                novelties.append(prediction.novelty or 0.0)
        rows = file.tell()
        summary = {"counts": counts, "lengths": lengths.counts, "novelties": novelties}
        file.write(json.dumps(summary) + f"\n{rows:020d}\n")


_LAST_LINE = 21


def _read_part(path: Path) -> tuple[bytes, dict[str, Any]]:
    content = path.read_bytes()
    rows = int(content[-_LAST_LINE:])
    return content[:rows], json.loads(content[rows:-_LAST_LINE])


def _put_together(folder: Path, parts: int, predictor: Predictor, bundle: Bundle, question: Question) -> Counter[str]:
    """The output, whole under its name; another process may do the same at the same time, with the same result."""
    target, lengths, novelties = question.output.resolve(), LengthWatch(bundle.provenance.get("evaluation")), array("d")
    whole = folder / f"whole-{os.getpid()}-{os.uname().nodename}"
    counts, digest = Counter[str](), hashlib.sha256()
    try:
        with atomic_file(whole, "wb") as file:
            for content, summary in map(_read_part, (_path(folder, number) for number in range(parts))):
                for piece in ([] if counts else [header_line(bundle.classes, question.form, question.settings.columns).encode()]) + [
                    content
                ]:
                    file.write(piece)
                    digest.update(piece)
                counts.update(summary["counts"])
                lengths.add(*summary["lengths"])
                novelties.extend(summary["novelties"])
        _mark(question, digest.hexdigest(), counts)  # before the output is there: one that is there without would have to be made again
        os.replace(whole, target)
    except FileNotFoundError:
        if not _is_whole(question):
            raise
        return Counter(_marker(question.output)["counts"])  # another process was faster, and has cleared the parts away
    for each in parts_folder(question.output).iterdir():
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
    lengths.warn()
    predictor.remark(novelties)
    return counts


def _marker(output: Path) -> dict[str, Any]:
    path = parts_folder(output) / "done.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _mark(question: Question, digest: str, counts: Counter[str]) -> None:
    with atomic_file(parts_folder(question.output) / "done.json") as file:
        json.dump({"key": question.key, "sha256": digest, "counts": counts}, file)


def _is_whole(question: Question) -> bool:
    """Whether the output is there, made from this input, model and settings."""
    marker = _marker(question.output)
    if not marker or not question.output.is_file() or marker["key"] != question.key:
        return False
    return file_entry(question.output)["sha256"] == marker["sha256"]
