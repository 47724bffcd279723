"""The branches beside the blocks: reading frames, motifs, dilated ring convolution, tilted mean, and the composition that the network starts from."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from small_data import MODEL, TOKENIZER, small_dataset

from genomix.confidence.temperature import calibrated_log_losses
from genomix.data.balance import sampled
from genomix.data.batches import PADDING, collate, tokenize
from genomix.data.frequencies import kmer_frequencies
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.nn.classifier import Classifier
from genomix.nn.composition import LEAST, Composition
from genomix.nn.embedding import RingConvolution
from genomix.nn.frames import FrameStem
from genomix.nn.motifs import MotifStem
from genomix.nn.pooling import MeanPooling
from genomix.tokenizers import build_tokenizer
from genomix.train import composition as fitting
from genomix.train.composition import FOLDS, fit_composition
from genomix.train.composition_fit import Features, Form, choose, fits

KMERS = build_tokenizer(TOKENIZER)
UNKNOWN = 64


def bases(length, seed=0):
    return np.random.default_rng(seed).integers(0, 4, length).astype(np.uint8)


def batch_of(records, *, circular=True, width=0):
    batch = collate(
        [tokenize(codes, KMERS, circular=circular) for codes in records], [circular] * len(records), [0] * len(records), range(len(records))
    )
    padded = torch.nn.functional.pad(batch.tokens, (0, max(0, width - batch.tokens.shape[1])), value=PADDING)
    return padded, batch.lengths, batch.circular


# ---- dilated convolution ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("circular", [True, False])
@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 20])
def test_a_dilated_convolution_sees_its_taps_round_a_ring_and_zeros_beyond_a_line(length, dilation, circular):
    torch.manual_seed(length)
    layer = RingConvolution(2, 3, 3, dilation=dilation).double()
    x = torch.randn(1, 2, 24, dtype=torch.float64)
    found = layer(x, torch.tensor([length]), torch.tensor([circular]))[0, :, :length]
    for i in range(length):
        expected = layer.convolution.bias
        for tap in (-1, 0, 1):
            j = i + tap * dilation
            if circular or 0 <= j < length:
                expected = expected + layer.convolution.weight[:, :, tap + 1] @ x[0, :, j % length]
        assert torch.allclose(found[:, i], expected)


# ---- reading frames --------------------------------------------------------------------------------------------------------------------------------


def frame_stem(patch=6):
    torch.manual_seed(1)
    return FrameStem(65, patch, codon=5, channels=7, layers=3, outputs=4).double()


def run_frames(stem, batch):
    tokens, lengths, circular = batch
    return stem(tokens, -(-lengths // stem.patch), circular)


def test_phases_follow_each_other_when_a_record_is_shifted_by_a_base():
    """A whole patch of one codon in phase p of a record is in phase p - 1 of the record without its first base."""
    stem, codes = frame_stem(patch=3), bases(60)
    phases, shifted = (stem._phases(batch_of([np.roll(codes, -turn)])[0]) for turn in (0, 1))
    own = slice(0, 5)  # the first channels are a phase's own codons
    assert torch.allclose(shifted[0, own], phases[1, own])
    assert torch.allclose(shifted[1, own], phases[2, own])
    assert torch.allclose(shifted[2, own], phases[0, own].roll(-1, 1))  # the third phase begins a codon later
    assert not torch.allclose(shifted[0, own], phases[0, own])


def test_a_repeated_codon_gives_the_same_answer_in_every_phase():
    """Where every phase reads one codon all along, shifting permutes the phases and the strongest answer stays."""
    stem = frame_stem()
    repeated = np.tile(np.array([0, 3, 2], np.uint8), 30)
    found = [run_frames(stem, batch_of([np.roll(repeated, -turn)])) for turn in range(3)]
    assert torch.allclose(found[0], found[1])
    assert torch.allclose(found[0], found[2])
    assert not torch.allclose(found[0], run_frames(stem, batch_of([bases(90)])))


@pytest.mark.parametrize("circular", [True, False])
def test_padding_and_batch_mates_change_no_frame(circular):
    stem = frame_stem()
    records = [bases(length, seed=length) for length in (8, 35, 36, 100)]
    together = run_frames(stem, batch_of(records, circular=circular, width=150))
    for row, codes in enumerate(records):
        alone = run_frames(stem, batch_of([codes], circular=circular))[0]
        assert torch.allclose(together[row, :, : alone.shape[1]], alone)


def test_frames_know_a_ring_from_a_line():
    stem, codes = frame_stem(), bases(90)
    tokens, lengths, _ = batch_of([codes])
    ring, line = (stem(tokens, lengths // 6, torch.tensor([circular])) for circular in (True, False))
    assert not torch.allclose(ring, line)
    turned = run_frames(stem, batch_of([np.roll(codes, -12)]))
    assert torch.allclose(turned, ring.roll(-2, 2))


def test_stop_codons_of_either_strand_stand_out_from_the_start():
    weight = FrameStem(65, 6, codon=16, channels=4, layers=1, outputs=4).weight
    letters = ["".join(codon) for codon in itertools.product("ACGT", repeat=3)]
    for channel, stops in enumerate(({"TAA", "TAG", "TGA"}, {"TTA", "CTA", "TCA"})):
        assert {letters[number] for number in weight[:64, channel].nonzero().flatten()} == stops
        assert weight[64, channel] == 0


@pytest.mark.parametrize(("vocabulary", "patch"), [(17, 6), (64, 6), (65, 4)])
def test_frames_need_codons_and_whole_ones(vocabulary, patch):
    with pytest.raises(ValueError, match="reading frames need"):
        FrameStem(vocabulary, patch, codon=4, channels=4, layers=1, outputs=4)


# ---- motifs ----------------------------------------------------------------------------------------------------------------------------------------


def motif_stem(*, both_strands=False):
    torch.manual_seed(1)
    return MotifStem(65, 6, motifs=5, width=7, outputs=4, both_strands=both_strands).double()


@pytest.mark.parametrize("circular", [True, False])
@pytest.mark.parametrize("length", [5, 8, 20, 41])
def test_a_position_has_the_best_score_of_each_motif_in_its_patch(length, circular):
    """Summed base by base; a base that is not known scores nothing, and nothing lies beyond the ends of a line."""
    stem, codes = motif_stem(), bases(length, seed=length)
    codes[length // 2] = UNKNOWN  # the k-mers that hold it are unknown
    batch = batch_of([codes], circular=circular, width=60)
    found, tokens = stem(batch[0], batch[2])[0], batch[0][0, : batch[1][0]].tolist()
    weight, bias, count = stem.convolution.convolution.weight, stem.convolution.convolution.bias, len(tokens)
    scores = []
    for i in range(count):
        score = bias
        for tap in range(7):
            j = i + tap - 3
            if (circular or 0 <= j < count) and tokens[j % count] < UNKNOWN:
                score = score + 15 * weight[:, tokens[j % count] // 16, tap]
        scores.append(score)
    for position in range(-(-count // 6)):
        best = torch.stack(scores[6 * position : 6 * position + 6]).amax(0)
        expected = stem.leave.weight @ torch.nn.functional.gelu(best) + stem.leave.bias
        assert torch.allclose(found[:, position], expected)


@pytest.mark.parametrize("both_strands", [True, False])
@pytest.mark.parametrize("circular", [True, False])
def test_padding_and_batch_mates_change_no_motif(circular, both_strands):
    stem = motif_stem(both_strands=both_strands)
    records = [bases(length, seed=length) for length in (8, 35, 36, 100)]
    tokens, _, rings = batch_of(records, circular=circular, width=150)
    together = stem(tokens, rings)
    for row, codes in enumerate(records):
        alone, _, ring = batch_of([codes], circular=circular)
        found = stem(alone, ring)[0]
        assert torch.allclose(together[row, :, : found.shape[1]], found)


def test_where_in_its_patch_a_motif_stands_makes_no_difference():
    """What the mean over a patch's k-mers can't say: all its bases in order, and not the same ones in another."""
    stem, motif = MotifStem(65, 30, motifs=1, width=11, outputs=1).double(), bases(11, seed=3)
    with torch.no_grad():
        stem.convolution.convolution.weight.fill_(-1.0)[0, torch.from_numpy(motif).long(), torch.arange(11)] = 1.0

    def said(inserted, place):
        codes = np.zeros(32, np.uint8)
        codes[place : place + 11] = inserted
        tokens, _, circular = batch_of([codes], circular=False)
        return stem(tokens, circular).item()

    assert said(motif, 3) == said(motif, 15)
    shuffled = [said(np.random.default_rng(seed).permutation(motif), 3) for seed in range(5)]
    assert min(abs(said(motif, 3) - each) for each in shuffled) > 1e-3


def test_on_both_strands_a_ring_and_its_other_strand_have_the_same_motifs():
    codes = bases(6 * 9)
    this, other = (batch_of([strand]) for strand in (codes, 3 - codes[::-1]))
    stem, forward = motif_stem(both_strands=True), motif_stem()
    assert torch.allclose(stem(this[0], this[2]), stem(other[0], other[2]).flip(2))
    assert not torch.allclose(forward(this[0], this[2]), forward(other[0], other[2]).flip(2))


@pytest.mark.parametrize("vocabulary", [16, 35])
def test_motifs_need_k_mers_of_four_letters(vocabulary):
    with pytest.raises(ValueError, match="motifs need"):
        MotifStem(vocabulary, 6, motifs=4, width=5, outputs=4)


# ---- tilted mean -----------------------------------------------------------------------------------------------------------------------------------


def test_pooled_features_do_not_depend_on_length_and_lie_between_mean_and_maximum():
    torch.manual_seed(0)
    pooling = MeanPooling(4, 6, peak=True).double()
    hidden = torch.randn(1, 4, 9, dtype=torch.float64)
    once, twice = (pooling(hidden.repeat(1, 1, times), torch.tensor([9 * times])) for times in (1, 2))
    padded = pooling(torch.cat([hidden, 99 * torch.ones(1, 4, 5)], 2), torch.tensor([9]))
    assert torch.allclose(once, twice)
    assert torch.allclose(once, padded)
    wide = pooling.widen(hidden)
    mean, tilted = once[0, :6], once[0, 6:]
    assert torch.allclose(mean, wide[0].mean(1))
    assert (tilted > mean).all()
    assert (tilted < wide[0].amax(1)).all()


# ---- composition -----------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data"))


def fitted(dataset, strand="both"):
    torch.manual_seed(0)
    model = Classifier(MODEL, 65, 2)
    train = dataset.indices("train")
    return model, fit_composition(model, dataset, train, 3, strand=strand, seed=0, weights=np.ones(2))


def expected_answers(branch, dataset, records, strand):
    """From the counting of `kmer_frequencies` and the branch's fitted numbers, record by record."""
    shares = kmer_frequencies(dataset, records, 3, strand).astype(np.float64)
    mean, rate, weight, bias = (getattr(branch, name).numpy().astype(np.float64) for name in ("mean", "rate", "weight", "bias"))
    answers = []
    for row in shares ** float(branch.power):
        features = ((row - mean) * rate)[rate > 0]
        if branch.level:
            features /= np.sqrt((features**2).mean())
        answers.append(features @ weight[rate > 0] + bias)
    return torch.log_softmax(torch.tensor(np.array(answers)), 1).clamp(min=LEAST).float()


