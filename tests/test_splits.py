"""The split: groups stay together, classes are everywhere they can be, one seed gives one split."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from genomix.data.held_back import held_back_classes
from genomix.data.splits import SPLITS, TEST, TRAIN, VALIDATION, SplitSettings, carve_validation, deal, split_name
from genomix.errors import DataError

CLASSES = [f"class {number}" for number in range(6)]


@st.composite
def labelled_groups(draw, *, pure: bool):
    """Labels and group numbers of some records; `pure` groups have records of one class only."""
    groups = draw(st.lists(st.integers(1, 6), min_size=9, max_size=60))
    classes = draw(st.integers(1, 4))
    labels, numbers = [], []
    for number, size in enumerate(groups):
        drawn = [number % classes] * size if pure else draw(st.lists(st.integers(0, classes - 1), min_size=size, max_size=size))
        labels += drawn
        numbers += [number] * size
    order = draw(st.permutations(range(len(labels))))
    labels, numbers = np.array(labels)[order], np.array(numbers)[order]
    common = np.isin(labels, np.flatnonzero(np.bincount(labels) >= 3))
    return labels[common], np.unique(numbers[common], return_inverse=True)[1]


def attempt(labels, groups, settings):
    """The split, or None where there is none to make."""
    try:
        return deal(labels, groups, CLASSES, settings)
    except DataError:
        return None


@given(labelled_groups(pure=False), st.integers(0, 5))
def test_a_group_is_never_separated_and_every_class_is_in_train(data, seed):
    labels, groups = data
    if len(labels) == 0:
        return
    sides = attempt(labels, groups, SplitSettings(seed=seed))
    if sides is None:
        return
    assert set(sides) == {TRAIN, VALIDATION, TEST}
    assert len({(group, side) for group, side in zip(groups, sides, strict=True)}) == len(set(groups))
    assert set(labels[sides == TRAIN]) == set(labels)


@given(labelled_groups(pure=True), st.integers(0, 5))
def test_a_class_of_three_groups_is_in_every_split_and_one_of_fewer_in_train_alone(data, seed):
    labels, groups = data
    if len(labels) == 0:
        return
    sides = attempt(labels, groups, SplitSettings(seed=seed))
    for label in set(labels):
        breadth = len(set(groups[labels == label]))
        if sides is not None:
            assert set(sides[labels == label]) == ({TRAIN, VALIDATION, TEST} if breadth >= 3 else {TRAIN})
        else:
            assert breadth < 3


@given(labelled_groups(pure=False), st.integers(0, 1000))
def test_one_seed_gives_one_split(data, seed):
    labels, groups = data
    if len(labels):
        first, second = (attempt(labels, groups, SplitSettings(seed=seed)) for _ in range(2))
        assert np.array_equal(first, second)


def test_another_seed_gives_another_split():
    labels = np.repeat([0, 1], 50)
    first, second = (deal(labels, np.arange(100), CLASSES, SplitSettings(seed=seed)) for seed in (1, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("fractions", [(0.7, 0.15, 0.15), (0.5, 0.25, 0.25), (0.8, 0.2, 0.0)])
def test_each_class_is_cut_at_the_fractions(fractions):
    labels = np.repeat([0, 1, 2], [1000, 200, 20])
    sides = deal(labels, np.arange(len(labels)), CLASSES, SplitSettings(fractions=fractions))
    for label, count in enumerate((1000, 200, 20)):
        assert np.abs(np.bincount(sides[labels == label], minlength=3) - count * np.array(fractions)).max() <= 1


@given(st.lists(st.integers(7, 40), min_size=1, max_size=40), st.integers(0, 5))
def test_many_small_classes_together_come_as_near_the_fractions_as_one(sizes, seed):
    fractions, labels = np.array((0.7, 0.15, 0.15)), np.repeat(np.arange(len(sizes)), sizes)
    sides = deal(labels, np.arange(len(labels)), [*map(str, sizes)], SplitSettings(seed=seed))
    records = np.zeros((len(sizes), 3), dtype=int)
    np.add.at(records, (labels, sides), 1)
    assert np.abs(records.sum(axis=0) - fractions * len(labels)).max() < 1.5
    assert np.abs(records - np.outer(sizes, fractions)).max() < 1


def test_groups_of_many_sizes_come_near_the_fractions():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), rng.integers(1, 30, size=200))
    labels = groups % 3
    sides = deal(labels, groups, CLASSES, SplitSettings())
    assert np.abs(np.bincount(sides) / len(sides) - (0.7, 0.15, 0.15)).max() < 0.01


def test_a_class_with_fewer_records_than_splits_is_refused():
    with pytest.raises(DataError, match="class 'class 1' has 2 records, expected at least 3: one a split"):
        deal(np.array([0] * 9 + [1] * 2), np.arange(11), CLASSES, SplitSettings())


def test_a_class_of_few_groups_is_named_and_goes_to_train():
    labels, groups = np.array([0] * 9 + [1] * 4), np.array([*range(9), 9, 9, 10, 10])
    sides = deal(labels, groups, CLASSES, SplitSettings())
    assert set(sides[labels == 1]) == {TRAIN}
    [sentence] = held_back_classes(sides, labels, groups, CLASSES[:2])
    assert sentence.startswith("class 'class 1' has no record in validation and test: its 4 records form 2 groups that must stay together")
    assert sentence.endswith("expected at least 3, one a split")


def test_a_class_that_a_split_column_leaves_out_of_a_split_is_named():
    labels, sides = np.array([0, 0, 0, 1, 1]), np.array([TRAIN, VALIDATION, TEST, TRAIN, VALIDATION])
    assert held_back_classes(sides, labels, None, CLASSES[:2]) == ["class 'class 1' has no record in test: expected at least 1"]
    assert held_back_classes(sides[:3], labels[:3], None, CLASSES[:1]) == []


def test_a_class_whose_groups_went_elsewhere_with_those_of_others_is_named():
    labels, sides = np.array([0, 0, 0, 1, 1, 1]), np.array([TRAIN, VALIDATION, TEST, TRAIN, TRAIN, VALIDATION])
    [sentence] = held_back_classes(sides, labels, np.array([0, 1, 2, 0, 3, 1]), CLASSES[:2])
    assert sentence.endswith("its 3 records form 3 groups that must stay together, and other classes share them")


def test_one_cluster_cannot_be_split():
    with pytest.raises(DataError, match="no record is left for test: the 10 records form 1 group that") as caught:
        deal(np.array([0, 1] * 5), np.zeros(10, dtype=int), CLASSES, SplitSettings())
    assert "--similarity" in caught.value.hint


def test_validation_is_carved_from_train_alone():
    labels = np.repeat([0, 1], [60, 40])
    given_sides = np.where(np.arange(100) % 5 == 0, TEST, TRAIN).astype(np.int8)
    carved = carve_validation(given_sides, labels, np.arange(100), SplitSettings())
    assert np.array_equal(carved == TEST, given_sides == TEST)
    assert Counter(carved.tolist()) == {TRAIN: 66, VALIDATION: 14, TEST: 20}
    assert set(labels[carved == VALIDATION]) == {0, 1}


def test_validation_is_carved_without_separating_a_group():
    labels, groups = np.repeat([0, 1], [60, 40]), np.arange(100) // 2
    given_sides = np.where(groups % 5 == 0, TEST, TRAIN).astype(np.int8)
    carved = carve_validation(given_sides, labels, groups, SplitSettings())
    assert all(len(set(carved[groups == group])) == 1 for group in np.unique(groups))
    assert (carved == VALIDATION).any()


def test_validation_that_no_class_can_give():
    with pytest.raises(
        DataError, match="no record is left for validation: none of the classes has two of the 2 training records"
    ) as caught:
        carve_validation(np.array([TRAIN, TRAIN, TEST], dtype=np.int8), np.array([0, 1, 1]), np.arange(3), SplitSettings())
    assert "split column" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "name"),
    [("train", "train"), (" Val ", "validation"), ("valid", "validation"), ("dev", "validation"), ("TEST", "test"), ("held-out", None)],
)
def test_names_of_splits(text, name):
    assert split_name(text) == name
    assert name is None or name in SPLITS


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.2), (1.0, 0.0, 0.0), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_fractions_that_are_none_are_refused(fractions):
    with pytest.raises(ValidationError, match="sum to 1"):
        SplitSettings(fractions=fractions)
