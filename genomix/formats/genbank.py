"""GenBank and EMBL flat files: the sequences. Biopython's scanner skips the feature tables, which cost most of a full parse."""

import itertools
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from genomix.errors import DataError, GenomixError
from genomix.formats.flat_lines import FlatLines
from genomix.formats.opening import display_name
from genomix.formats.sequence_file import ForeignLetterError, SequenceFile, header_text, nucleotides
from genomix.records import SequenceRecord

if TYPE_CHECKING:  # where they run they are imported inside functions: a tenth of a second that FASTA does not need
    from Bio.GenBank.Scanner import InsdcScanner
    from Bio.SeqRecord import SeqRecord

_log = logging.getLogger(__name__)

_RELEASE_BANNER = "Genetic Sequence Data Bank"
"""In the first of the lines about a release of GenBank, which its files begin with."""
_BROKEN_HINT = "was the file cut off, or edited by hand?"
_FULL_HINT = "download records in full: 'GenBank (full)' at NCBI, efetch -format gbwithparts, not those that only name their contigs"


class _Format(NamedTuple):
    name: str
    sequence: str
    """What the line begins with that the bases stand below."""
    banner: str | None
    """What stands in the first of the lines that a file may begin with."""
    first_line_hint: str


_GENBANK = _Format(
    "GenBank",
    "ORIGIN",
    _RELEASE_BANNER,
    "it reads LOCUS, name, length, bp, blanks between; does a long name run into the length? shorten it (prokka --compliant), or give the FASTA",
)
_EMBL = _Format("EMBL", "SQ", None, "it reads ID   X56734; SV 1; linear; mRNA; STD; PLN; 1859 BP.; is this a protein entry (Swiss-Prot)?")


def recognises_genbank(head: bytes) -> bool:
    return head.startswith(b"LOCUS ") or _RELEASE_BANNER.encode() in head.partition(b"\n")[0]


def recognises_embl(head: bytes) -> bool:
    return head.startswith(b"ID   ")


def read_genbank(file: SequenceFile) -> Iterator[SequenceRecord]:
    """Raises DataError for a foreign letter, a broken or a cut record, anything else between records, and where no record holds its sequence."""
    from Bio.GenBank.Scanner import GenBankScanner

    return _read(file, GenBankScanner(), _GENBANK)


def read_embl(file: SequenceFile) -> Iterator[SequenceRecord]:
    """Raises DataError for a foreign letter, a broken or a cut record, anything else between records, and where no record holds its sequence."""
    from Bio.GenBank import Scanner

    # It reads all that `EmblScanner` reads, and the first lines of IPD-IMGT/HLA. By its public name, SeqIO's "imgt", it would read all features.
    scanner = getattr(Scanner, "_ImgtScanner", Scanner.EmblScanner)
    return _read(file, scanner(), _EMBL)


def _read(file: SequenceFile, scanner: "InsdcScanner", form: _Format) -> Iterator[SequenceRecord]:
    lines = FlatLines(file, start=scanner.RECORD_START, sequence=form.sequence, banner=form.banner)
    entries = scanner.parse_records(lines, do_features=False)
    warned: set[str] = set()
    empty = 0
    for ordinal in itertools.count(1):
        lines.begin(ordinal)
        entry, cautions = _next_entry(entries, file.place(ordinal), form)
        if entry is None:
            break
        place = file.place(ordinal)
        # Some programs write a dot for an accession that there is none of; then the LOCUS name tells records apart.
        identifier = header_text(entry.name if entry.id in ("", ".") else entry.id or "", place)
        description, where = header_text(entry.description, place), file.place(ordinal, identifier)
        _require_whole(cautions, where, form.name)
        _log_once(cautions, where, warned)
        try:
            sequence = nucleotides(_letters(entry))
        except ForeignLetterError as error:
            raise error.at(where) from None
        if not sequence:
            _require_none(entry, lines, where, form)
            empty += not lines.has_sequence
        circular = {"circular": True, "linear": False}.get(str(entry.annotations.get("topology")))
        yield SequenceRecord(
            identifier, description, sequence, file.path, ordinal, notes=header_text(_notes(entry), where), circular=circular
        )
    _tell_empty(empty, ordinal - 1, file.path, form)


def _tell_empty(empty: int, records: int, path: str, form: _Format) -> None:
    """Raise DataError where no record holds a sequence, warn where some don't."""
    if not records:
        raise DataError(f"no records: found the beginning of a {form.name} file and no record in it", where=display_name(path))
    if empty == records:
        found = "the record holds" if records == 1 else f"its {records:,} records hold"
        raise DataError(f"{found} no sequence", where=display_name(path), hint=_FULL_HINT)
    if empty:
        few = f"{empty:,} of {records:,} records hold"
        _log.warning("%s: %s no sequence and are taken as empty; %s", display_name(path), few, _FULL_HINT)


def _notes(entry: "SeqRecord") -> str:
    """Organism and lineage, written as NCBI writes them into FASTA headers."""
    lineage = entry.annotations.get("taxonomy")
    said = {"organism": entry.annotations.get("organism"), "taxonomy": ";".join(lineage) if isinstance(lineage, list) else ""}
    return " ".join(f"[{name}={text}]" for name, text in said.items() if text not in (None, "", "."))


def _next_entry(entries: "Iterator[SeqRecord]", where: str, form: _Format) -> "tuple[SeqRecord | None, list[str]]":
    """Biopython's next record (None at the end), and the first line of each of its warnings."""
    from Bio import BiopythonParserWarning

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", BiopythonParserWarning)
            entry = next(entries, None)
    except (GenomixError, OSError):
        raise
    except Exception as error:  # the scanner slices lines without looking: a broken file raises anything
        # Only its ValueErrors are sentences; the rest say things like "list index out of range".
        reason = str(error).partition("\n")[0].rstrip(":") if isinstance(error, ValueError) else "the lines are not laid out as expected"
        hint = form.first_line_hint if "LOCUS line" in reason or "ID line" in reason else _BROKEN_HINT
        raise DataError(f"broken {form.name}: {reason}", where=where, hint=hint) from error
    return entry, [str(warning.message).partition("\n")[0] for warning in caught]


def _require_whole(cautions: list[str], where: str, format_name: str) -> None:
    if any(caution.startswith("Premature end") for caution in cautions):
        raise DataError(f"broken {format_name}: the file ends inside a sequence, expected '//'", where=where, hint=_BROKEN_HINT)


def _log_once(cautions: list[str], where: str, warned: set[str]) -> None:
    for caution in cautions:
        if caution not in warned:
            warned.add(caution)
            _log.warning("%s: %s", where, caution)


def _letters(entry: "SeqRecord") -> str:
    from Bio.Seq import UndefinedSequenceError

    try:
        return str(entry.seq)
    except UndefinedSequenceError:  # of a length that the first line says
        return ""


def _require_none(entry: "SeqRecord", lines: FlatLines, where: str, form: _Format) -> None:
    """Raise DataError for a record that says where its bases stand, and how many, and has none there."""
    if lines.has_sequence and len(entry):
        message = f"broken {form.name}: found no base below {form.sequence}, expected {len(entry):,}"
        raise DataError(message, where=where, hint=_BROKEN_HINT)
