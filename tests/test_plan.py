"""A plan says what a network will take, and is held to what it takes; a run that does not fit is made to fit, with the same result, or says what would fit."""

import json
import random
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import MODEL, TOKENIZER, TRAINING, random_sequence, small_dataset, write_fasta
from test_train import last_state

from genomix.bundle import new_model
from genomix.cli.main import main
from genomix.data.batches import Batch, TrainingBatches, collate, divided
from genomix.data.masking import Hiding, MaskingSettings, hidden_words, hide_spans
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.errors import InputMissing, OutOfMemory, ProcessLost, UsageError, is_out_of_memory
from genomix.nn.classifier import Classifier, ModelSettings
from genomix.nn.reconstruction import Reconstructor
from genomix.planning import Costs, choose, memory, parts_of
from genomix.planning.costs import Cost, measured_costs
from genomix.planning.lengths import read_lengths
from genomix.planning.measure import Specimen, profiled_bytes
from genomix.processes import Processes, noticing_lost_processes
from genomix.scorer import PredictSettings, Scorer
from genomix.settings import load_preset
from genomix.tokenizers import TokenizerSettings, build_tokenizer
from genomix.train import loop
from genomix.train.composition import composition_memory, fit_composition
from genomix.train.devices import launch
from genomix.train.history import History
from genomix.train.masked import MaskedUpdate
from genomix.train.memory import MemoryGuard
from genomix.train.recipe import decide, fitting_branches, training_records
from genomix.train.run import _prepare
from genomix.train.start import spectral_memory, start_embedding
from genomix.train.update import Update

CPU = torch.device("cpu")
NO_MEMORY = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
PRESETS = {"tiny": (60_000, 120_000, 200_000), "base": (60_000, 120_000, 200_000), "long": (60_000, 120_000, 200_000)}

