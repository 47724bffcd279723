"""Records to batches: what every plan, crop and change of bases must hold."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genomix.data.augment import AugmentSettings, augment, mean_length, reverse_complement
from genomix.data.batches import PADDING, collate, max_bases, plan_epoch, similar_lengths, tokenize
from genomix.records import OTHER
from genomix.tokenizers import TokenizerSettings, build_tokenizer

UNCHANGED = AugmentSettings(substitutions=0, rotate=False)

lengths_of_records = st.lists(st.integers(1, 5_000), min_size=1, max_size=200).map(np.array)


@given(st.integers(1, 200), st.integers(1, 20), st.integers(0, 3))
def test_an_epoch_has_every_record_once_and_no_update_too_many(records, most, epoch):
    plan = plan_epoch(records, max_records=most, seed=1, epoch=epoch)
    assert sorted(np.concatenate(plan)) == list(range(records))
    assert all(len(update) == most for update in plan[:-1])
    assert 1 <= len(plan[-1]) <= most


def test_a_plan_is_a_function_of_seed_and_epoch():
    def plan(seed, epoch):
        return [update.tolist() for update in plan_epoch(60, max_records=8, seed=seed, epoch=epoch)]

    assert plan(3, 1) == plan(3, 1)
    assert plan(3, 1) != plan(3, 2)
    assert plan(3, 1) != plan(4, 1)


@given(lengths_of_records, st.integers(100, 10_000), st.integers(1, 20))
def test_parts_hold_each_record_once_within_budget_and_count_and_pad_little(lengths, budget, most):
    parts = similar_lengths(lengths, token_budget=budget, max_records=most)
    assert sorted(np.concatenate(parts)) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or len(part) * lengths[part].max() <= budget
        assert len(part) <= most
        assert lengths[part].max() <= 1.25 * lengths[part].min() + 512


def test_records_of_one_length_are_one_part():
    assert [part.tolist() for part in similar_lengths(np.array([700, 700, 700]), token_budget=2_100, max_records=16)] == [[0, 1, 2]]
    assert [part.tolist() for part in similar_lengths(np.array([700, 4_000, 800]), token_budget=10**6, max_records=16)] == [[0, 2], [1]]


def test_a_part_is_filled_before_the_next_begins():
    parts = similar_lengths(np.array([40, 10, 10, 40, 10]), token_budget=80, max_records=3)
    assert [part.tolist() for part in parts] == [[1, 2, 4], [0, 3]]
    assert similar_lengths(np.zeros(0, dtype=int), token_budget=80, max_records=3) == []


def test_collating_pads_on_the_right():
    batch = collate([np.array([1, 2, 3], np.int32), np.array([4], np.int32)], [True, False], [0, 1], [7, 9])
    assert batch.tokens.tolist() == [[1, 2, 3], [4, PADDING, PADDING]]
    assert (batch.lengths.tolist(), batch.circular.tolist(), batch.labels.tolist(), batch.records) == (
        [3, 1],
        [True, False],
        [0, 1],
        (7, 9),
    )
    assert batch.tokens.dtype == torch.int32


@pytest.mark.parametrize("circular", [True, False])
@pytest.mark.parametrize(("k", "stride"), [(1, 1), (6, 1), (6, 3), (4, 7)])
def test_the_longest_record_that_fits_is_the_longest(k, stride, circular):
    tokenizer = build_tokenizer(TokenizerSettings(k=k, stride=stride))
    longest = max_bases(20, tokenizer, circular=circular)
    codes = np.zeros(longest + 3 * stride, np.uint8)
    assert len(tokenize(codes[:longest], tokenizer, circular=circular)) <= 20
    assert len(tokenize(codes[: longest + stride], tokenizer, circular=circular)) > 20


def test_a_ring_has_the_kmers_across_its_joint():
    tokenizer = build_tokenizer(TokenizerSettings(k=3))
    codes = np.random.default_rng(0).integers(0, 4, 50).astype(np.uint8)
    ids, turned = (tokenize(each, tokenizer, circular=True) for each in (codes, np.roll(codes, 7)))
    assert len(ids) == 50
    assert np.array_equal(np.roll(ids, 7), turned)


codes_of_record = st.lists(st.integers(0, OTHER), min_size=1, max_size=300).map(lambda codes: np.array(codes, np.uint8))


@given(codes_of_record, st.integers(0, 9))
def test_nothing_changes_unless_asked_for(codes, seed):
    changed, ring = augment(codes, np.random.default_rng(seed), UNCHANGED, strand="forward", circular=True, max_bases=1000)
    assert np.array_equal(changed, codes)
    assert ring


@given(codes_of_record, st.integers(0, 9))
def test_either_strand_comes_out(codes, seed):
    changed, _ = augment(codes, np.random.default_rng(seed), UNCHANGED, strand="both", circular=False, max_bases=1000)
    assert any(np.array_equal(changed, each) for each in (codes, reverse_complement(codes)))


@given(codes_of_record, st.integers(0, 9), st.integers(1, 300), st.integers(1, 300))
def test_a_crop_is_a_piece_of_the_record_and_no_ring(codes, seed, whole, most):
    settings = AugmentSettings(substitutions=0, whole=whole)
    changed, ring = augment(codes, np.random.default_rng(seed), settings, strand="forward", circular=True, max_bases=most)
    assert bytes(changed) in bytes(np.concatenate([codes, codes]))
    assert min(len(codes), most, whole) <= len(changed) <= min(most, len(codes))
    assert ring == (len(changed) == len(codes))


def test_every_doubling_of_a_long_records_length_is_seen_alike_often_and_the_mean_is_as_predicted():
    codes, rng, settings = np.zeros(64_000, np.uint8), np.random.default_rng(0), AugmentSettings(substitutions=0, whole=1_000)
    seen = [len(augment(codes, rng, settings, strand="forward", circular=False, max_bases=32_000)[0]) for _ in range(2_000)]
    assert (min(seen) >= 1_000, max(seen) <= 32_000) == (True, True)
    assert np.histogram(np.log2(seen), bins=5, range=(np.log2(1_000), np.log2(32_000)))[0] / 2_000 == pytest.approx(0.2, abs=0.04)
    assert mean_length(np.array([64_000]), settings, 32_000) == pytest.approx(np.mean(seen), rel=0.05)


def test_the_mean_length_of_short_records_is_their_own():
    assert mean_length(np.array([100, 300, 1_000]), AugmentSettings(whole=1_000), 10**6) == pytest.approx(1_400 / 3)
    assert mean_length(np.array([100, 300]), AugmentSettings(whole=1_000), 200) == 150


@given(codes_of_record, st.integers(0, 9))
def test_unknown_bases_stay_unknown_and_known_ones_known(codes, seed):
    changed, _ = augment(
        codes, np.random.default_rng(seed), AugmentSettings(substitutions=1), strand="forward", circular=False, max_bases=1000
    )
    assert np.array_equal(changed == OTHER, codes == OTHER)


def test_as_many_bases_are_substituted_as_the_setting_says():
    rng = np.random.default_rng(0)
    codes = np.zeros(100_000, np.uint8)
    settings = AugmentSettings(substitutions=0.2)
    shares = [(augment(codes, rng, settings, strand="forward", circular=False, max_bases=10**6)[0] != 0).mean() for _ in range(60)]
    assert max(shares) <= 0.2
    assert 0.05 < np.mean(shares) < 0.13
    assert not codes.any()
