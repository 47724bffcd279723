"""Explanations as files: a table with a row for each stretch, or a track for genome browsers."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, Literal

from genomix.explain import Explanation
from genomix.outputs import output_text
from genomix.tables import number, table_line, table_writer

COLUMNS = ("id", "start", "end", "status", "label", "probability", "probability_hidden", "effect")


def write_explanations(
    explanations: Iterable[Explanation], output: str, *, form: Literal["tsv", "csv", "bedgraph"] = "tsv"
) -> Counter[str]:
    """Write all explanations in order; all or nothing, but for `-`. Places are those of BED: from 0, the end not included.

    Args:
        output: a file, or `-` for stdout.
        form: `tsv` or `csv`, with one row that gives the status of a record that was not read; `bedgraph` has the effects alone, and nothing of such a record.

    Returns:
        How many records ended with each status.

    Raises:
        OutputError: the file can't be written.
    """
    counts: Counter[str] = Counter()
    with output_text(output) as file:
        for explanation in explanations:
            if not counts and form != "bedgraph":  # with the first row: stdout stays empty when the input can't be read
                file.write(table_line(COLUMNS, form))
            _write(file, explanation, form)
            counts[explanation.status] += 1
    return counts


def _write(file: IO[str], explanation: Explanation, form: str) -> None:
    if form == "bedgraph":
        name = explanation.record.id or "."
        file.writelines(f"{name}\t{each.start}\t{each.stop}\t{each.effect:.6f}\n" for each in explanation.stretches)
    else:
        table_writer(file, form).writerows(_rows(explanation))


def _rows(explanation: Explanation) -> Iterator[tuple[str, ...]]:
    name, status = explanation.record.id, explanation.status
    if not explanation.stretches:
        yield name, "0", str(len(explanation.record.sequence)), status, "", "", "", ""
    whole = number(explanation.probability)
    for each in explanation.stretches:
        yield name, str(each.start), str(each.stop), status, explanation.label, whole, number(each.probability), number(each.effect)