STEP_BY_STEP = """
import json, sys
from pathlib import Path
import torch
import genomix.runs
from genomix.data.batches import Batch
from genomix.nn.classifier import Classifier, ModelSettings
from genomix.planning import measured_costs
from genomix.settings import load_preset
from genomix.train.optim import averaged, build_optimizer
from genomix.train.settings import TrainSettings
from genomix.train.update import Update

settings = ModelSettings(**load_preset(sys.argv[1])["model"])
costs = measured_costs(settings, 4097, torch.device("cpu"), "fp32")
network = Classifier(settings, 4097, 2)
update = Update(network, torch.nn.CrossEntropyLoss(reduction="sum"))
optimizer, average = build_optimizer(network, TrainSettings()), averaged(network, memory=100)
for tokens in map(int, sys.argv[2:]):
    part = Batch(torch.randint(4096, (1, tokens), dtype=torch.int32), torch.tensor([tokens]), torch.tensor([False]), torch.tensor([0]), (0,))
    optimizer.zero_grad(set_to_none=True)
    update([part], torch.zeros(1, 2)).backward()
    optimizer.step()
    average.update_parameters(network)
    peak = next(int(row.split()[1]) for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    print(json.dumps([costs.bases["recomputed"] + costs.resting + costs.update([(1, tokens)], "plain"), peak * 1024]))
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data"))


def network_of(**changes):
    torch.manual_seed(1)
    network = Classifier(MODEL.model_copy(update=changes), build_tokenizer(TOKENIZER).vocabulary, 2)
    torch.nn.init.normal_(network.head[-1].weight)  # which starts at zero, and would let no gradient through
    return network


def batch_of(lengths, *, seed=0):
    rng = np.random.default_rng(seed)
    ids = [rng.integers(0, 64, length, dtype=np.int32) for length in lengths]
    return collate(ids, [i % 3 == 2 for i in range(len(ids))], [i % 2 for i in range(len(ids))], range(len(ids)))


def gradients(network, parts, *, recompute, dtype=torch.float32):
    network = network.to(dtype).train()
    network.recompute = recompute
    network.zero_grad(set_to_none=True)
    torch.manual_seed(7)
    loss = Update(network, torch.nn.CrossEntropyLoss(reduction="sum"))(parts, None)
    loss.backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}, {
        name: buffer.clone() for name, buffer in network.named_buffers()
    }


# ---- the plan against what is measured ---------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak")
@pytest.mark.parametrize("preset", PRESETS)
def test_planned_memory_is_within_a_fifth_of_the_measured_peak(preset):
    words = [sys.executable, "-c", STEP_BY_STEP, preset, *map(str, PRESETS[preset])]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found = [json.loads(line) for line in printed.splitlines()]
    assert len(found) == len(PRESETS[preset])
    assert all(abs(planned / measured - 1) < 0.2 for planned, measured in found), found


@pytest.mark.parametrize("way", ["plain", "recomputed", "prediction"])
@pytest.mark.parametrize("preset", ["tiny", "long"])
def test_bytes_of_a_long_record_follow_from_short_ones(preset, way):
    settings, vocabulary = ModelSettings(**load_preset(preset)["model"]), 4097
    tokens = min(settings.max_tokens, settings.patch * 5_000)
    settings = settings.model_copy(update={"motifs": 0})  # in records as long as this none are looked for
    found = Specimen(settings, vocabulary, CPU, "fp32").sample(tokens, way, timed=False)
    costs = replace(measured_costs(settings, vocabulary, CPU, "fp32"), heap=False)
    planned = costs.prediction((1, tokens)) if way == "prediction" else costs.update([(1, tokens)], way)
    assert planned == pytest.approx(found.peak, rel=0.05)


@pytest.mark.parametrize("way", ["plain", "recomputed", "prediction"])
def test_the_plan_knows_what_motifs_take(way):
    settings = ModelSettings(**load_preset("base")["model"])
    assert settings.motifs
    found = Specimen(settings, 4097, CPU, "fp32").sample(16_000, way, timed=False)
    costs = replace(measured_costs(settings, 4097, CPU, "fp32"), heap=False)
    planned = costs.prediction((1, 16_000)) if way == "prediction" else costs.update([(1, 16_000)], way)
    assert planned == pytest.approx(found.peak, rel=0.05)


def test_the_plan_knows_that_long_records_do_not_keep_what_goes_into_all_factors(monkeypatch):
    settings = ModelSettings(**load_preset("base")["model"] | {"motifs": 0})
    costs, tokens = replace(measured_costs(settings, 4097, CPU, "fp32"), heap=False), settings.patch * 5_000
    whole = Specimen(settings, 4097, CPU, "fp32").sample(tokens, "plain", timed=False).peak
    monkeypatch.setattr("genomix.nn.mixers.paramixer.MOST_KEPT", 6 * 4 * settings.channels * 5_000)
    found = Specimen(settings, 4097, CPU, "fp32").sample(tokens, "plain", timed=False).peak
    assert found < 0.93 * whole
    assert replace(costs, heap=True).update([(1, tokens)], "plain") / 1.3 == pytest.approx(found, rel=0.02)
    assert costs.update([(1, tokens)], "plain") == pytest.approx(whole, rel=0.01)  # a GPU keeps them


@pytest.mark.parametrize("word", [4, 6])
def test_a_step_of_pretraining_is_planned_with_its_own_head_and_loss(word):
    settings = ModelSettings(**load_preset("tiny")["model"] | {"motifs": 0})
    hiding = Hiding(MaskingSettings(word=word), cell=settings.patch)
    costs = replace(measured_costs(settings, 4097, CPU, "fp32", ways=("plain", "recomputed"), hiding=hiding), heap=False)
    network = Reconstructor(settings, 4097, torch.full((4**word,), 4.0**-word))
    positions = 3_000  # with words of 6 bases more than the head answers for at once
    tokens = positions * settings.patch
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, tokens, dtype=np.uint8)
    words = hidden_words(codes, hide_spans(codes, rng, hiding.settings, hiding.cell), word, tokens)
    found = {}
    for way in ("plain", "recomputed"):
        network.network.recompute = way == "recomputed"

        def forward():
            ids = torch.randint(0, 4096, (1, tokens), dtype=torch.int32)
            batch = Batch(ids, torch.tensor([tokens]), torch.tensor([False]), torch.tensor(words)[None], (0,))
            return MaskedUpdate(network)([batch], None)

        torch.autograd.backward(forward())
        network.zero_grad()
        _, found[way] = profiled_bytes(forward, torch.autograd.backward)
        assert costs.update([(1, tokens)], way) == pytest.approx(found[way], rel=0.1)
    assert found["recomputed"] < 0.85 * found["plain"]


def test_pretraining_plans_with_what_it_hides(tmp_path, monkeypatch):
    planned = []

    def look(*_, hiding=None, **__):
        planned.append(hiding)
        return linear_costs()

    monkeypatch.setattr("genomix.train.memory.measured_costs", look)
    rng = random.Random(0)
    fasta = write_fasta(tmp_path / "x.fa", {f"r{i}": random_sequence(rng, 400, gc=0.5) for i in range(20)})
    small = ["--set", "model.patch=3", "--set", "train.steps=1", "--set", "masking.word=6"]
    assert main(["pretrain", str(fasta), "-o", str(tmp_path / "run"), "--preset", "tiny", *small]) == 0
    assert [(hiding.cell, hiding.word, hiding.settings.word) for hiding in planned] == [(3, 3, 6)]


def test_an_update_holds_the_graphs_of_all_parts_unless_it_recomputes():
    costs = measured_costs(ModelSettings(**load_preset("tiny")["model"]), 4097, CPU, "fp32")
    one, four = ([(1, 60_000)] * number for number in (1, 4))
    assert costs.update(four, "plain") > 3 * costs.update(one, "plain")
    assert costs.update(four, "recomputed") < 1.2 * costs.update(one, "recomputed")
    assert costs.update([(4, 60_000)], "recomputed") > 3 * costs.update(one, "recomputed")
    assert costs.longest(costs.update(one, "plain"), "plain") // 15 == 60_000 // 15
    assert costs.longest(0, "plain") == 0


@pytest.mark.parametrize("k", [5, 6])
def test_what_looking_at_k_mers_takes_is_known(k, tmp_path, monkeypatch):
    """What numpy takes for it, traced; the rest of a process is in the plan by its measured base."""
    monkeypatch.setattr("genomix.train.composition_fit.STRENGTHS", (1e-2, 1e-1))  # more take longer, and hardly more memory
    dataset = small_dataset(tmp_path, records=600)
    records = dataset.indices("train")
    tokenizer = TokenizerSettings(k=k, stride=1)
    model = new_model(fitting_branches(MODEL, tokenizer), tokenizer, 2)
    weights = np.ones(2)
    starts = {
        "spectral": (spectral_memory(len(records), k), lambda: start_embedding(model, dataset, records, tokenizer, strand="both", seed=0)),
        "composition": (
            composition_memory(len(records), k, strands=2, classes=2, answered=len(dataset)),
            lambda: fit_composition(model, dataset, records, k, strand="both", seed=0, weights=weights),
        ),
    }
    for name, (expected, start) in starts.items():
        tracemalloc.start()
        start()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert 0.6 < peak / expected < (1.05 if name == "composition" else 1.4), name


def test_measuring_draws_no_random_numbers_from_a_run():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    measured_costs(MODEL, 65, CPU, "fp32", ways=("plain",))
    assert torch.equal(torch.rand(3), expected)


# ---- what is chosen -----------------------------------------------------------------------------------------------------------------------------------


def linear_costs():
    """A position keeps 1,000 bytes and works with 500 more; recomputing, it keeps 10."""
    network = ModelSettings(patch=3, max_tokens=3_000_000)

    def cost(kept, peak):
        return Cost(kept=np.array([0.0, kept, 0.0]), peak=np.array([0.0, peak, 0.0]), seconds=None)

    return Costs(
        network,
        numbers=0,
        heap=False,
        bases={},
        ways={"plain": cost(1_000, 1_500), "recomputed": cost(10, 510), "prediction": cost(0, 100)},
    )


@pytest.mark.parametrize(
    ("memory", "recompute", "expected"),
    [
        (18_000_000, "auto", (12_000, False, True)),
        (17_999_999, "auto", (12_000, True, True)),
        (18_000_000, "always", (12_000, True, True)),
        (2_160_000, "auto", (12_000, True, True)),
        (2_159_999, "auto", (6_000, True, True)),
        (660_000, "auto", (3_000, True, True)),
        (600_000, "auto", (3_000, True, False)),
        (17_999_999, "never", (12_000, False, False)),
    ],
)
def test_the_least_is_given_up_that_makes_an_update_fit(memory, recompute, expected):
    lengths = np.full(16, 3_000)
    choice = choose(linear_costs(), lengths, token_budget=12_000, max_records=16, memory=memory, recompute=recompute)
    assert (choice.token_budget, choice.recompute, choice.fits) == expected


def test_a_length_that_fits_is_where_the_memory_ends():
    costs = linear_costs()
    assert costs.longest(1_500 * 100, "plain") == 300
    assert costs.longest(100 * 100 + 99, "prediction") == 300
    assert costs.update([(1, 301)], "plain") == 1_500 * 101
    assert parts_of(np.array([300, 300, 300]), 600, 16) == [(2, 300), (1, 300)]


# ---- activations computed again ----------------------------------------------------------------------------------------------------------------------


def test_recomputed_gradients_are_the_same_bit_for_bit_dropout_included():
    network = network_of(embedding_dropout=0.2, blocks=2, block=MODEL.block.model_copy(update={"value_dropout": 0.2, "mixed_dropout": 0.3}))
    parts = [batch_of([60, 64]), batch_of([200, 210, 220], seed=1)]
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    kept, figures = gradients(network, parts, recompute=False)
    network.load_state_dict(state)
    again, others = gradients(network, parts, recompute=True)
    assert any(gradient is not None and bool(gradient.any()) for gradient in kept.values())
    for name, gradient in kept.items():
        assert (gradient is None and again[name] is None) or torch.equal(gradient, again[name]), name
    assert all(torch.equal(figure, others[name]) for name, figure in figures.items())


def test_gradients_of_an_update_do_not_depend_on_its_parts():
    network, batch = network_of(), batch_of([190, 195, 200, 201, 205, 210])
    whole, _ = gradients(network, [batch], recompute=False, dtype=torch.float64)
    pieces = divided(batch, 500)
    assert [len(piece.records) for piece in pieces] == [2, 2, 2]
    assert [record for piece in pieces for record in piece.records] == list(batch.records)
    apart, _ = gradients(network, pieces, recompute=True, dtype=torch.float64)
    for name, gradient in whole.items():
        if gradient is not None:
            assert torch.allclose(gradient, apart[name], rtol=1e-9, atol=1e-14), name


def test_recomputing_keeps_far_less_until_the_backward_pass():
    specimen = Specimen(ModelSettings(**load_preset("base")["model"]), 4097, CPU, "fp32")
    kept = {way: specimen.sample(15_000, way, timed=False).kept for way in ("plain", "recomputed")}
    assert kept["recomputed"] < kept["plain"] / 10


# ---- out of memory -----------------------------------------------------------------------------------------------------------------------------------


class Narrow:
    """Networks that run out of memory above so many tokens of a batch, in training or else in prediction."""

    def __init__(self, monkeypatch, most, *, error=NO_MEMORY, training=True):
        self.refused = []
        pooled = Classifier.pooled

        def narrow(network, tokens, *others):
            if tokens.numel() > most and network.training is training:
                self.refused.append(tuple(tokens.shape))
                raise error
            return pooled(network, tokens, *others)

        monkeypatch.setattr(Classifier, "pooled", narrow)


SHORT = TRAINING.model_copy(update={"steps": 4})


def fitted(dataset, folder, **changes):
    """The state of a run after its last step; without what follows on it."""
    settings = SHORT.model_copy(update=changes)
    records = training_records(dataset, TOKENIZER)
    recipe = decide(dataset, records, TOKENIZER, MODEL, settings)
    training, _ = _prepare(launch(settings), dataset, records, recipe, folder, factors=np.ones(len(dataset.classes)))
    with History(folder / "metrics.jsonl", step=0, steps=settings.steps) as history:
        loop.fit(training, None, history)
    return training.state()


@pytest.fixture(scope="module")
def undisturbed(dataset, tmp_path_factory):
    return fitted(dataset, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize(
    "error",
    [NO_MEMORY, MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")],
    ids=lambda error: type(error).__name__,
)
def test_training_goes_on_with_smaller_parts_to_the_same_weights(error, dataset, undisturbed, tmp_path, monkeypatch, caplog):
    narrow = Narrow(monkeypatch, 500, error=error)
    state = fitted(dataset, tmp_path)
    assert narrow.refused
    said = [record.getMessage() for record in caplog.records if "ran out of memory" in record.getMessage()]
    assert len(said) == len(narrow.refused)
    assert all("token budget" in line and "\n" not in line for line in said)
    assert state["memory"]["recompute"]
    assert state["memory"]["token_budget"] <= 500
    assert last_state(tmp_path)["memory"] == state["memory"]
    for name, tensor in state["model"].items():
        assert torch.allclose(tensor.double(), undisturbed["model"][name].double(), atol=1e-4), name


def test_a_run_that_goes_on_has_the_parts_that_it_had(dataset, tmp_path, monkeypatch):
    Narrow(monkeypatch, 500)
    state = fitted(dataset, tmp_path)
    keeper = guard(dataset)
    keeper.restore(state["memory"])
    assert keeper.batches.token_budget == state["memory"]["token_budget"]
    assert all(part.tokens.numel() <= 500 for parts in keeper.batches.epoch(0) for part in parts)


@pytest.mark.parametrize("other", [{"settings": SHORT.model_copy(update={"recompute": "never"})}, {"processes": Processes(0, 2)}])
def test_a_run_that_goes_on_in_another_way_has_its_own_plan(other, dataset, tmp_path, monkeypatch):
    Narrow(monkeypatch, 500)
    state = fitted(dataset, tmp_path)
    keeper = guard(dataset, **other)
    planned = keeper.batches.token_budget
    keeper.restore(state["memory"])
    assert (keeper.batches.token_budget, keeper.recompute) == (planned, False)


def test_a_try_that_fails_in_the_backward_pass_leaves_nothing_behind(dataset, monkeypatch):
    """Memory runs out after the head has seen the records: its running figures must be as before."""
    keeper, parts = guard(dataset), [batch_of([60, 64]), batch_of([200, 210, 220], seed=1)]
    expected, figures = gradients(network_of(), parts, recompute=True)
    found = []

    def fails_once(parts):
        found.append(gradients(keeper.classifier, parts, recompute=keeper.classifier.recompute))
        if len(found) == 1:
            raise NO_MEMORY
        return 0.0

    monkeypatch.setattr(
        "genomix.train.memory.divided", lambda part, _: [part]
    )  # with the same parts the gradients are the same to the last bit
    keeper.run(fails_once, parts, step=1)
    assert len(found) == 2
    again, others = found[1]
    assert all(gradient is None or torch.equal(gradient, again[name]) for name, gradient in expected.items())
    assert all(torch.equal(figure, others[name]) for name, figure in figures.items())


def test_one_record_that_does_not_fit_ends_with_what_would(dataset, tmp_path, monkeypatch):
    settings = decide(dataset, dataset.indices("train"), TOKENIZER, MODEL, SHORT).model
    measured_costs(settings, 65, CPU, "fp32", ways=("plain", "recomputed"))  # before memory is short
    Narrow(monkeypatch, 50)
    with pytest.raises(OutOfMemory, match=r"step 1: a single record of \d+ tokens does not fit in memory") as caught:
        fitted(dataset, tmp_path)
    assert re.match(r"about \d+ tokens would: train with --set model.max_tokens=\d+", caught.value.hint)
    assert caught.value.exit_code == 1


def test_without_recomputing_a_run_ends(dataset, tmp_path, monkeypatch):
    Narrow(monkeypatch, 500)
    with pytest.raises(OutOfMemory, match="training ran out of memory in step 1") as caught:
        fitted(dataset, tmp_path, recompute="never")
    assert "train.recompute" in caught.value.hint


def guard(dataset, **changes):
    batches = TrainingBatches(
        dataset,
        dataset.indices("train"),
        build_tokenizer(TOKENIZER),
        TRAINING.augment,
        strand="both",
        max_tokens=4096,
        token_budget=2_000,
        max_records=8,
        seed=0,
    )
    usual = {"classifier": network_of(), "batches": batches, "settings": TRAINING, "device": CPU, "costs": None, "memory": 0.0}
    return MemoryGuard(**usual | {"recompute": False, "processes": Processes()} | changes)


def test_one_process_of_several_ends_clearly(dataset):
    def fails(_):
        raise NO_MEMORY

    with pytest.raises(OutOfMemory, match="process 2 of 2 ran out of memory in step 3"):
        guard(dataset, processes=Processes(1, 2)).run(fails, [batch_of([60])], step=3)


def test_the_other_processes_say_that_one_is_gone(dataset):
    def fails(_):
        with noticing_lost_processes():
            raise RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:1")

    with pytest.raises(ProcessLost, match="another process of this run ended"):
        guard(dataset, processes=Processes(0, 2)).run(fails, [batch_of([60])], step=3)


def test_other_errors_are_not_taken_for_it(dataset):
    def fails(_):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        guard(dataset).run(fails, [batch_of([60])], step=1)


def test_only_updates_that_would_not_fit_recompute(dataset):
    keeper = guard(dataset, costs=linear_costs(), memory=1_500 * 200)
    asked = []

    def look(_):
        asked.append(keeper.classifier.recompute)
        return 0.0

    for lengths in ([300], [600], [601], [300, 300], [300, 303]):
        keeper.run(look, [batch_of(lengths)], step=1)
    assert asked == [False, False, True, False, True]


def test_training_plans_for_its_longest_records(dataset, tmp_path, monkeypatch, caplog):
    costs = measured_costs(
        decide(dataset, dataset.indices("train"), TOKENIZER, MODEL, SHORT).model, 65, CPU, "fp32", ways=("plain", "recomputed")
    )
    longest = int(dataset.lengths[dataset.indices("train")].max())
    free = (costs.growth + costs.update([(2, longest)], "recomputed") + costs.update([(1, longest)], "recomputed")) / 0.9
    monkeypatch.setattr("genomix.train.memory.free_memory", lambda *_, **__: free)
    caplog.set_level("INFO")
    state = fitted(dataset, tmp_path)
    assert 2 * longest <= state["memory"]["token_budget"] < 262_144
    assert not state["memory"]["recompute"]
    assert "lowered from 262,144" in caplog.text
    monkeypatch.setattr("genomix.train.memory.free_memory", lambda *_, **__: 1_000)
    fitted(dataset, tmp_path)
    assert "may not fit" in caplog.text


def scores(codes, **settings):
    scorer = Scorer(
        network_of().eval(),
        build_tokenizer(TOKENIZER),
        max_tokens=4096,
        strand="both",
        circular=False,
        settings=PredictSettings(**settings),
    )
    return [score.probabilities for score in scorer.score(codes)]


def test_prediction_goes_on_with_smaller_batches_and_gives_the_same(monkeypatch, caplog):
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 4, length, dtype=np.uint8) for length in (30, 400, 90, 380, 30, 410)]
    expected = scores(codes)
    narrow = Narrow(monkeypatch, 900, training=False)
    found = scores(codes)
    assert narrow.refused == [(12, 408), (6, 408), (3, 408)]
    assert np.abs(np.array(found) - np.array(expected)).max() < 1e-6
    assert "out of memory" in caplog.text
    Narrow(monkeypatch, 300, training=False)
    with pytest.raises(OutOfMemory, match="a single record of 408 tokens"):
        scores(codes)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (NO_MEMORY, True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("could not create a primitive"), True),  # oneDNN's words
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_that_say_memory_ran_out(error, is_one):
    assert is_out_of_memory(error) is is_one


# ---- how much there is -------------------------------------------------------------------------------------------------------------------------------


def test_a_containers_limit_counts(tmp_path):
    nowhere = tmp_path / "own"
    assert list(memory._of_the_groups(tmp_path, nowhere)) == []
    for name, text in (("memory.max", "1000\n"), ("memory.current", "700\n"), ("memory.stat", "anon 5\ninactive_file 200\n")):
        (tmp_path / name).write_text(text)
    assert list(memory._of_the_groups(tmp_path, nowhere)) == [500]
    (tmp_path / "memory.max").write_text("max\n")
    assert list(memory._of_the_groups(tmp_path, nowhere)) == []


@pytest.mark.parametrize(
    ("own", "folder", "names"),
    [
        ("0::/slurm/job_7/step_0\n", "slurm/job_7", ("memory.max", "memory.current", "inactive_file")),
        (
            "3:cpu,cpuacct:/\n4:memory:/slurm/job_7/step_0\n",
            "memory/slurm/job_7",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_the_limit_of_a_job_counts_whose_step_this_process_is(tmp_path, own, folder, names):
    (tmp_path / "own").write_text(own)
    job = tmp_path / folder
    (job / "step_0").mkdir(parents=True)
    for name, text in zip((*names[:2], "memory.stat"), ("1000\n", "700\n", f"{names[2]} 200\n"), strict=True):
        (job / name).write_text(text)
    assert list(memory._of_the_groups(tmp_path, tmp_path / "own")) == [500]


def test_an_unlabelled_dataset_is_planned_for_whole(tmp_path):
    fasta = write_fasta(tmp_path / "all.fa", {f"r{number}": "ACGT" * (50 + number) for number in range(9)})
    preprocess([str(fasta)], PreprocessSettings(), tmp_path / "dataset")
    lengths = read_lengths([str(tmp_path / "dataset")])
    assert sorted(lengths.training) == [4 * (50 + number) for number in range(9)]


def test_the_machine_tells_what_is_free():
    assert 2**20 < memory.free_memory(CPU) < 2**50
    assert 2**24 < memory.process_memory() < 2**40


LIMITED = """
import resource, sys, torch
from genomix.planning.memory import _OWN_STATUS, _entry, free_memory
limit, name = getattr(resource, sys.argv[1]), sys.argv[2]
allowed = resource.getrlimit(limit)[1]
def free_below(most, **more):
    resource.setrlimit(limit, ((_entry(_OWN_STATUS, name) << 10) + most, allowed))
    return free_memory(torch.device("cpu"), **more)
