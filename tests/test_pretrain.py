"""Pretraining hides bases so that nothing gives them away, learns what is there to learn, resumes, and its body starts a classifier."""

import json
import os
import random
import shlex
import signal
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from several_processes import COMMAND, finish, run_all, start
from small_data import MODEL, TOKENIZER, TRAINING, random_sequence, small_dataset, two_classes, write_fasta

from genomix.bundle import load_bundle
from genomix.card import model_card
from genomix.cli.main import main
from genomix.data.augment import AugmentSettings, reverse_complement
from genomix.data.batches import collate, tokenize
from genomix.data.holdout import pretraining_split
from genomix.data.masking import MaskingSettings, hidden_words, hide_spans, without_hidden
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.errors import Interrupted, OutOfMemory, SettingsError, UsageError
from genomix.nn.classifier import Classifier
from genomix.nn.reconstruction import Reconstructor, unlikely
from genomix.settings import resolve
from genomix.settings.run import PretrainRunSettings, RunSettings
from genomix.tokenizers import TokenizerSettings, build_tokenizer
from genomix.train import guessing, loop
from genomix.train.body import Body, fitting_options, read_body, require_fitting, take_body
from genomix.train.guessing import Guesses, guess, word_frequencies
from genomix.train.history import read_history
from genomix.train.masked import MaskedBatches
from genomix.train.memory import guard_memory, read_in_fitting_parts
from genomix.train.pretrain import PretrainResult, pretrain
from genomix.train.run import train

MASKING = MaskingSettings(share=0.3, span=2, word=2)
SMALL = [
    *("--preset", "tiny", "--set", "tokenizer.k=3", "--set", "model.embedding=16", "--set", "model.channels=8", "--set", "model.pooled=16"),
    *("--set", "model.patch=3", "--set", "train.steps=12", "--set", "train.checkpoint_steps=5", "--set", "train.validations=4"),
]


def mosaic(rng: random.Random, pieces: int) -> str:
    """Stretches of 40 bases of one letter pair each: what is hidden in one follows from what stands beside it, not from the record's composition."""
    return "".join("".join(rng.choices(rng.choice(["AC", "GT"]), k=40)) for _ in range(pieces))


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("unlabelled"), random.Random(3)
    fasta = write_fasta(folder / "a.fa", {f"r{i}": mosaic(rng, rng.randint(6, 10)) for i in range(40)})
    return preprocess([str(fasta)], PreprocessSettings(), folder / "dataset")


