"""Which of a run's networks is kept: what training began with, or one of those that updates have made of it."""

import numpy as np
import pytest
import torch

from genomix.train.choice import Reading, Verdict, take
from genomix.train.state import Progress

RECORDS = 60


def reading(losses, families=None):
    losses = np.asarray(losses) / len(losses)
    families = np.arange(len(losses)) if families is None else families
    return Reading({"loss": float(losses.sum())}, torch.from_numpy(losses), torch.from_numpy(families))


def taken(*readings):
    """What was said of each, the first being before any update."""
    progress = Progress()
    said = []
    for step, each in enumerate(readings):
        progress.step = step
        said.append(take(progress, each))
    return progress, said


@pytest.mark.parametrize(("errors", "kept"), [(1.8, False), (2.2, True), (-2.2, False)])
def test_what_training_began_with_gives_way_to_what_is_better_beyond_chance(errors, kept):
    rng = np.random.default_rng(0)
    start, noise = rng.exponential(size=RECORDS), rng.normal(size=RECORDS)
    noise -= noise.mean()
    gains = noise + errors * noise.std() / RECORDS**0.5
    progress, said = taken(reading(start), reading(start - gains))
    assert [each.best for each in said] == [True, kept]
    assert progress.best_step == int(kept)
    assert said[0].beyond_start is None
    assert said[1].beyond_start == pytest.approx(errors)


def test_relatives_that_gain_together_are_one_piece_of_luck():
    rng = np.random.default_rng(1)
    families = np.arange(RECORDS) // 10
    gains = rng.normal(size=6)
    gains = (gains - gains.mean() + 1.8 * gains.std() / 6**0.5).repeat(10)
    start = np.full(RECORDS, 2.0)
    assert [each.best for each in taken(reading(start), reading(start - gains))[1]] == [True, True]
    assert [each.best for each in taken(reading(start, families), reading(start - gains, families))[1]] == [True, False]


def test_the_same_gain_of_all_must_still_be_noticed():
    start = np.full(RECORDS, 0.5)
    assert [each.best for each in taken(reading(start), reading(start - 1e-4))[1]] == [True, False]
    assert [each.best for each in taken(reading(start), reading(start - 1e-3))[1]] == [True, True]


def test_of_networks_that_are_better_the_best_is_kept_by_any_gain():
    start = np.full(RECORDS, 0.5)
    progress, said = taken(*(reading(start - gain) for gain in (0, 0.1, 0.10001, 0.09)))
    assert [each.best for each in said] == [True, True, True, False]
    assert progress.best_mean == pytest.approx(0.5 - 0.100005)


def test_a_loss_that_falls_goes_on_though_nothing_is_kept_yet():
    """What chance may have done is no reason to keep a network, nor to wait no longer; the same loss for ever is."""
    rng = np.random.default_rng(2)
    start, noise = rng.exponential(size=RECORDS) + 1, 10 * rng.normal(size=RECORDS)
    noise -= noise.mean()
    progress, said = taken(*(reading(start + noise * (step > 0) - gain) for step, gain in enumerate((0, 0.1, 0.2, 0.3, 0.2, 0.3))))
    assert progress.best_step == 0
    assert [each.lower for each in said] == [True, True, True, True, False, False]


def test_one_validation_record_says_nothing_of_chance():
    assert [each.best for each in taken(reading([0.7]), reading([0.1]))[1]] == [True, True]


def test_without_a_start_that_knows_something_the_first_network_is_the_best_so_far():
    progress = Progress(step=10)
    assert take(progress, Reading({"loss": 0.7})) == Verdict(best=True, lower=True, beyond_start=None)
    progress.step = 20
    assert take(progress, Reading({"loss": 0.7 - 2e-5})) == Verdict(best=True, lower=False, beyond_start=None)
    assert progress.best_step == 20
