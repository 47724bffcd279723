"""Classes of unequal size: what a record counts, how often it is drawn, and that a sampled run resumes bit for bit."""

import os
import random
import signal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from small_data import MODEL, TOKENIZER, TRAINING, random_sequence, write_fasta

from genomix.data.balance import class_factors, draw_all, draw_balanced, sampled
from genomix.data.batches import TrainingBatches
from genomix.data.cleaning import CleaningSettings
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.errors import Interrupted
from genomix.tokenizers import build_tokenizer
from genomix.train import loop
from genomix.train.history import read_history
from genomix.train.run import train

SAMPLING = TRAINING.model_copy(update={"balance": "sampling", "steps": 20, "validations": 2})

class_sizes = st.lists(st.integers(0, 300), min_size=1, max_size=6).filter(any)


def labels_of(sizes):
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """10 records of one class, 120 of the other."""
    folder, rng, sources = tmp_path_factory.mktemp("data"), random.Random(0), []
    for name, gc, records in (("many", 0.35, 120), ("few", 0.65, 10)):
        sequences = {f"{name}{i}": random_sequence(rng, rng.randint(60, 300), gc=gc) for i in range(records)}
        sources.append(f"{name}={write_fasta(folder / f'{name}.fa', sequences)}")
    settings = PreprocessSettings(split=SplitSettings(method="stratified"), cleaning=CleaningSettings(min_length=20))
    return preprocess(sources, settings, folder / "dataset")


def batches(dataset, factors, *, seed=5):
    return TrainingBatches(
        dataset,
        dataset.indices("train"),
        build_tokenizer(TOKENIZER),
        TRAINING.augment,
        strand="both",
        max_tokens=400,
        token_budget=3_000,
        max_records=8,
        seed=seed,
        factors=factors,
    )


def factors_of(dataset, limit=100.0):
    return class_factors(dataset.label_ids[dataset.indices("train")], 2, limit)


# ---- how much a class counts -------------------------------------------------------------------------------------------------------------------------


def test_a_sample_has_every_class_and_is_everything_where_there_is_room():
    labels = np.array([0] * 5_000 + [1] * 3 + [2] * 40)
    places = sampled(labels, 100, np.random.default_rng(0), sure=5)
    assert len(np.unique(places)) == 100
    assert np.array_equal(places, np.sort(places))
    counts = np.bincount(labels[places])
    assert counts[1] == 3
    assert counts[2] >= 5
    assert np.array_equal(sampled(labels, 6_000, np.random.default_rng(0), sure=5), np.arange(len(labels)))
    assert np.array_equal(np.bincount(sampled(np.arange(50) % 25, 25, np.random.default_rng(0), sure=5) % 25), np.ones(25))


def test_balanced_classes_count_alike():
    assert class_factors(np.array([0] * 8 + [1] * 2), 3, 100).tolist() == [0.625, 2.5, 0.0]


@given(class_sizes, st.floats(1, 50))
def test_factors_have_mean_one_and_keep_to_the_limit(sizes, limit):
    labels = labels_of(sizes)
    factors = class_factors(labels, len(sizes), limit)
    assert factors[labels].mean() == pytest.approx(1)
    present = factors[np.array(sizes) > 0]
    assert present.max() / present.min() <= limit * (1 + 1e-9)
    totals = factors * sizes
    uncapped = [total for total, size in zip(totals, sizes, strict=True) if size and size * limit >= max(sizes)]
    assert uncapped == pytest.approx([max(totals)] * len(uncapped))


def test_one_in_a_thousand_counts_no_more_than_the_limit():
    factors = class_factors(np.array([0] * 5_000 + [1] * 5), 2, 100.0)
    assert factors[1] / factors[0] == pytest.approx(100)
    assert factors[1] < 100


# ---- what an epoch draws -----------------------------------------------------------------------------------------------------------------------------


@given(class_sizes, st.floats(1, 50), st.integers(0, 3))
def test_an_epoch_draws_records_and_classes_as_often_as_their_factors_say(sizes, limit, epoch):
    labels = labels_of(sizes)
    factors = class_factors(labels, len(sizes), limit)
    draws = draw_balanced(labels, factors, seed=1, epoch=epoch)
    of_record = np.bincount(draws.places, minlength=len(labels))
    assert (np.abs(of_record - factors[labels]) < 1 + 1e-6).all()
    of_class = np.bincount(labels[draws.places], minlength=len(sizes))
    assert (np.abs(of_class - factors * sizes) < 1 + 1e-6).all()
    assert abs(len(draws.places) - len(labels)) <= 1
    for place in np.unique(draws.places):
        assert sorted(draws.repeats[draws.places == place]) == list(range(of_record[place]))


