"""Tables that genomix writes: what any program reads back is what was put in."""

import csv
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from genomix.evaluated import Evaluated, write_evaluated
from genomix.tables import DELIMITERS, number, table_writer

ODD = ["plain", "a,b", 'say "so"', "a\tb", " blank ", "ünï", ""]


@pytest.mark.parametrize("form", DELIMITERS)
def test_what_is_quoted_is_read_back(form, tmp_path):
    path = tmp_path / "table"
    with path.open("w", newline="") as file:
        table_writer(file, form).writerows([ODD, ["x"] * len(ODD)])
    with path.open(newline="") as file:
        assert list(csv.reader(file, delimiter=DELIMITERS[form])) == [ODD, ["x"] * len(ODD)]
    assert b"\r" not in path.read_bytes()


def test_no_number_is_an_empty_cell():
    assert [number(value) for value in (None, 0.0, 0.1234567)] == ["", "0.000000", "0.123457"]


def test_records_without_an_id_or_with_the_same_are_found_by_their_row(tmp_path):
    records = pd.DataFrame({"id": ["other", "", "r", "r"], "source": ["z.fa", "a.fa", "a.fa", "b, c.fa"]})
    evaluated = Evaluated(("x\ty", "z"), np.array([1, 2, 3]), np.array([0, 1, 0]), np.array([[0.75, 0.25], [0.5, 0.5], [0.0, 1.0]]))
    with write_evaluated(evaluated, SimpleNamespace(records=records), tmp_path).open(newline="") as file:
        rows = list(csv.reader(file, dialect="excel-tab"))
    assert rows == [
        ["id", "source", "row", "true_label", "label", "probability", "margin", "prob_x\ty", "prob_z"],
        ["", "a.fa", "2", "x\ty", "x\ty", "0.750000", "0.500000", "0.750000", "0.250000"],
        ["r", "a.fa", "3", "z", "x\ty", "0.500000", "0.000000", "0.500000", "0.500000"],
        ["r", "b, c.fa", "4", "x\ty", "z", "1.000000", "1.000000", "0.000000", "1.000000"],
    ]
