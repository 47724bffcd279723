"""GenBank and EMBL flat files: the sequences. Biopython's scanner skips the feature tables, which cost most of a full parse."""

import itertools
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from genomix.errors import DataError, GenomixError
from genomix.formats.opening import display_name
from genomix.formats.sequence_file import ForeignLetterError, SequenceFile, header_text, nucleotides
from genomix.records import SequenceRecord

if TYPE_CHECKING:  # where they run they are imported inside functions: a tenth of a second that FASTA does not need
    from Bio.GenBank.Scanner import InsdcScanner
    from Bio.SeqRecord import SeqRecord

_log = logging.getLogger(__name__)

_BROKEN_HINT = "was the file cut off, or edited by hand?"


def recognises_genbank(head: bytes) -> bool:
    # The files of a GenBank release begin with some lines about the release.
    return head.startswith(b"LOCUS ") or b"Genetic Sequence Data Bank" in head.partition(b"\n")[0]


def recognises_embl(head: bytes) -> bool:
    return head.startswith(b"ID   ")


def read_genbank(file: SequenceFile) -> Iterator[SequenceRecord]:
    """Raises DataError for a foreign letter, a record without its sequence, a broken or a cut record."""
    from Bio.GenBank.Scanner import GenBankScanner

    return _read(file, GenBankScanner(), "GenBank")


def read_embl(file: SequenceFile) -> Iterator[SequenceRecord]:
    """Raises DataError for a foreign letter, a record without its sequence, a broken or a cut record."""
    from Bio.GenBank.Scanner import EmblScanner

    return _read(file, EmblScanner(), "EMBL")


def _read(file: SequenceFile, scanner: "InsdcScanner", format_name: str) -> Iterator[SequenceRecord]:
    entries = scanner.parse_records(file.text, do_features=False)
    warned: set[str] = set()
    for ordinal in itertools.count(1):
        entry, cautions = _next_entry(entries, file.place(ordinal), format_name)
        if entry is None:
            break
        place = file.place(ordinal)
        # Some programs write a dot for an accession that there is none of; then the LOCUS name tells records apart.
        identifier = header_text(entry.name if entry.id in ("", ".") else entry.id or "", place)
        description, where = header_text(entry.description, place), file.place(ordinal, identifier)
        _require_whole(cautions, where, format_name)
        _log_once(cautions, where, warned)
        try:
            sequence = nucleotides(_letters(entry, where))
        except ForeignLetterError as error:
            raise error.at(where) from None
        circular = {"circular": True, "linear": False}.get(str(entry.annotations.get("topology")))
        yield SequenceRecord(
            identifier, description, sequence, file.path, ordinal, notes=header_text(_notes(entry), where), circular=circular
        )
    if ordinal == 1:
        raise DataError(f"no records: found the beginning of a {format_name} file and no record in it", where=display_name(file.path))


def _notes(entry: "SeqRecord") -> str:
    """Organism and lineage, written as NCBI writes them into FASTA headers."""
    lineage = entry.annotations.get("taxonomy")
    said = {"organism": entry.annotations.get("organism"), "taxonomy": ";".join(lineage) if isinstance(lineage, list) else ""}
    return " ".join(f"[{name}={text}]" for name, text in said.items() if text not in (None, "", "."))


def _next_entry(entries: "Iterator[SeqRecord]", where: str, format_name: str) -> "tuple[SeqRecord | None, list[str]]":
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
        raise DataError(f"broken {format_name}: {reason}", where=where, hint=_BROKEN_HINT) from error
    return entry, [str(warning.message).partition("\n")[0] for warning in caught]


def _require_whole(cautions: list[str], where: str, format_name: str) -> None:
    if any(caution.startswith("Premature end") for caution in cautions):
        raise DataError(f"broken {format_name}: the file ends inside a sequence, expected '//'", where=where, hint=_BROKEN_HINT)


def _log_once(cautions: list[str], where: str, warned: set[str]) -> None:
    for caution in cautions:
        if caution not in warned:
            warned.add(caution)
            _log.warning("%s: %s", where, caution)


def _letters(entry: "SeqRecord", where: str) -> str:
    from Bio.Seq import UndefinedSequenceError

    try:
        return str(entry.seq)
    except UndefinedSequenceError:
        hint = "download it in full: 'GenBank (full)' at NCBI, not a record that only names its contigs"
        raise DataError("the record holds no sequence", where=where, hint=hint) from None
