"""Whether the index of a genome leads to its bases. pyfaidx believes any that is no older than the file, and passes over lines that are uneven at their ends.

Three places of each contig are looked at, its header, the end of its first line and the end of its last one. So it takes no pass over the file, nor over what
bgzip decompresses to.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import TYPE_CHECKING

from genomix.errors import DataError

if TYPE_CHECKING:
    from pyfaidx import Faidx, Fasta, IndexRecord

_Read = Callable[[int, int], bytes]
"""(place, size) -> as many of the genome's bytes as there are."""

_HEADER_BYTES, _LONGEST_HEADER = 1 << 8, 1 << 20
_BLANK_BYTES = 1 << 10
"""How far a contig's end is looked for blank lines."""


def require_true(faidx: "Faidx", path: str, *, bgzipped: bool) -> None:
    """Look at every contig that the index names.

    Raises:
        DataError: the index is of another file, or pyfaidx would read other bases than the file's: of lines with a blank at their ends, or a last one that is longer.
    """
    read = _bgzip_read(faidx, path) if bgzipped else _plain_read(faidx)
    contigs = sorted(faidx.index.items(), key=lambda item: item[1].offset)
    starts = [_header_start(read, name, entry) for name, entry in contigs]
    if None in starts:
        name, _ = contigs[starts.index(None)]
        raise _of_another_file(f"no header of {name!r}", path, bgzipped=bgzipped)
    for (name, entry), stop in zip(contigs, [*starts[1:], None], strict=True):
        if entry.rlen and not _is_even(read, entry, stop):
            raise unfit(f"the lines of {name!r} are of different lengths or end in a blank, or {path}.fai is of another file", path)


def bases(genome: "Fasta", contig: str, start: int, end: int, path: str) -> str:
    """What stands there, `start` counted from 0 and `end` not included."""
    try:
        return str(genome[contig][start:end])
    except ValueError:
        # Bytes that are no text; or a block of bgzip begins there, and pyfaidx goes to the end of the one before: 65,536 in full blocks, as Biopython writes them,
        # and an offset has 16 bits.
        faidx, entry = genome.faidx, genome.faidx.index[contig]
        read = _bgzip_read(faidx, path) if hasattr(faidx, "gzi_index") else _plain_read(faidx)
        first, last = (entry.offset + place // entry.lenc * entry.lenb + place % entry.lenc for place in (start, end - 1))
        return read(first, last + 1 - first).translate(None, b"\r\n").decode("ascii", "surrogateescape")


def unfit(why: str, path: str) -> DataError:
    """The error for a file that no index serves."""
    hint = "an index needs unique names, lines of one length, and no blanks in them; seqkit seq -w 80 wraps them anew"
    return DataError(f"can't be indexed: {why}", where=path, hint=hint)


def _of_another_file(found: str, path: str, *, bgzipped: bool) -> DataError:
    files = f"{path}.fai and {path}.gzi; they are" if bgzipped else f"{path}.fai; it is"
    return DataError(f"its index is of another file: found {found} where it leads to", where=path, hint=f"delete {files} made anew")


def _header_start(read: _Read, name: str, entry: "IndexRecord") -> int | None:
    """Where the header is that a contig's first base comes right after; None where that is no header of this name."""
    size, text, start = _HEADER_BYTES, b"", entry.offset
    while start > 0 and b"\n" not in text[:-1] and size <= _LONGEST_HEADER:
        start, size = max(0, entry.offset - size), 16 * size
        text = read(start, entry.offset - start)
    begin = text.rfind(b"\n", 0, -1) + 1
    is_line = len(text) == entry.offset - start and (text.endswith(b"\n") or not entry.rlen) and (begin > 0 or start == 0)
    title = text[begin + 1 :].decode("utf-8", "surrogateescape").lstrip()
    # What ends a name is a blank, and not the same ones for pyfaidx and samtools.
    is_named = text.startswith(b">", begin) and title.startswith(name) and not title[len(name) : len(name) + 1].strip()
    return start + begin if is_line and is_named else None


def _is_even(read: _Read, entry: "IndexRecord", stop: int | None) -> bool:
    """Whether the first line and the last one end where the index has it, and nothing but blanks comes up to the next header (at `stop`, if there's one)."""
    if not entry.lenc:
        return False
    rows, rest = divmod(entry.rlen - 1, entry.lenc)
    first, last = entry.offset + min(entry.lenc, entry.rlen) - 1, entry.offset + rows * entry.lenb + rest
    if stop is not None and last >= stop:
        return False
    line_end, contig_end = read(first, 2), read(last, _BLANK_BYTES)
    ends = all(text and not text[:1].isspace() and text[1:2] in (b"", b"\r", b"\n") for text in (line_end, contig_end))
    return ends and contig_end[1:].lstrip()[:1] in (b"", b">")


def _plain_read(faidx: "Faidx") -> _Read:
    def read(place: int, size: int) -> bytes:
        faidx.file.seek(place)
        return bytes(faidx.file.read(size))

    return read


def _bgzip_read(faidx: "Faidx", path: str) -> _Read:
    from Bio.bgzf import make_virtual_offset

    blocks = [(block.ustart, block.cstart) for block in faidx.gzi_index]

    def read(place: int, size: int) -> bytes:
        start, where = blocks[bisect_right(blocks, (place, float("inf"))) - 1]
        try:
            faidx.file.seek(make_virtual_offset(where, place - start))
            return bytes(faidx.file.read(size))
        except OSError:
            raise
        except Exception as error:  # Biopython raises anything where no block begins
            raise _of_another_file("no block of bgzip", path, bgzipped=True) from error

    return read
