"""Labels with ranks are checked and written one way before anything else looks at them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from genomix.data.labels import LabelledRecord
from genomix.errors import DataError
from genomix.ranks import SEPARATOR, levels


def with_even_ranks(items: Iterator[LabelledRecord], known: Iterable[str] = ()) -> Iterator[LabelledRecord]:
    """The same records; labels that hold a `;` without blanks around it, or a `;` at the end.

    Args:
        known: labels that are known before a record is read, for an error that counts them.

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
            raise _uneven((tidy, depth), first, known)
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


def _uneven(found: tuple[LabelledRecord, int], first: tuple[LabelledRecord, int], known: Iterable[str]) -> DataError:
    (item, depth), (other, expected) = found, first
    labels = {item.known.label, other.known.label, *(SEPARATOR.join(levels(label)) for label in known if label)}
    by_depth: dict[int, list[str]] = {}
    for label in sorted(labels):
        by_depth.setdefault(label.count(SEPARATOR) + 1, []).append(label)
    filled = min(item.known.label, other.known.label, key=lambda label: label.count(SEPARATOR))
    filled += f"{SEPARATOR}unknown" * (max(by_depth) - min(depth, expected))
    counts = ", ".join(f"{len(same):,} of {_counted(number)} ({same[0]!r})" for number, same in sorted(by_depth.items()))
    return DataError(
        f"label {item.known.label!r} has {_counted(depth)}, expected {expected} as in {other.known.label!r} of {other.record.where}"
        + (f"; labels in all: {counts}" if len(labels) > 2 else ""),
        where=item.record.where,
        hint=f"a {SEPARATOR} separates the ranks of a label: give every label as many, such as {filled!r}, "
        "or write another character where none are meant",
    )


def _counted(number: int) -> str:
    return f"{number} level{'s' * (number > 1)}"