@pytest.mark.parametrize("level", [False, True])
@pytest.mark.parametrize("strand", ["both", "forward"])
def test_the_branch_says_what_the_fitted_regression_says(dataset, strand, level):
    """Records as they are and, with both strands, reversed."""
    model, _ = fitted(dataset, strand)
    branch, records = model.composition, dataset.indices("test")
    branch.level.fill_(level)
    expected = expected_answers(branch, dataset, records, strand)
    codes = [np.asarray(dataset.codes(int(record))) for record in records]
    assert torch.allclose(branch(batch_of(codes, circular=False)[0]), expected, atol=1e-4)
    turned = branch(batch_of([3 - each[::-1] for each in codes], circular=False)[0])
    assert torch.allclose(turned, expected, atol=1e-4) == (strand == "both")


@pytest.mark.parametrize("level", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_equals_scikit_learn(classes, level):
    rng = np.random.default_rng(0)
    features, labels = rng.dirichlet(np.ones(64), 60).astype(np.float32), np.arange(60) % classes
    weights = rng.uniform(0.5, 2, classes)
    table = Features.of(Form(3, 1.0, level), features)(features)
    [fit] = fits(table, labels, weights, (0.1,))
    found = np.exp(fit.answers(table))
    standard = (features - features.mean(0)) / features.std(0)
    if level:
        standard *= np.sqrt(64) / np.linalg.norm(standard, axis=1, keepdims=True)
    reference = LogisticRegression(C=0.1, max_iter=300).fit(standard, labels, sample_weight=weights[labels])
    assert found == pytest.approx(reference.predict_proba(standard), abs=1e-3)


def test_levelling_is_chosen_where_length_would_pass_for_confidence():
    """Two classes apart by one k-mer, counted in records of very different lengths: the short ones' frequencies are nothing but noise in all others."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 2
    chances = np.ones((2, 64))
    chances[1, :8] += 0.35
    counts = np.stack([rng.multinomial(int(10 ** rng.uniform(1.7, 5)), chances[label] / chances[label].sum()) for label in labels])
    shares = (counts / counts.sum(1, keepdims=True)).astype(np.float32)
    parts = [(np.flatnonzero(np.arange(240) % 5 != fold), np.flatnonzero(np.arange(240) % 5 == fold)) for fold in range(5)]
    form, path = choose([(3, shares)], labels, parts, np.ones(2), np.arange(240))
    assert form.level
    assert path[-1] < 1


def test_unknown_kmers_and_padding_count_nowhere_and_an_answer_has_a_floor():
    branch = Composition(65, 2)
    weight = torch.randn(64, 2) * 1_000
    branch.fill(weight, torch.zeros(2), mean=torch.zeros(64), rate=torch.ones(64), power=1.0, level=False, partner=torch.arange(64))
    known = torch.tensor([[3, 9, 9, 60]])
    assert torch.equal(branch(known), branch(torch.tensor([[3, UNKNOWN, 9, 9, UNKNOWN, 60, PADDING, PADDING]])))
    assert branch(known).min() == LEAST
    assert torch.isfinite(branch(torch.tensor([[UNKNOWN, PADDING]]))).all()


def test_half_precision_counts_every_token_of_a_long_record():
    """100,000 tokens, where float16 ends at 65,504."""
    torch.manual_seed(0)
    branch = Composition(17, 2)
    branch.fill(
        torch.randn(16, 2) * 4,
        torch.zeros(2),
        mean=torch.full((16,), 1 / 16),
        rate=torch.full((16,), 16.0),
        power=1.0,
        level=False,
        partner=torch.arange(16),
    )
    tokens = torch.multinomial(torch.arange(1, 17.0), 100_000, replacement=True)[None]
    assert torch.allclose(branch.half()(tokens).float(), branch.float()(tokens), atol=0.1)


def test_the_untrained_network_is_the_regression(dataset):
    model, _ = fitted(dataset)
    batch = batch_of([bases(100), bases(50, seed=1)], circular=False)
    assert torch.equal(model.eval()(*batch), model.composition(batch[0]))


def test_in_training_a_record_is_answered_without_itself_and_its_relatives(dataset, monkeypatch):
    """Each fold's fit has none of the clusters whose answers it gives, and those answers are that fit's."""
    records = dataset.indices("train")
    monkeypatch.setattr(fitting, "drawn_together", lambda _, some: np.array([f"{index // 4}" for index in some]))  # families of four
    together = records // 4
    seen = np.zeros(len(records), dtype=int)
    for kept, left_out in fitting._folds(dataset.label_ids[records], together):
        assert not set(together[kept]) & set(together[left_out])
        seen[left_out] += 1
    assert (seen == 1).all()
    model, answers = fitted(dataset)
    own = expected_answers(model.composition, dataset, records, "both")
    assert not torch.allclose(answers[records], own, atol=1e-3)


def test_a_class_that_cannot_be_left_out_silences_the_branch(dataset, monkeypatch):
    monkeypatch.setattr(fitting, "drawn_together", lambda _, some: dataset.label_ids[some].astype(str))  # each class is one family
    model, answers = fitted(dataset)
    assert answers is None
    assert not model.composition.weight.any()


def test_a_class_of_one_record_is_never_left_out_and_the_others_are():
    folds = fitting._folds(np.array([0] * 10 + [1] * 10 + [2]), np.arange(21))
    assert len(folds) == FOLDS
    assert all(20 in kept for kept, _ in folds)
    assert sorted(np.concatenate([left_out for _, left_out in folds])) == list(range(20))
    assert all(not set(kept) & set(left_out) for kept, left_out in folds)


def test_a_class_of_two_families_does_not_halve_what_the_others_are_fitted_on():
    labels = np.array([0] * 10 + [1] * 10 + [2] * 2)
    folds = fitting._folds(labels, np.arange(22))
    assert len(folds) == FOLDS
    assert sorted(np.concatenate([left_out for _, left_out in folds])) == list(range(22))
    assert all(set(labels[kept]) == {0, 1, 2} for kept, _ in folds)


def test_records_beyond_the_sample_are_answered_without_their_relatives(tmp_path, monkeypatch):
    """Families of near copies whose labels are drawn: a fit that is free to learn by heart knows a record's label where it has seen its relatives."""
    rng = np.random.default_rng(0)
    labels = rng.permutation([0, 1] * 12)
    for which in (0, 1):
        with (tmp_path / f"{which}.fa").open("w") as file:
            for family in np.flatnonzero(labels == which):
                first = rng.integers(4, size=1_000)
                for i in range(12):
                    one = np.where(rng.random(1_000) < 0.02, rng.integers(4, size=1_000), first)
                    file.write(f">{family}_{i}\n{''.join('ACGT'[base] for base in one)}\n")
    sources = [f"{label}={tmp_path / f'{which}.fa'}" for which, label in enumerate("ab")]
    dataset = preprocess(sources, PreprocessSettings(split=SplitSettings(method="stratified")), tmp_path / "dataset")
    names = dataset.records["id"].str.partition("_")[0].to_numpy()
    monkeypatch.setattr(fitting, "drawn_together", lambda _, some: names[some])
    monkeypatch.setattr(fitting, "MOST_FITTED", 120)
    monkeypatch.setattr("genomix.train.composition_fit.STRENGTHS", (1000.0,))
    model, answers = fitted(dataset)
    train = dataset.indices("train")
    sample = train[sampled(dataset.label_ids[train], 120, np.random.default_rng((0, 2)), sure=FOLDS)]
    rest = np.setdiff1d(train, sample)

    def right(said):
        return (said.argmax(1).numpy() == dataset.label_ids[rest]).mean()

    assert right(expected_answers(model.composition, dataset, rest, "both")) > 0.85
    assert right(answers[rest]) < 0.7


def test_what_ranks_well_and_is_too_sure_is_judged_after_calibration():
    labels, weights = np.tile([0, 1, 0, 1], 100), np.ones(400)
    modest = np.tile([[0.8, 0.2], [0.2, 0.8], [0.8, 0.2], [0.6, 0.4]], (100, 1))
    sure = modest**4 / (modest**4).sum(1, keepdims=True)
    assert -np.log(sure[np.arange(400), labels]).mean() > -np.log(modest[np.arange(400), labels]).mean()
    assert calibrated_log_losses(labels, sure, weights).sum() == pytest.approx(
        calibrated_log_losses(labels, modest, weights).sum(), rel=0.01
    )
    assert calibrated_log_losses(labels, sure, np.tile([1.0, 1, 1, 0], 100)).sum() < calibrated_log_losses(labels, sure, weights).sum()


def test_twenty_answers_by_heart_are_no_better_than_none():
    """At a temperature of 10 they are worth .66 nats, and they get one of 4: by the loss at the best temperature they were taken for better than an even chance."""
    rng = np.random.default_rng(2)
    labels = np.arange(20) % 2
    sure = rng.random(20) < 0.55
    answers = np.where((labels == 1) == sure, 0.999, 0.001)
    by_heart = np.stack([1 - answers, answers], axis=1)
    assert (
        calibrated_log_losses(labels, by_heart, np.ones(20)).sum() > calibrated_log_losses(labels, np.full((20, 2), 0.5), np.ones(20)).sum()
    )
