"""Intervals that overlap stay on one side of a cluster split; what overlaps across any split is counted."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_data import random_sequence, write_fasta

from genomix.data.clusters import number_by_appearance
from genomix.data.labels import Label, LabelledRecord, LabelSettings
from genomix.data.overlaps import count_overlapping, find_intervals, join_overlapping
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.record_table import RecordTable
from genomix.data.related import related
from genomix.data.splits import SPLITS, TRAIN, SplitSettings
from genomix.data.store import Dataset
from genomix.errors import DataError
from genomix.records import SequenceRecord
from genomix.runs import _data_summary

PLACES = st.lists(st.tuples(st.sampled_from("ab"), st.integers(-1, 60), st.integers(1, 9)), min_size=1, max_size=19)
"""Contig, start (-1: no interval) and length."""


def table_of(places) -> RecordTable:
    table = RecordTable()
    for ordinal, (contig, start, length) in enumerate(places, start=1):
        table.add(LabelledRecord(SequenceRecord("", "", b"", "x.bed", ordinal), Label("x"), contig, start), length, 0)
    return table


def overlap(one, other) -> bool:
    (contig, start, length), (its_contig, its_start, its_length) = one, other
    return contig == its_contig and min(start, its_start) >= 0 and start < its_start + its_length and its_start < start + length


@given(PLACES, st.data())
def test_clusters_are_joined_by_every_chain_of_overlaps_and_by_nothing_else(places, data):
    names = data.draw(st.lists(st.integers(0, 30), min_size=len(places), max_size=len(places)))
    pairs = [(one, other) for one in range(len(places)) for other in range(one) if overlap(places[one], places[other])]
    namings = [["" if number not in pair else "x" for number in range(len(places))] for pair in pairs]
    expected = related([str(name) for name in names], *namings)
    clusters = number_by_appearance(np.array(names))
    found = join_overlapping(clusters, find_intervals(table_of(places), np.arange(len(places))))
    assert found.tolist() == number_by_appearance(expected).tolist()


@given(PLACES, st.data())
def test_held_out_intervals_that_overlap_training_are_counted(places, data):
    sides = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(places), max_size=len(places))))
    train = [place for place, side in zip(places, sides, strict=True) if side == TRAIN]
    expected = {
        SPLITS[split]: sum(
            side == split and any(overlap(place, other) for other in train) for place, side in zip(places, sides, strict=True)
        )
        for split in (1, 2)
    }
    found = count_overlapping(find_intervals(table_of(places), np.arange(len(places))), sides)
    assert found == (expected if any(start >= 0 for _, start, _ in places) else {})


def test_a_long_chain_is_cut_into_even_stretches():
    tiles = [("a", 6 * number, 10) for number in range(45)] + [("b", 6 * number, 10) for number in range(20)]
    intervals = find_intervals(table_of(tiles), np.arange(65))
    assert np.bincount(intervals.stretch).tolist() == [15, 15, 15, 20]
    assert intervals.cut


def windows(folder: Path, *, contigs: int, step: int, pairs: bool = False, method: str = "cluster", more: str = "") -> Dataset:
    """Windows of 100 bases, of two classes in turn, every `step` bases; `pairs`: every other one only 60 bases after the one before. `more` are BED lines."""
    rng = random.Random(0)
    write_fasta(folder / "g.fa", {f"c{number}": random_sequence(rng, 12_000, gc=0.5) for number in range(contigs)})
    starts = [start - (step - 60) * (pairs and number % 2) for number, start in enumerate(range(0, 11_900, step))]
    lines = [f"c{contig}\t{start}\t{start + 100}\t{'xy'[place % 2]}\n" for contig in range(contigs) for place, start in enumerate(starts)]
    (folder / "w.bed").write_text("".join(lines) + more)
    labels = LabelSettings(intervals=str(folder / "w.bed"), genome=str(folder / "g.fa"))
    return preprocess([], PreprocessSettings(labels=labels, split=SplitSettings(method=method)), folder / method)


def test_overlapping_intervals_stay_on_one_side(tmp_path, caplog):
    dataset = windows(tmp_path, contigs=1, step=200, pairs=True)
    sides = dataset.records["split"].tolist()
    assert sides[::2] == sides[1::2]
    assert set(sides) == set(SPLITS)
    assert dataset.records["cluster"].nunique() <= 30 < dataset.info["split"]["clusters"]
    assert dataset.info["split"]["notes"] == ["overlapping intervals stay on one side: 60 of 60, up to 2 together"]
    assert dataset.info["split"]["overlapping"] == {"validation": 0, "test": 0}
    assert "overlap" not in caplog.text


def test_windows_that_tile_a_contig_overlap_across_the_split_only_where_stretches_meet(tmp_path, caplog):
    dataset = windows(tmp_path, contigs=2, step=70)
    assert dataset.info["split"]["notes"][0].endswith(" of 340, up to 19 together, longer chains cut into stretches")
    counts = {split: int((dataset.records["split"] == split).sum()) for split in SPLITS}
    for split, count in dataset.info["split"]["overlapping"].items():
        assert 0 < count <= 0.15 * counts[split]
        assert f"{count} of {counts[split]} {split} records are intervals that overlap one of training" in caplog.text
    assert _data_summary(dataset).overlapping == dataset.info["split"]["overlapping"]


def test_other_splits_of_overlapping_intervals_are_warned_of(tmp_path, caplog):
    dataset = windows(tmp_path, contigs=3, step=70, method="stratified")
    assert dataset.info["split"]["overlapping"]["test"] > 50
    assert "--split cluster keeps overlapping intervals on one side" in caplog.text
    caplog.clear()
    assert windows(tmp_path, contigs=3, step=70, method="sequence").info["split"]["overlapping"] == {"validation": 0, "test": 0}
    assert "overlap" not in caplog.text


def test_a_class_that_overlaps_hold_together_is_named_with_the_reason(tmp_path, caplog):
    dataset = windows(tmp_path, contigs=1, step=200, more="".join(f"c0\t{start}\t{start + 100}\tz\n" for start in (300, 360, 420)))
    [sentence] = dataset.info["split"]["held_back"]
    assert (
        "'z' has no record in validation and test: its 3 records form 1 group that must stay together as near-duplicates or overlapping"
        in sentence
    )
    assert sentence in caplog.text


def test_where_overlaps_leave_nothing_to_hold_out_the_error_says_so(tmp_path):
    with pytest.raises(DataError, match="form 1 group that must stay together") as caught:
        windows(tmp_path, contigs=1, step=20)
    assert caught.value.hint.startswith("overlapping intervals stay together")
    assert "--split sequence" in caught.value.hint