@pytest.fixture(scope="module")
def pretrained(unlabelled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    return folder, run_pretraining(unlabelled, folder)


def run_pretraining(dataset, folder, *, resume=False, **changes):
    settings = PretrainRunSettings().train.model_copy(
        update=TRAINING.model_dump(include={"max_records", "checkpoint_steps", "validations"})
    )
    settings = settings.model_copy(update={"steps": 150, "embedding_start": "random", "embedding_rate": 1.0, **changes})
    division = pretraining_split(dataset, SplitSettings())
    return pretrain(dataset, TOKENIZER, MODEL, settings, folder, masking=MASKING, division=division, resume=resume)


def masked_batches(dataset, *, tokenizer=TOKENIZER, patch=3, strand="forward", substitutions=0.0, max_tokens=128, masking=MASKING):
    return MaskedBatches(
        dataset,
        np.arange(len(dataset)),
        build_tokenizer(tokenizer),
        AugmentSettings(substitutions=substitutions),
        masking,
        patch=patch,
        strand=strand,
        max_tokens=max_tokens,
        token_budget=2_000,
        max_records=4,
        seed=1,
    )


# ---- what is hidden ----------------------------------------------------------------------------------------------------------------------------------


@given(
    length=st.integers(12, 200),
    cell=st.integers(1, 16),
    span=st.integers(1, 5),
    share=st.floats(0.05, 0.9),
    k=st.integers(1, 6),
    stride=st.integers(1, 4),
    circular=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_tokens_shown_do_not_depend_on_what_is_hidden(length, cell, span, share, k, stride, circular, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, length, dtype=np.uint8)
    hidden = hide_spans(codes, np.random.default_rng(seed), MaskingSettings(share=share, span=span), cell)
    assert hidden.any()
    assert hidden.all() == (length <= cell)
    others = np.where(hidden, rng.integers(0, 4, length, dtype=np.uint8), codes)
    tokenizer = build_tokenizer(TokenizerSettings(k=k, stride=stride))
    shown, other = (tokenize(without_hidden(each, hidden), tokenizer, circular=circular) for each in (codes, others))
    assert (shown == other).all()
    starts = np.arange(len(shown)) * stride
    touched = np.array([hidden[(start + np.arange(k)) % length].any() for start in starts])
    assert ((shown == tokenizer.unknown) == touched).all()


@given(length=st.integers(1, 100), word=st.integers(1, 4), width=st.integers(1, 120), seed=st.integers(0, 1000))
def test_the_words_asked_for_are_those_hidden_whole(length, word, width, seed):
    rng = np.random.default_rng(seed)
    codes, hidden = rng.integers(0, 5, length, dtype=np.uint8), rng.random(length) < 0.8
    expected = np.full(width, -1)
    for first in range(min(width, length - word + 1)):
        piece = codes[first : first + word]
        if hidden[first : first + word].all() and (piece < 4).all():
            expected[first] = int("".join(map(str, piece)), 4)
    assert (hidden_words(codes, hidden, word, width) == expected).all()


@pytest.mark.parametrize("tokenizer", [TokenizerSettings(k=3), TokenizerSettings(k=3, stride=2), TokenizerSettings(kind="nucleotide")])
def test_a_batch_asks_at_the_hidden_positions_and_nowhere_else(unlabelled, tokenizer):
    batches = masked_batches(unlabelled, tokenizer=tokenizer, substitutions=0.5)
    for batch in (part for parts in batches.epoch(0) for part in parts):
        positions = -(-batch.tokens.shape[1] // 3)
        asked = batch.labels.view(len(batch.labels), positions, -1) >= 0
        tokens = torch.nn.functional.pad(batch.tokens, (0, positions * 3 - batch.tokens.shape[1]), value=-1).view(len(asked), positions, 3)
        blind = ((tokens == batches.tokenizer.unknown) | (tokens < 0)).all(2)
        assert asked.any()
        assert blind[asked.any(2)].all(), "a position that is asked for shows nothing"
        own = torch.arange(positions) < -(-batch.lengths[:, None] // 3)
        assert not asked[~own].any()


def test_the_same_epoch_hides_the_same_and_another_does_not(unlabelled):
    one, again, other = (next(iter(masked_batches(unlabelled, substitutions=0.2).epoch(epoch)))[0] for epoch in (0, 0, 1))
    assert torch.equal(one.tokens, again.tokens)
    assert torch.equal(one.labels, again.labels)
    assert one.tokens.shape != other.tokens.shape or not torch.equal(one.tokens, other.tokens)


def test_both_strands_are_shown_and_one_where_only_one_means_anything(unlabelled):
    for strand, least, most in (("both", 10, 30), ("forward", 0, 0)):
        batches = masked_batches(unlabelled, strand=strand, max_tokens=4096)
        shown = [(batches.changed(record, 0, 0)[0], unlabelled.codes(record)) for record in range(len(unlabelled))]
        turned = [np.array_equal(codes, reverse_complement(record)) for codes, record in shown]
        assert least <= sum(turned) <= most
        assert all(other or np.array_equal(*pair) for other, pair in zip(turned, shown, strict=True))


# ---- the loss and what it is set beside ---------------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_cross_entropy_of_the_hidden_words():
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    words = torch.tensor([[1, 2, -1, -1, -1, 0], [-1, -1, 3, 3, -1, -1]])
    scores = torch.log_softmax(logits, 1)
    expected = torch.tensor([[-scores[0, 1, 0] - scores[0, 2, 0], 0, -scores[0, 0, 2]], [0, -2 * scores[1, 3, 1], 0]])
    assert torch.allclose(unlikely(logits, words.view(2, 3, 2)), expected, rtol=1e-6)


def a_batch(*, hidden=True):
    """Three records, and the words that are asked for at some of their positions."""
    generator = torch.Generator().manual_seed(2)
    tokens, lengths = torch.randint(0, 64, (3, 240), generator=generator), torch.tensor([240, 230, 233])
    words = torch.randint(0, 16, (3, 80, 3), generator=generator)
    words[torch.rand(3, 80, generator=generator) < (0.7 if hidden else 2)] = -1
    return tokens, lengths, torch.tensor([False, True, False]), words.view(3, 240)


def a_reconstructor(chunk):
    torch.manual_seed(3)
    network = Reconstructor(MODEL.model_copy(update={"max_tokens": 240}), 65, torch.full((16,), 1 / 16))
    network.chunk = chunk
    return network


def gradients(network, loss):
    network.zero_grad()
    loss.backward()
    return {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}


def test_only_hidden_positions_answer_and_some_at_a_time_with_the_loss_of_all():
    network, (tokens, lengths, circular, words) = a_reconstructor(chunk=7), a_batch()
    logits = network.head(network.network.body(tokens, network.network.positions(lengths), circular))
    of_all = unlikely(logits, words.view(3, 80, 3)).sum(1)
    answers = []
    network.head.register_forward_hook(lambda *seen: answers.append(seen[2].shape[2]))
    losses = network(tokens, lengths, circular, words)
    assert torch.allclose(losses, of_all, rtol=1e-5)
    asked = int((words.view(3, 80, 3) >= 0).any(2).sum())
    assert max(answers) == 7
    assert asked <= sum(answers) <= asked + 1
    expected, found = gradients(network, of_all.sum()), gradients(network, losses.sum())
    assert expected.keys() == found.keys()
    assert all(torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-4) for name, gradient in expected.items())


def test_recomputed_gradients_are_the_same_bit_for_bit():
    network, batch = a_reconstructor(chunk=7), a_batch()
    kept = gradients(network, network(*batch).sum())
    network.network.recompute = True
    answers = []
    network.head.register_forward_hook(lambda *_: answers.append(torch.is_grad_enabled()))
    again = gradients(network, network(*batch).sum())
    assert kept.keys() == again.keys()
    assert all(torch.equal(again[name], gradient) for name, gradient in kept.items())
    asked = int((batch[3].view(3, 80, 3) >= 0).any(2).sum())
    assert len(answers) >= 2 * (asked // 7), "the head's answers too are computed again"


def test_where_nothing_is_hidden_the_loss_is_0_and_so_are_the_gradients():
    network = a_reconstructor(chunk=7)
    losses = network(*a_batch(hidden=False))
    assert torch.equal(losses, torch.zeros(3))
    assert not any(gradient.any() for gradient in gradients(network, losses.sum()).values())


def test_an_untrained_network_guesses_the_overall_composition(unlabelled):
    batches = masked_batches(unlabelled)
    frequencies = word_frequencies(batches)
    network = Reconstructor(MODEL.model_copy(update={"max_tokens": 128}), 65, torch.from_numpy(frequencies).float()).eval()
    torch.nn.init.zeros_(network.head[-1].last.weight)
    total = asked = 0
    for batch in (part for parts in batches.epoch(0) for part in parts):
        words = int((batch.labels >= 0).sum())
        with torch.no_grad():
            total += float(network(batch.tokens, batch.lengths, batch.circular, batch.labels).sum())
        asked += words
    assert total / asked == pytest.approx(guess(batches, frequencies).mean("overall"), rel=1e-4)


def test_a_sample_of_many_records_is_of_all_files_and_drawn_by_the_seed(tmp_path):
    rng = random.Random(0)
    files = [write_fasta(tmp_path / f"{gc}.fa", {f"{gc}_{i}": random_sequence(rng, 300, gc=gc) for i in range(60)}) for gc in (0.2, 0.8)]
    dataset = preprocess([str(file) for file in files], PreprocessSettings(), tmp_path / "dataset")
    batches = masked_batches(dataset)
    whole, sample = word_frequencies(batches), word_frequencies(batches, most_records=40)
    assert sample.reshape(4, 4).sum(1) == pytest.approx(whole.reshape(4, 4).sum(1), abs=0.08)
    assert (sample == word_frequencies(masked_batches(dataset), most_records=40)).all()
    batches.seed = 2
    assert (sample != word_frequencies(batches, most_records=40)).any()
    assert (whole == word_frequencies(batches)).all()


def test_the_record_s_own_composition_is_better_where_records_differ(tmp_path):
    rng = random.Random(0)
    sequences = {
        f"r{i}": random_sequence(rng, 400, gc=gc) for gc in (0.05, 0.95) for i in range(100 * int(gc > 0.5), 100 * int(gc > 0.5) + 8)
    }
    dataset = preprocess([str(write_fasta(tmp_path / "a.fa", sequences))], PreprocessSettings(), tmp_path / "dataset")
    batches = masked_batches(dataset)
    guesses = guess(batches, word_frequencies(batches))
    assert guesses.mean("overall") == pytest.approx(np.log(8) + 0.2, abs=0.3)
    assert guesses.mean("own_record") < guesses.mean("overall") - 0.3


@pytest.mark.parametrize("strand", ["forward", "both"])
def test_what_guesses_by_bases_gives_every_word_its_share(strand, unlabelled):
    batches = masked_batches(unlabelled, strand=strand)
    frequencies = word_frequencies(batches)
    ways = guessing._by_bases(unlabelled.codes(0), frequencies, batches)
    assert len(ways) == (
        3 if strand == "forward" else 6
    )  # of bases and of pairs, as words have two, and the overall words with the record's bases
    assert [np.exp(way).sum() for way in ways] == pytest.approx([1] * len(ways))
    codes = unlabelled.codes(0)
    after_a = np.bincount(codes[1:][codes[:-1] == 0], minlength=4) + 4 * (np.bincount(codes, minlength=4) + 1) / (len(codes) + 4)
    assert np.exp(ways[1]).reshape(4, 4)[0] == pytest.approx(after_a / after_a.sum() * (np.bincount(codes)[0] + 1) / (len(codes) + 4))


def test_a_network_that_knows_each_record_s_gc_content_has_learnt_no_more_than_composition(tmp_path):
    rng = random.Random(4)
    contents = [rng.uniform(0.2, 0.8) for _ in range(40)]
    fasta = write_fasta(tmp_path / "a.fa", {f"r{i}": random_sequence(rng, 900, gc=gc) for i, gc in enumerate(contents)})
    dataset = preprocess([str(fasta)], PreprocessSettings(), tmp_path / "dataset")
    batches = masked_batches(dataset, tokenizer=TokenizerSettings(k=3), patch=12, strand="both", max_tokens=4096, masking=MaskingSettings())
    guesses = guess(batches, word_frequencies(batches))
    known = []
    for record, gc in enumerate(contents):
        codes, hidden, ring = batches.masked(record, 0)
        words = batches.words(codes, hidden, ring=ring)
        strong = sum((words[words >= 0] // 4**place % 4) % 3 != 0 for place in range(4))  # C and G are 1 and 2
        known.append(-float((strong * np.log(gc / 2) + (4 - strong) * np.log((1 - gc) / 2)).sum()))
    lead, chance = guesses.lead(np.array(known))
    assert guesses.per_word(np.array(known)) < guesses.mean("own_record") - 0.02
    assert abs(lead) < 0.01
    assert lead < 2 * chance


def test_a_lead_counts_when_it_is_more_than_chance_among_the_records():
    rng = np.random.default_rng(0)
    asked = np.full(50, 100)
    best = rng.normal(500, 20, 50)
    guesses = Guesses(asked, {"overall": best + 10, "own_record": best, "own_bases": best + 3})
    differences = rng.normal(2, 10, 50)
    lead, chance = guesses.lead(best - differences)
    assert lead == pytest.approx(differences.mean() / 100)
    assert chance == pytest.approx(2.01 * differences.std(ddof=1) / np.sqrt(50) / 100, rel=1e-3)
    assert Guesses(asked[:1], {"overall": best[:1]}).lead(best[:1] - 5) == (pytest.approx(0.05), None)


@pytest.mark.parametrize(
    ("lead", "chance", "records", "said"),
    [
        (0.02, 0.01, 18, "+0.0200 ± 0.0100 against the best of those below: more is learnt than composition"),
        (
            0.01,
            0.02,
            18,
            "+0.0100 ± 0.0200 against the best of those below: no more than composition is learnt, as far as 18 held-out records tell",
        ),
        (
            0.02,
            None,
            1,
            "+0.0200 against the best of those below: no more than composition is learnt, as far as a single held-out record tells",
        ),
    ],
)
def test_the_verdict_says_how_sure_it_is(lead, chance, records, said):
    result = PretrainResult(4, loss=5.0, overall=5.2, own_record=5.1, own_bases=5.02, lead=lead, chance=chance, records=records)
    assert result.summary()[0].endswith(said)


def test_every_part_of_the_body_is_trained_and_nothing_else_is_kept():
    model = MODEL.model_copy(update={"max_tokens": 66})
    network = Reconstructor(model, 65, torch.full((16,), 1 / 16))
    tokens = torch.randint(0, 64, (3, 66))
    words = torch.randint(0, 16, (3, 66))
    network(tokens, torch.full((3,), 66), torch.zeros(3, dtype=torch.bool), words).sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    kept = {name.removeprefix("network.") for name in network.state_dict() if name.startswith("network.")}
    rest = Classifier(model, 65, 2).state_dict().keys() - kept
    assert {name.partition(".")[0] for name in rest} == {"pooling", "head", "composition"}


# ---- a run --------------------------------------------------------------------------------------------------------------------------------------------


def test_it_learns_more_than_composition_and_says_so(pretrained):
    folder, result = pretrained
    assert result.loss < min(result.overall, result.own_record, result.own_bases) - 0.2
    assert result.lead == pytest.approx(min(result.overall, result.own_record, result.own_bases) - result.loss, abs=1e-6)
    assert 0 < result.chance < result.lead
    assert "more is learnt than composition" in result.summary()[0]
    rows = [row for row in read_history(folder / "metrics.jsonl") if row["event"] == "validation"]
    assert min(row["loss"] for row in rows) == result.loss
    description = json.loads((folder / "model" / "model.json").read_text())
    assert (description["kind"], description["classes"]) == ("pretrained", [])
    assert description["pretraining"]["own_record"] == result.own_record
    assert f"The lead on the best of these: {result.lead:.4f} ± {result.chance:.4f}" in model_card(description)
    for name in ("own_bases", "lead", "chance", "records"):  # which models of earlier versions lack
        del description["pretraining"][name]
    assert f"of the record itself to {result.own_record:.4f}." in model_card(description)


def test_what_is_not_learnt_is_said_too(unlabelled, tmp_path):
    result = run_pretraining(unlabelled, tmp_path, steps=1)
    assert "no more than composition is learnt, as far as 6 held-out records tell" in result.summary()[0]


def test_stopped_and_resumed_it_ends_with_the_same_weights(unlabelled, tmp_path, monkeypatch):
    make_step = loop._step

    def stop_after_seven(training, batch):
        if training.progress.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return make_step(training, batch)

    run_pretraining(unlabelled, tmp_path / "whole", steps=12)
    monkeypatch.setattr(loop, "_step", stop_after_seven)
    with pytest.raises(Interrupted, match="stopped after step 7 of 12, state saved"):
        run_pretraining(unlabelled, tmp_path / "cut", steps=12)
    monkeypatch.undo()
    run_pretraining(unlabelled, tmp_path / "cut", steps=12, resume=True)
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "cut"))
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def held_out_loss(dataset, folder, monkeypatch, *, most=10**9, budget=10**9):
    """Of two updates; and the tokens of each batch of records held out, in a network that takes so many, where training takes so many."""
    forward, sizes = Reconstructor.forward, []

    def narrow(network, tokens, *others):
        if not network.training:
            sizes.append(tokens.numel())
            if tokens.numel() > most:
                raise MemoryError
        return forward(network, tokens, *others)

    def planned(*words):
        guard = guard_memory(*words)
        guard.batches.token_budget = min(guard.batches.token_budget, budget)
        return guard

    with monkeypatch.context() as patched:
        patched.setattr(Reconstructor, "forward", narrow)
        patched.setattr("genomix.train.run.guard_memory", planned)
        result = run_pretraining(dataset, folder, steps=2)
    return result.loss, sizes


def test_records_held_out_are_read_in_parts_that_fit_to_the_same_loss(unlabelled, tmp_path, monkeypatch, caplog):
    loss, whole = held_out_loss(unlabelled, tmp_path / "whole", monkeypatch)
    planned, parts = held_out_loss(unlabelled, tmp_path / "planned", monkeypatch, budget=900)
    assert max(parts) <= 900 < max(whole)
    assert "out of memory" not in caplog.text
    halved, tried = held_out_loss(unlabelled, tmp_path / "halved", monkeypatch, most=900)
    assert sum(size > 900 for size in tried) == caplog.text.count("out of memory (MemoryError): token budget") < 3
    assert abs(planned - loss) < 1e-5
    assert abs(halved - loss) < 1e-5
    with pytest.raises(OutOfMemory, match=r"validation: a single record of \d+ tokens does not fit in memory"):
        held_out_loss(unlabelled, tmp_path / "none", monkeypatch, most=100)


def test_memory_runs_out_once_however_many_parts_were_made_too_large(caplog):
    def read(part):
        if part.tokens.numel() > 200:
            raise MemoryError
        return part.records

    batches = SimpleNamespace(token_budget=400)
    parts = [collate([np.zeros(100, dtype=np.int32)] * 4, [False] * 4, [-1] * 4, range(start, start + 4)) for start in range(0, 48, 4)]
    found = [read_in_fitting_parts(read, part, batches) for part in parts]
    assert [record for of_part in found for records in of_part for record in records] == list(range(48))
    assert batches.token_budget == 200
    assert caplog.text.count("out of memory") == 1


def test_two_processes_pretrain_as_one_does_and_stopped_and_resumed_end_with_the_same_weights(tmp_path):
    rng = random.Random(3)
    fasta = write_fasta(tmp_path / "a.fa", {f"r{i}": mosaic(rng, rng.randint(6, 10)) for i in range(40)})
    # Without motifs: where two scores are nearly level, rounding decides which one is the best, and runs part from there.
    words = ["pretrain", str(fasta), *SMALL, "--set", "train.steps=60", "--set", "model.motifs=0"]
    for world in (1, 2):
        run_all(COMMAND, *words, "-o", str(tmp_path / str(world)), world=world)
    one, two = (list(read_history(tmp_path / str(world) / "metrics.jsonl")) for world in (1, 2))
    assert [row["event"] for row in one] == [row["event"] for row in two]
    assert sum(row["event"] == "step" for row in one) == 60
    assert np.abs(np.array([row["loss"] for row in one]) - [row["loss"] for row in two]).max() < 1e-5

    folder, deadline = tmp_path / "stopped", time.monotonic() + 120
    pair, log = start(COMMAND, *words, "-o", str(folder), world=2), folder / "metrics.jsonl"
    while not (log.exists() and log.read_text().count('"event": "step"') >= 8):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    pair[1].send_signal(signal.SIGTERM)
    stopped = finish(pair)
    assert [code for code, _, _ in stopped] == [75, 75], stopped
    run_all(COMMAND, *words, "-o", str(folder), "--resume", world=2)
    weights = [load_file(each / "model" / "model.safetensors") for each in (tmp_path / "2", folder)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


# ---- which records ----------------------------------------------------------------------------------------------------------------------------------


def test_near_duplicates_are_held_out_together_and_a_split_is_kept(tmp_path):
    rng = random.Random(1)
    pairs = {f"p{i}{side}": sequence for i in range(20) for sequence in [random_sequence(rng, 300, gc=0.5)] for side in "ab"}
    pairs = {name: (sequence[:-1] if name.endswith("a") else sequence) for name, sequence in pairs.items()}
    dataset = preprocess([str(write_fasta(tmp_path / "a.fa", pairs))], PreprocessSettings(), tmp_path / "dataset")
    learning, held_out = pretraining_split(dataset, SplitSettings())
    assert len(held_out) == 6
    assert sorted([*learning, *held_out]) == list(range(40))
    names = dataset.records["id"].to_numpy()
    assert {name[:-1] for name in names[learning]}.isdisjoint(name[:-1] for name in names[held_out])
    with pytest.raises(UsageError, match="needs labelled data"):
        pretraining_split(dataset, SplitSettings(method="group"))
    labelled = small_dataset(tmp_path / "labelled")
    learning, held_out = pretraining_split(labelled, SplitSettings())
    assert set(labelled.indices("test")).isdisjoint([*learning, *held_out])
    assert (learning == labelled.indices("train")).all()


def test_what_is_held_out_of_a_dataset_that_is_not_split_is_the_run_s_choice(tmp_path, capsys, monkeypatch):
    rng = random.Random(1)
    fasta = write_fasta(tmp_path / "a.fa", {f"r{i}": random_sequence(rng, 300, gc=0.5) for i in range(30)})
    folder, drawn = tmp_path / "dataset", []
    assert main(["preprocess", str(fasta), "-o", str(folder)]) == 0
    monkeypatch.setattr("genomix.pretraining.pretrain", lambda *_, division, **__: drawn.append(division) or PretrainResult(2))
    monkeypatch.setattr("genomix.pretraining.next_command", lambda *_: "")
    for number, options in enumerate((["--seed", "1"], ["--seed", "2"], ["--seed", "2", "--set", "data.split.fractions=[0.6, 0.4, 0]"])):
        assert main(["pretrain", str(folder), "-o", str(tmp_path / str(number)), *SMALL, *options]) == 0, capsys.readouterr().err
    held_out = [records.tolist() for _, records in drawn]
    assert held_out[0] != held_out[1]
    assert [len(records) for records in held_out] == [5, 5, 12]
    assert tomllib.loads((tmp_path / "1" / "run.toml").read_text())["data"]["split"]["seed"] == 2
    assert main(["pretrain", str(folder), "-o", str(tmp_path / "group"), *SMALL, "--set", "data.split.method=group"]) == 2
    assert "the split method group needs labelled data" in capsys.readouterr().err
    assert not (tmp_path / "group").exists()


def test_what_is_held_out_of_sequence_files_is_the_run_s_choice_and_classes_are_not(tmp_path, capsys, monkeypatch):
    rng = random.Random(1)
    fasta, drawn = write_fasta(tmp_path / "a.fa", {f"r{i}": random_sequence(rng, 300, gc=0.5) for i in range(30)}), []
    monkeypatch.setattr("genomix.pretraining.pretrain", lambda *_, division, **__: drawn.append(len(division[1])) or PretrainResult(2))
    monkeypatch.setattr("genomix.pretraining.next_command", lambda *_: "")
    split = ["--similarity", ".9", "--set", "data.split.method=stratified", "--set", "data.split.fractions=[0.6, 0.4, 0]"]
    command = ["pretrain", str(fasta), *SMALL, *split, "-o", str(tmp_path / "run")]
    assert main([*command, "--set", "data.cleaning.min_class=3"]) == 2
    assert "--min-class (data.cleaning.min_class) needs labels" in capsys.readouterr().err
    assert main(command) == 0, capsys.readouterr().err
    assert main([*command, "--resume"]) == 0, capsys.readouterr().err
    assert drawn == [12, 12]


def test_all_sequence_files_below_a_folder_are_read_whatever_its_sub_folders_are(tmp_path, monkeypatch, capsys):
    rng = random.Random(1)
    for name in ("data/train/a.fa", "data/test/deep/b.fa", "data/beside.fa"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_fasta(tmp_path / name, {f"{name}{i}": random_sequence(rng, 300, gc=0.5) for i in range(5)})
    monkeypatch.setattr("genomix.pretraining.pretrain", lambda *_, **__: PretrainResult(2))
    monkeypatch.setattr("genomix.pretraining.next_command", lambda *_: "")
    assert main(["pretrain", str(tmp_path / "data"), "-o", str(tmp_path / "run"), *SMALL]) == 0, capsys.readouterr().err
    info = json.loads((tmp_path / "run" / "dataset" / "dataset.json").read_text())
    assert info["counts"]["records"] == 15
    assert {entry["label"] for entry in info["sources"]} == {None}


def test_the_labels_of_another_run_s_settings_leave_out_no_record(tmp_path, monkeypatch, capsys):
    rng = random.Random(1)
    fasta = write_fasta(tmp_path / "a.fa", {f"r{i}": random_sequence(rng, 300, gc=0.5) for i in range(20)})
    table, settings = tmp_path / "labels.tsv", tmp_path / "labelled.toml"
    table.write_text("id\tlabel\n" + "".join(f"r{i}\t{'xy'[i % 2]}\n" for i in range(12)))
    settings.write_text(f'[data.labels]\ntable = "{table}"\n')
    monkeypatch.setattr("genomix.pretraining.pretrain", lambda *_, **__: PretrainResult(2))
    monkeypatch.setattr("genomix.pretraining.next_command", lambda *_: "")
    command = ["pretrain", str(fasta), *SMALL, "--config", str(settings)]
    for name in ("with the table", "without it"):
        assert main([*command, "-o", str(tmp_path / name)]) == 0, capsys.readouterr().err
        counts = json.loads((tmp_path / name / "dataset" / "dataset.json").read_text())["counts"]
        assert (counts["records"], counts["rejected"], counts["classes"]) == (20, {}, {})
        said = capsys.readouterr().err
        assert "table" not in said
        assert "pretraining reads no labels" in said
        table.unlink(missing_ok=True)
    assert main([*command, "-o", str(tmp_path / name), "--resume"]) == 0
    without_files = [word for word in command if word != str(fasta)]
    assert main([*without_files, "-o", str(tmp_path / name), "--resume"]) == 0, capsys.readouterr().err


def test_one_record_alone_is_pretrained_on_without_figures(tmp_path, capsys):
    fasta = write_fasta(tmp_path / "a.fa", {"only": "ACGTTGCA" * 50})
    assert main(["pretrain", str(fasta), "-o", str(tmp_path / "run"), *SMALL]) == 0
    assert "no record was held out" in capsys.readouterr().err


# ---- its use ----------------------------------------------------------------------------------------------------------------------------------------


def test_a_body_goes_into_a_network_for_other_lengths(pretrained, caplog):
    body = read_body(pretrained[0])
    longer = MODEL.model_copy(update={"max_tokens": 4096})
    network = Classifier(longer, 65, 3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with caplog.at_level("INFO"):
        start = take_body(network, body)
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in body.weights.items())
    fresh = after.keys() - body.weights.keys()
    assert all(torch.equal(after[name], before[name]) for name in fresh)
    assert any(name.startswith("blocks.0.mixer.factors") for name in fresh), "a longer network has factors that the body lacks"
    assert start["init_tensors"] == len(body.weights)
    assert f"{len(body.weights)} of " in caplog.text
    assert "start afresh: blocks.0.mixer.factors" in caplog.text


def test_a_trained_model_gives_its_body_and_keeps_its_head(tmp_path):
    dataset = small_dataset(tmp_path)
    train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"steps": 40, "validations": 20}), tmp_path / "first")
    settings = TRAINING.model_copy(update={"steps": 1, "learning_rate": 1e-12, "init": str(tmp_path / "first")})
    train(dataset, TOKENIZER, MODEL, settings, tmp_path / "second")
    first, second = (load_bundle(tmp_path / name).model.state_dict() for name in ("first", "second"))
    assert torch.allclose(first["embedding.weight"], second["embedding.weight"])
    assert torch.allclose(first["stem.convolution.weight"], second["stem.convolution.weight"])
    assert not torch.allclose(first["head.2.weight"], second["head.2.weight"])
    provenance = json.loads((tmp_path / "second" / "provenance.json").read_text())
    assert provenance["training"]["init"] == str(tmp_path / "first" / "model")
    assert provenance["training"]["init_tensors"] > 10


@pytest.mark.parametrize("known", [True, False])
def test_a_start_from_labels_of_another_dataset_is_warned_of(known, tmp_path, caplog):
    """Its training records may be held out here; of the same dataset they can't be."""
    first = small_dataset(tmp_path / "first")
    other = first if known else small_dataset(tmp_path / "other", seed=3)
    train(first, TOKENIZER, MODEL, TRAINING.model_copy(update={"steps": 1}), tmp_path / "model")
    train(other, TOKENIZER, MODEL, TRAINING.model_copy(update={"steps": 1, "init": str(tmp_path / "model")}), tmp_path / "run")
    assert ("was trained on labelled records of another dataset" in caplog.text) != known


@pytest.mark.parametrize(
    ("changes", "tokenizer", "said"),
    [
        ({"channels": 16}, TOKENIZER, "model.channels is 16, and the model of --init has 8"),
        ({"patch": 6}, TOKENIZER, "model.patch is 6, and the model of --init has 3"),
        ({}, TokenizerSettings(k=4), "tokenizer.k is 4, and the model of --init has 3"),
        (
            {"block": MODEL.block.model_copy(update={"gate": False})},
            TOKENIZER,
            "model.block.gate is False, and the model of --init has True",
        ),
    ],
)
def test_another_architecture_is_refused_by_the_name_of_the_setting(changes, tokenizer, said, pretrained, tmp_path):
    settings = TRAINING.model_copy(update={"init": str(pretrained[0])})
    with pytest.raises(SettingsError, match=said):
        train(small_dataset(tmp_path), tokenizer, MODEL.model_copy(update=changes), settings, tmp_path / "run")


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (["--preset=cvpr22"], []),
        ([], ["--preset=cvpr22"]),
        (["model.block.mixer.kind=rotation"], ["model.block.mixer.links=7", "model.block.mixer.heads=2"]),
        (["tokenizer.canonical=true", "model.codon=0"], ["tokenizer.k=4"]),
        (["model.motifs=32", "model.motif_width=9"], []),
        (["model.channels=32"], ["model.motifs=0"]),
    ],
)
def test_the_settings_that_are_named_make_a_network_that_takes_the_body(made, wanted):
    def settled(words):
        presets = [word.removeprefix("--preset=") for word in words if word.startswith("--")]
        assignments = [word for word in words if not word.startswith("--")]
        return resolve(RunSettings, preset=presets[0] if presets else "base", environment={}, assignments=assignments)

    of_body, other = settled(made), settled(wanted)
    body = Body(Path("body"), of_body.model, of_body.tokenizer, {}, "", None)
    with pytest.raises(SettingsError):
        require_fitting(body, other.model, other.tokenizer)
    options = fitting_options(body, other.model, other.tokenizer)
    fitting = settled([*wanted, *(option.removeprefix("--set ") for option in options)])
    require_fitting(body, fitting.model, fitting.tokenizer)


@pytest.mark.parametrize(("made", "wanted"), [(0, 4), (4, 0)])
def test_a_body_with_motifs_and_one_without_them_fit(made, wanted, tmp_path, caplog):
    """The branch is left out where records are long, so the two data sets decide who has it."""
    caplog.set_level("INFO")
    dataset = small_dataset(tmp_path)
    once = TRAINING.model_copy(update={"steps": 1})
    train(dataset, TOKENIZER, MODEL.model_copy(update={"motifs": made}), once, tmp_path / "model")
    again = once.model_copy(update={"init": str(tmp_path / "model")})
    found = train(dataset, TOKENIZER, MODEL.model_copy(update={"motifs": wanted}), again, tmp_path / "run")
    assert found.bundle.model.settings.motifs == wanted
    assert f"tensors {'start afresh' if wanted else 'have no place in this network'}: motifs.convolution" in caplog.text


def test_the_way_from_the_command_line(tmp_path, capsys):
    sources = two_classes(tmp_path)
    folder, run = tmp_path / "body", tmp_path / "run"
    assert main(["pretrain", *sources, "-o", str(folder), *SMALL]) == 0
    out, err = capsys.readouterr()
    assert out == f"{folder}\n"
    assert "held-out loss" in err
    assert {path.name for path in folder.iterdir()} == {"run.toml", "dataset", "metrics.jsonl", "checkpoints", "model", "provenance.json"}
    assert tomllib.loads((folder / "run.toml").read_text())["masking"]["share"] == 0.3
    assert tomllib.loads((folder / "run.toml").read_text())["train"]["augment"]["substitutions"] == 0.0
    assert json.loads((folder / "dataset" / "dataset.json").read_text())["counts"]["classes"] == {}

    for command in (["predict", str(folder), sources[0].partition("=")[2]], ["evaluate", str(folder), str(folder / "dataset")]):
        assert main(command) == 65
        assert "a pretrained network, which knows no classes yet" in capsys.readouterr().err
    assert main(["models", "list", str(folder)]) == main(["models", "verify", str(folder)]) == main(["models", "show", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "model\tpretrained, no classes" in said
    assert "whole and unchanged, pretrained, no classes" in said
    assert "# A pretrained genomix network" in said

    command = ["train", *sources, *SMALL, "--split", "stratified", "--init"]
    assert main([*command, str(folder), "-o", str(run)]) == 0
    assert "tensors of the body taken" in capsys.readouterr().err
    assert tomllib.loads((run / "run.toml").read_text())["train"]["init"] == str(folder.resolve())
    assert main(["train", "-o", str(run), "--resume"]) == 0
    assert main([*command, str(run), "-o", str(tmp_path / "other"), "--set", "model.channels=16"]) == 78
    assert "model.channels is 16, and the model of --init has 8\n  hint: --set model.channels=8" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    assert main([*command, str(tmp_path / "nowhere"), "-o", str(tmp_path / "other")]) == 66


def test_the_command_that_pretraining_ends_with_starts_a_classifier(tmp_path, capsys):
    sources = two_classes(tmp_path, records=10)
    folder = tmp_path / "body"
    small = [*SMALL, "--set", "train.steps=2", "--set", "train.validations=1", "--set", "model.block.gate=false"]
    for number, command in enumerate((["pretrain", *sources, "-o", str(folder), *small], ["pretrain", "-o", str(folder), "--resume"])):
        assert main(command) == 0
        [said] = [line for line in capsys.readouterr().err.splitlines() if line.endswith(" starts from it")]
        assert ("--preset tiny" in said) == ("tiny" in command), "a resumed run is not told its preset"
        words = shlex.split(said[said.index("genomix train") :].removesuffix(" starts from it"))[1:]
        named = {"LABELLED_SEQUENCES": sources, "RUN": [str(tmp_path / f"run{number}")]}
        words = [each for word in words for each in named.get(word, [word])]
        assert main([*words, "--split", "stratified", "--set", "train.steps=1"]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["train", *sources, "-o", str(tmp_path / "run"), "--init", str(folder)]) == 78
    hint = capsys.readouterr().err.partition("hint: ")[2]
    assert "--set tokenizer.k=3 --set model.patch=3" in hint
    assert "--set model.block.gate=false" in hint


def test_a_pretraining_run_is_resumed_by_its_own_command_only(tmp_path, capsys):
    sources = two_classes(tmp_path, records=10)
    folder = tmp_path / "body"
    assert main(["pretrain", *sources, "-o", str(folder), *SMALL]) == 0
    assert main(["pretrain", "-o", str(folder), "--resume"]) == 0
    assert main(["pretrain", "-o", str(folder), "--resume", "--set", "masking.span=2"]) == 78
    assert "masking.span is 2, and the run was begun with 4" in capsys.readouterr().err
    assert main(["train", "-o", str(folder), "--resume"]) == 65
    assert main(["pretrain", *sources, "-o", str(folder)]) == 73