print(free_below(64 << 20), free_below(64 << 20, processes=2), free_below(-(1 << 20)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere these limits are not kept, or what they count is not told")
@pytest.mark.parametrize("words", [("RLIMIT_AS", "VmSize:"), ("RLIMIT_DATA", "VmData:")])
def test_the_limits_of_the_process_itself_count(words):
    done = subprocess.run([sys.executable, "-c", LIMITED, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    alone, beside_another, none = map(int, done.stdout.split())
    assert 32 * 2**20 < alone <= 64 * 2**20
    assert 32 * 2**20 < beside_another <= 64 * 2**20, "each process has a limit of its own"
    assert none == 0


# ---- the command -------------------------------------------------------------------------------------------------------------------------------------

SMALL = ["--preset", "tiny", "--device", "cpu", "--set", "model.max_tokens=7680"]


def test_the_command_prints_and_writes_a_plan(tmp_path, capsys):
    assert main(["plan", *SMALL, "--lengths", "1000,5e3", "--memory", "4", "--json", str(tmp_path / "plan.json")]) == 0
    printed = capsys.readouterr().out
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert f"{plan['parameters']:,} parameters; 4.00 GiB on cpu" in printed
    assert [row["bases"] for row in plan["rows"]] == [1_000, 5_000]
    short, long = plan["rows"]
    assert plan["resting"] < short["training"]["memory"] < long["training"]["memory"] < long["update"]["memory"]
    assert short["recomputed"]["memory"] < long["recomputed"]["memory"]
    assert all(row[way]["seconds"] > 0 for row in plan["rows"] for way in ("training", "recomputed", "update", "prediction"))
    assert plan["longest_training"] == plan["longest_whole"] == 7_685
    assert plan["choice"]["token_budget"] == 131_072
    assert "token budget of 131,072; in its largest update activations are kept" in printed


def test_a_record_longer_than_the_network_is_planned_for_in_all_its_windows(tmp_path, capsys):
    path = tmp_path / "plan.json"
    assert main(["plan", *SMALL, "--lengths", "7685,1000000", "--memory", "4", "--json", str(path)]) == 0
    plan = json.loads(path.read_text())
    one, many = (row["prediction"] for row in plan["rows"])
    assert many["seconds"] > 10 * one["seconds"], "there are 173 windows, up to 17 in a batch"
    assert many["memory"] > one["memory"], "many windows go through together"
    assert "records above 7,685 bases: training sees stretches of so many" in capsys.readouterr().out


def test_a_network_tied_to_its_length_takes_as_much_for_each_record_of_a_batch():
    settings = MODEL.model_copy(update={"pooling": "flatten", "max_tokens": 512, "stem_kernel": 0, "channels": MODEL.embedding})
    costs = measured_costs(settings, 257, CPU, "fp32", ways=("prediction",))
    network = Specimen(settings, 257, CPU, "fp32").network.eval()
    tokens = torch.zeros(8, 512, dtype=torch.int32)

    def forward():
        with torch.inference_mode():
            return network(tokens, torch.full((8,), 512), torch.zeros(8, dtype=torch.bool)).sum()

    peak = profiled_bytes(forward, lambda _: None)[1]
    assert 0.9 < costs.prediction((8, 512)) / peak < 2.5


def test_a_plan_goes_to_standard_output_in_place_of_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", *SMALL, "--lengths", "1000", "--memory", "4", "--json", "-"]) == 0
    assert [row["bases"] for row in json.loads(capsys.readouterr().out)["rows"]] == [1_000]
    assert list(tmp_path.iterdir()) == []


def test_a_plan_replaces_nothing_that_it_reads(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("genomix.plan.make_plan", lambda *_, **__: pytest.fail("it was measured"))
    fasta = write_fasta(tmp_path / "x.fa", {"a": "ACGT" * 20})
    before = fasta.read_bytes()
    assert main(["plan", *SMALL, "--lengths", "1000," * 60 + "1000", "--json", str(tmp_path)]) == 73  # no folder has so long a name
    assert "a folder, expected a file" in capsys.readouterr().err
    for path, said in ((fasta, "would be overwritten"), (tmp_path, "a folder, expected a file"), (fasta / "plan.json", "cannot write")):
        assert main(["plan", *SMALL, "--lengths", str(fasta), "--json", str(path), "--force"]) == 73
        assert said in capsys.readouterr().err
    assert fasta.read_bytes() == before


def test_with_little_memory_the_plan_says_what_fits(tmp_path, capsys):
    path = str(tmp_path / "plan.json")
    assert main(["plan", *SMALL, "--lengths", "7000", "--memory", "64", "--json", path]) == 0
    plan = json.loads(Path(path).read_text())
    (row,) = plan["rows"]
    one = row["recomputed"]["memory"]
    assert main(["plan", *SMALL, "--lengths", "7000", "--memory", str(one / 2**30), "--json", path, "--force"]) == 0
    tight = json.loads(Path(path).read_text())
    assert tight["choice"]["recompute"]
    assert tight["choice"]["token_budget"] < 131_072
    assert main(["plan", *SMALL, "--lengths", "7000", "--memory", "0.01", "--json", path, "--force"]) == 0
    assert json.loads(Path(path).read_text())["longest_training"] == 0
    assert "it may not fit" in capsys.readouterr().out


def test_lengths_have_units():
    words = ["5k", "4Mb,1.5M,2G", "4.35kb", "1e3 kbp", "10_000"]
    assert read_lengths(words).rows == (4_350, 5_000, 10_000, 1_000_000, 1_500_000, 4_000_000, 2 * 10**9)
    for word, said in (
        ("0k", "at least 1 base"),
        ("2000G", "less than 2\\^40"),
        ("1.2345k", "whole number of bases"),
        ("100.0004", "whole number"),
        ("inf", "at least 1 base"),
        ("nan", "at least 1 base"),
        ("", "is empty"),
    ):
        with pytest.raises(UsageError, match=said):
            read_lengths([word])
    with pytest.raises(InputMissing, match="no such file"):
        read_lengths(["xk"])


def test_lengths_come_from_files_too(dataset, tmp_path):
    rng = random.Random(0)
    fasta = write_fasta(tmp_path / "x.fa", {str(i): random_sequence(rng, length, gc=0.5) for i, length in enumerate((70, 80, 500))})
    for words, expected in ((["--lengths", str(fasta)], [70, 80, 500]), (["--lengths", "300", "--lengths", "20"], [20, 300])):
        assert main(["plan", *SMALL, *words, "--json", str(tmp_path / "plan.json"), "--force"]) == 0
        assert [row["bases"] for row in json.loads((tmp_path / "plan.json").read_text())["rows"]] == expected
    assert main(["plan", *SMALL, "--lengths", str(dataset.folder), "--json", str(tmp_path / "plan.json"), "--force"]) == 0
    assert max(row["bases"] for row in json.loads((tmp_path / "plan.json").read_text())["rows"]) == dataset.lengths.max()


def test_updates_of_many_short_records_are_planned_as_training_makes_them(tmp_path):
    rng = random.Random(0)
    fasta = write_fasta(tmp_path / "x.fa", {str(i): random_sequence(rng, 60, gc=0.5) for i in range(300)})
    for words, expected in (([str(fasta)], 12 * 300 // 100), (["60"], 16), ([str(fasta), "--set", "train.max_records=24"], 24)):
        assert (
            main(["plan", *SMALL, "--set", "train.most_steps=100", "--lengths", *words, "--json", str(tmp_path / "plan.json"), "--force"])
            == 0
        )
        assert json.loads((tmp_path / "plan.json").read_text())["records"] == expected


def test_a_dataset_is_planned_for_by_its_own_strand_and_ends(tmp_path, monkeypatch):
    rng = random.Random(0)
    fasta = write_fasta(tmp_path / "x.fa", {str(i): random_sequence(rng, 3843, gc=0.5) for i in range(4)})  # 256 patches and 3 bases
    monkeypatch.setattr("genomix.train.composition.composition_memory", lambda *_, strands, **__: strands << 50)
    plans = {}
    for name, circular, strand in (("usual", None, None), ("own", True, "forward")):
        preprocess([str(fasta)], PreprocessSettings(circular=circular, strand=strand), tmp_path / name)
        for way in ("auto", "both"):
            path = tmp_path / "plan.json"
            words = ["--lengths", str(tmp_path / name), "--set", f"train.strand={way}", "--json", str(path), "--force"]
            assert main(["plan", *SMALL, *words]) == 0
            plans[name, way] = json.loads(path.read_text())
    strands = {key: plan["kmers"] >> 50 for key, plan in plans.items()}
    assert strands == {("usual", "auto"): 2, ("usual", "both"): 2, ("own", "auto"): 1, ("own", "both"): 2}
    assert plans["usual", "auto"]["parameters"] < plans["own", "auto"]["parameters"], "joined ends make a patch more, and so a factor"


def test_records_shorter_than_a_token_are_planned_for_as_one_token(tmp_path):
    fasta = write_fasta(tmp_path / "x.fa", {"none": "", "short": "A", "long": "ACGT" * 20})
    plan = str(tmp_path / "plan.json")
    assert main(["plan", *SMALL, "--lengths", str(fasta), "--json", plan]) == 0
    assert [row["bases"] for row in json.loads(Path(plan).read_text())["rows"]] == [0, 1, 80]


def test_the_device_of_the_settings_is_planned_for(capsys):
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")
    assert main(["plan", "--preset", "tiny", "--lengths", "100", "--set", "train.device=cuda"]) == 2
    assert "no cuda device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--lengths", "0"], 2, "at least 1 base"),
        (["--lengths", "100", "--lengths", "x.fa"], 2, "one file or dataset folder"),
        (["--lengths", "absent.fa"], 66, "absent.fa"),
        ([], 2, "--lengths"),
    ],
)
def test_what_is_no_length_is_refused(words, code, said, capsys):
    assert main(["plan", *SMALL, *words]) == code
    assert said in capsys.readouterr().err
