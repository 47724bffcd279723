"""Labels with ranks are checked and written one way before anything else looks at them."""

from collections.abc import Iterator
from dataclasses import replace

from genomix.data.labels import LabelledRecord
from genomix.errors import DataError
from genomix.ranks import SEPARATOR, levels


def with_even_ranks(items: Iterator[LabelledRecord]) -> Iterator[LabelledRecord]:
    """The same records; labels that hold a `;` without blanks around it, or a `;` at the end.

    Raises:
        DataError: a level is empty, or labels have more levels than others.
    """
    first: tuple[LabelledRecord, int] | None = None
    for item in items:
        if not item.known.label:
            yield item
            continue
        tidy, depth = _tidy(item)
        first = first or (tidy, depth)
        if depth != first[1]:
            raise _uneven(tidy, depth, *first)
        yield tidy


def _tidy(item: LabelledRecord) -> tuple[LabelledRecord, int]:
    if SEPARATOR not in item.known.label:
        return item, 1
    names = levels(item.known.label)
    if not all(names):
        raise DataError(
            f"level {names.index('') + 1} of label {item.known.label!r} is empty",
            where=item.record.where,
            hint=f"a {SEPARATOR} separates the ranks of a label; name an unknown rank, 'unknown' for example",
        )
    return replace(item, known=item.known._replace(label=SEPARATOR.join(names))), len(names)


def _uneven(item: LabelledRecord, depth: int, first: LabelledRecord, expected: int) -> DataError:
    return DataError(
        f"label {item.known.label!r} has {depth} level{'s' * (depth > 1)}, expected {expected} as in {first.known.label!r} of {first.record.where}",
        where=item.record.where,
        hint=f"a {SEPARATOR} separates the ranks of a label: give every label as many, or write another character where none are meant",
    )
