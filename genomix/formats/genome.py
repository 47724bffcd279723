"""Random access to a genome's FASTA through pyfaidx, without loading it.

pyfaidx keeps an index beside the file (`.fai`, and `.gzi` for bgzip), as samtools does. Where that can't be written, and where the file's name misleads
pyfaidx (it tells bgzip by the name), the index is made in a temporary folder, beside a link to the file.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from genomix.errors import DataError, UsageError
from genomix.formats.genome_index import require_true, unfit
from genomix.formats.opening import STDIN, compression, input_missing, open_bytes
from genomix.formats.sequence_file import UTF8_MARK

if TYPE_CHECKING:
    from pyfaidx import Fasta

_log = logging.getLogger(__name__)

_BGZIP_NAMES = (".gz", ".bgz")
_REFUSED_NAMES = (".bz2", ".zip")  # pyfaidx refuses these unread
_BGZIP_EXTRA = b"BC\x02\x00"


@contextmanager
def open_genome(path: str) -> "Iterator[Fasta]":
    """A plain or bgzip FASTA, indexed: `genome_index.bases` reads a region of it, `len(genome[contig])` is in bases.

    Raises:
        UsageError: standard input.
        InputMissing: no such file, or it can't be read.
        DataError: another compression, no FASTA, lines of unequal length, two contigs of one name, an index of another file.
    """
    from pyfaidx import FastaIndexingError

    bgzipped = _is_bgzip(path)
    with ExitStack() as stack:
        try:
            genome = _open_in_place(path, bgzipped=bgzipped) or _open_beside_link(path, stack, bgzipped=bgzipped)
        except (FastaIndexingError, ValueError) as error:
            raise unfit(str(error), path) from error
        except RuntimeError as error:  # pyfaidx's word for what it did not foresee, such as several blank lines at the end
            raise unfit("pyfaidx fails on its lines", path) from error
        stack.callback(genome.close)
        require_true(genome.faidx, path, bgzipped=bgzipped)
        yield genome


def _is_bgzip(path: str) -> bool:
    """Whether the file is bgzip; raises for what can't be read at random places."""
    if path == STDIN:
        raise UsageError("a genome is read at random places, not from standard input", hint="name its FASTA file")
    try:
        with open(path, "rb") as file:
            head = file.read(18)
    except OSError as error:
        raise input_missing(error, path) from error
    kind = compression(head)
    bgzipped = kind == "gz" and head[12:16] == _BGZIP_EXTRA
    if kind is not None and not bgzipped:
        hint = "compress it with bgzip instead of gzip, or decompress it"
        raise DataError(f"found {kind} compression, expected plain FASTA or bgzip for reading at random places", where=path, hint=hint)
    _require_fasta(path)
    return bgzipped


def _require_fasta(path: str) -> None:
    with open_bytes(path) as stream:
        head = stream.peek(1)
    if head.startswith(UTF8_MARK):
        hint = f"an index needs the FASTA without it; from plain text, tail -c +{len(UTF8_MARK) + 1} OLD > NEW removes it"
        raise DataError("found a byte-order mark (UTF-8) at the beginning, expected '>'", where=path, hint=hint)
    if not head.lstrip().startswith((b">", b";")):
        raise DataError("found no '>' at the beginning, expected a FASTA", where=path)


def _open_in_place(path: str, *, bgzipped: bool) -> "Fasta | None":
    """Open with the index beside the file; None where that index is neither there nor writable, or the name misleads."""
    name = path.lower()
    if name.endswith(_BGZIP_NAMES) != bgzipped or name.endswith(_REFUSED_NAMES):
        return None
    ready = _is_current(path, ".fai") and (not bgzipped or _is_current(path, ".gzi"))
    if not ready:
        if not os.access(Path(path).parent, os.W_OK):
            return None
        _log.info("indexing %s, once: the index is kept in %s.fai", path, path)
    try:
        return _open(path)
    except OSError:  # the index belongs to somebody else, or the disk is full
        return None


def _open_beside_link(path: str, stack: ExitStack, *, bgzipped: bool) -> "Fasta":
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="genomix-index-")))
    link = folder / ("genome.fa.gz" if bgzipped else "genome.fa")
    link.symlink_to(Path(path).resolve())
    _log.info("indexing %s, in a temporary folder: no index can be kept beside it", path)
    try:
        return _open(str(link))
    except OSError as error:
        raise input_missing(error, path) from error


def _open(path: str) -> "Fasta":
    from pyfaidx import Fasta

    return Fasta(path, as_raw=True, strict_bounds=True)


def _is_current(path: str, ending: str) -> bool:
    index = Path(path + ending)
    return index.exists() and index.stat().st_mtime >= Path(path).stat().st_mtime