def test_over_epochs_every_record_of_the_large_class_is_seen():
    labels = labels_of([400, 10])
    factors = class_factors(labels, 2, 100)
    seen = np.zeros(len(labels), dtype=int)
    for epoch in range(12):
        seen += np.bincount(draw_balanced(labels, factors, seed=0, epoch=epoch).places, minlength=len(labels))
    assert seen.min() >= 1
    assert not np.array_equal(
        draw_balanced(labels, factors, seed=0, epoch=0).places, draw_balanced(labels, factors, seed=1, epoch=0).places
    )


def test_without_sampling_every_record_is_drawn_once():
    draws = draw_all(5)
    assert (draws.places.tolist(), draws.repeats.tolist()) == ([0, 1, 2, 3, 4], [0] * 5)


# ---- batches and runs --------------------------------------------------------------------------------------------------------------------------------


def test_a_sampled_epoch_is_balanced_and_its_copies_differ(dataset):
    drawn, tokens = [], {}
    for batch in (part for parts in batches(dataset, factors_of(dataset)).epoch(0) for part in parts):
        drawn += batch.labels.tolist()
        for record, ids, length in zip(batch.records, batch.tokens, batch.lengths, strict=True):
            tokens.setdefault(record, []).append(tuple(ids[:length].tolist()))
    assert abs(np.mean(drawn) - 0.5) < 0.03
    copies = max(tokens.values(), key=len)
    assert len(copies) >= 4
    assert len(set(copies)) == len(copies)  # each copy is cropped, turned and mutated anew


def test_an_update_is_a_function_of_seed_epoch_step_and_rank(dataset):
    factors = factors_of(dataset)

    def updates(**share):
        return [torch.cat([part.tokens.flatten() for part in parts]) for parts in batches(dataset, factors).epoch(3, **share)]

    whole, rest = updates(), updates(start=2)
    assert len(rest) == len(whole) - 2 > 0
    assert all(torch.equal(one, other) for one, other in zip(rest, whole[2:], strict=True))

    def records(**share):
        return [[record for part in parts for record in part.records] for parts in batches(dataset, factors).epoch(3, **share)]

    shares = zip(records(rank=0, world=2), records(rank=1, world=2), strict=True)
    assert [sorted(one + other) for one, other in shares] == [sorted(update) for update in records()]


def test_the_unsampled_batches_are_those_of_the_weighted_run(dataset):
    """Weights change the loss, not what is read."""
    plain = [part.records for parts in batches(dataset, None).epoch(0) for part in parts]
    assert sorted(record for batch in plain for record in batch) == dataset.indices("train").tolist()


def test_a_sampled_run_that_was_stopped_resumes_to_the_same_weights(dataset, tmp_path, monkeypatch):
    train(dataset, TOKENIZER, MODEL, SAMPLING, tmp_path / "whole")
    make_step = loop._step

    def stop_after_eleven(training, batch):
        if training.progress.step == 10:
            os.kill(os.getpid(), signal.SIGTERM)
        return make_step(training, batch)

    monkeypatch.setattr(loop, "_step", stop_after_eleven)
    with pytest.raises(Interrupted):
        train(dataset, TOKENIZER, MODEL, SAMPLING, tmp_path / "parts")
    monkeypatch.undo()
    train(dataset, TOKENIZER, MODEL, SAMPLING, tmp_path / "parts", resume=True)
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_each_way_of_balancing_trains_another_network(dataset, tmp_path):
    losses = {}
    for balance in ("weights", "sampling", "none"):
        settings = SAMPLING.model_copy(update={"balance": balance, "steps": 3, "validations": 1})
        train(dataset, TOKENIZER, MODEL, settings, tmp_path / balance)
        losses[balance] = [row["loss"] for row in read_history(tmp_path / balance / "metrics.jsonl") if row["event"] == "step"]
    assert len({tuple(each) for each in losses.values()}) == 3
