"""Of how many letters the words are that the network starts from, and that it counts those that the regression was fitted on."""

import logging
import random
import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from small_data import MODEL, random_sequence, small_dataset, write_fasta

from genomix.bundle import new_model
from genomix.data.batches import PADDING, tokenize
from genomix.data.frequencies import complement_order, kmer_frequencies
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.nn.composition import LEAST, Composition
from genomix.tokenizers import TokenizerSettings, build_tokenizer
from genomix.train import composition, composition_fit
from genomix.train.choice import errors_gained
from genomix.train.composition import composition_memory, fit_composition
from genomix.train.composition_fit import Form, choose

K = 5
TOKENIZER = TokenizerSettings(k=K)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three classes by their GC content, with an unknown letter in each record."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(0)
    sources = []
    for gc in (0.35, 0.5, 0.65):
        texts = [random_sequence(rng, rng.randint(60, 300), gc=gc) for _ in range(40)]
        sources.append(
            f"c{gc}={write_fasta(folder / f'{gc}.fa', {f'{gc}-{i}': f'{text[:30]}N{text[30:]}' for i, text in enumerate(texts)})}"
        )
    return preprocess(sources, PreprocessSettings(split=SplitSettings(method="stratified")), folder / "dataset")


def fitted(dataset, k=K, strand="both", classes=3):
    model = new_model(MODEL, TokenizerSettings(k=k), classes)
    answers = fit_composition(model, dataset, dataset.indices("train"), k, strand=strand, seed=0, weights=np.ones(classes))
    return model.composition, answers


def turned(codes):
    """The record's other strand; an unknown letter stays one."""
    return np.where(codes < 4, 3 - codes.astype(int), codes)[::-1].astype(np.uint8)


def counted(codes, short, strand):
    """Shares of the words that the record's k-mers begin with, by their letters; with both strands those of the other strand too."""
    counts = np.zeros(4**short)
    for each in [codes, turned(codes)] if strand == "both" else [codes]:
        for start in range(len(each) - K + 1):
            if (each[start : start + K] < 4).all():
                counts[sum(int(base) * 4 ** (short - 1 - i) for i, base in enumerate(each[start : start + short]))] += 1
    shares = counts / counts.sum()
    codes = np.arange(4**short)
    return shares[codes <= complement_order(short)] if strand == "both" else shares


@pytest.mark.parametrize("level", [False, True])
@pytest.mark.parametrize("strand", ["both", "forward"])
@pytest.mark.parametrize("short", [2, 3, 5])
def test_the_network_says_what_scikit_learn_says_of_the_words_that_its_tokens_begin_with(dataset, short, strand, level, monkeypatch):
    monkeypatch.setattr(composition, "choose", lambda *_: (Form(short, 0.5, level), (0.1,)))
    branch, answers = fitted(dataset, strand=strand)
    train, test = dataset.indices("train"), dataset.indices("test")
    tables = [np.sqrt([counted(np.asarray(dataset.codes(int(i))), short, strand) for i in some]) for some in (train, test)]
    scaler = StandardScaler().fit(tables[0])
    features = [scaler.transform(table) for table in tables]
    if level:
        features = [table * np.sqrt(table.shape[1]) / np.linalg.norm(table, axis=1, keepdims=True) for table in features]
    regression = LogisticRegression(C=0.1, max_iter=300).fit(features[0], dataset.label_ids[train])
    expected = np.maximum(regression.predict_log_proba(features[1]), LEAST)
    kmers = build_tokenizer(TOKENIZER)
    for way in (lambda codes: codes, turned):
        tokens = [torch.from_numpy(kmers.encode(way(np.asarray(dataset.codes(int(i)))))) for i in test]
        found = branch(torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=PADDING)).numpy()
        alike = np.allclose(found, expected, atol=5e-3)
        assert alike == (way is not turned or strand == "both")
    assert torch.isfinite(answers).all()


def table_of(rng, chances, letters, records):
    """Shares of words of so many letters in each record, and those of the words that these begin with: [(3, ...), (2, ...)]."""
    counts = np.stack([rng.multinomial(letters, chance / chance.sum()) for chance in chances.repeat(records, 0)]).astype(np.float32)
    shares = counts / counts.sum(1, keepdims=True)
    return [(3, shares), (2, shares.reshape(len(shares), 16, 4).sum(2))]


def chosen(tables, classes, records):
    labels = np.arange(classes).repeat(records)
    fold = np.arange(len(labels)) % 4
    parts = [(np.flatnonzero(fold != left), np.flatnonzero(fold == left)) for left in range(4)]
    return choose(tables, labels, parts, np.ones(classes), np.arange(len(labels)))[0]


def test_relatives_count_as_one_where_words_are_compared():
    """What forty families of fifty equal records gain by chance is no fifty times surer than what forty records do."""
    rng = np.random.default_rng(0)

    gains = rng.normal(size=40)
    alone = errors_gained(gains, np.arange(40))
    assert alone == pytest.approx(gains.mean() / gains.std() * 40**0.5)
    assert errors_gained(gains.repeat(50), np.arange(40).repeat(50)) == pytest.approx(alone)
    assert abs(errors_gained(gains.repeat(50), np.arange(2_000))) > 5 * abs(alone)
    assert errors_gained(gains, np.zeros(40, int)) == 0


def test_a_ring_is_counted_across_its_joint_as_the_network_does(tmp_path):
    rng = random.Random(1)
    sources = []
    for gc in (0.35, 0.65):
        texts = {f"{gc}-{i}": random_sequence(rng, rng.randint(20, 60), gc=gc) for i in range(20)}
        sources.append(f"c{gc}={write_fasta(tmp_path / f'{gc}.fa', texts)}")
    settings = PreprocessSettings(split=SplitSettings(method="stratified"), circular=True)
    rings = preprocess(sources, settings, tmp_path / "dataset")
    kmers, records = build_tokenizer(TOKENIZER), np.arange(len(rings))
    found = kmer_frequencies(rings, records, K, "forward")
    for index, row in zip(records, found, strict=True):
        tokens = tokenize(np.asarray(rings.codes(int(index))), kmers, circular=True)
        assert len(tokens) == rings.lengths[index]
        assert np.allclose(row, np.bincount(tokens, minlength=4**K) / len(tokens))


def test_shorter_words_are_taken_where_records_are_few_and_short():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.3, 1.7, (20, 16))
    assert chosen(table_of(rng, first.repeat(4, 1), 150, 8), 20, 8).k == 2


def test_the_tokenizer_s_words_stay_where_shorter_ones_know_nothing_more():
    rng = np.random.default_rng(0)
    last = np.ones((2, 16, 4))
    last[1, :, 0] += 0.6
    assert chosen(table_of(rng, last.reshape(2, 64), 400, 40), 2, 40).k == 3  # in the last letter only
    assert chosen(table_of(rng, np.ones((2, 64)), 400, 40), 2, 40).k == 3  # in nothing


def test_still_shorter_words_are_not_tried_where_short_ones_lose(monkeypatch):
    rng = np.random.default_rng(0)
    last = np.ones((2, 16, 4))
    last[1, :, 0] += 0.6
    longest, short = table_of(rng, last.reshape(2, 64), 400, 40)
    asked = []

    def tables():
        for each in (longest, short, (1, short[1][:, :4])):
            asked.append(each[0])
            yield each

    assert chosen(tables(), 2, 40).k == 3
    assert asked == [3, 2]


def test_words_have_at_least_three_letters_but_no_more_than_a_token(dataset):
    table = np.zeros((1, 4**4), dtype=np.float32)
    assert [k for k, _ in composition._Words(dataset, 4, "forward").of_all_lengths(table)] == [4, 3]
    assert [k for k, _ in composition._Words(dataset, 2, "forward").of_all_lengths(table[:, :16])] == [2]


@pytest.mark.parametrize(("silence", "lines"), [(-1.0, True), (60.0, False)])
def test_a_long_fit_says_how_far_it_is(dataset, silence, lines, monkeypatch, caplog):
    monkeypatch.setattr(composition_fit, "_SILENCE", silence)
    monkeypatch.setattr(composition_fit, "STRENGTHS", (0.01, 0.1))
    caplog.set_level(logging.INFO)
    fitted(dataset)
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("composition: tried 5-mer frequencies, square roots, levelled: log loss ") for line in said) == lines
    assert said[-1].startswith("composition: ")
    assert "-mer frequencies" in said[-1]


def test_a_class_that_a_fold_has_nothing_of_is_not_ruled_out(dataset, monkeypatch):
    """Nothing is said of its records: all classes are equal."""
    train = dataset.indices("train")
    alone = dataset.label_ids[train] == 2
    folds = [(np.flatnonzero(~alone)[::2], np.flatnonzero(~alone)[1::2]), (np.flatnonzero(~alone), np.flatnonzero(alone))]
    monkeypatch.setattr(composition, "_folds", lambda *_: folds)
    _, answers = fitted(dataset)
    assert torch.allclose(answers[train[alone]], torch.tensor(-np.log(3.0)).float())
    assert not torch.allclose(answers[train[~alone][1::2]], torch.tensor(-np.log(3.0)).float())


def test_a_state_without_a_divisor_counts_whole_tokens():
    branch = Composition(65, 2)
    weight = torch.randn(64, 2)
    branch.fill(weight, torch.zeros(2), mean=torch.zeros(64), rate=torch.ones(64), power=1.0, level=False, partner=torch.arange(64))
    tokens = torch.randint(64, (3, 50))
    state = {name: tensor for name, tensor in branch.state_dict().items() if name != "divisor"}
    other = Composition(65, 2)
    other.divisor.fill_(16)
    other.load_state_dict(state)
    assert torch.equal(other(tokens), branch(tokens))
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({name: tensor for name, tensor in state.items() if name != "mean"})


@pytest.mark.parametrize(("k", "classes"), [(4, 60), (5, 20)])
def test_what_answers_to_many_classes_take_is_known(k, classes, tmp_path, monkeypatch):
    """What numpy takes for it, traced."""
    monkeypatch.setattr(composition_fit, "STRENGTHS", (1e-1,))  # more take longer, and hardly more memory
    dataset = small_dataset(tmp_path, records=400)
    records, labels = dataset.indices("train"), np.arange(len(dataset)) % classes
    object.__setattr__(dataset, "label_ids", labels)
    tracemalloc.start()
    fitted(dataset, k=k, classes=classes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    expected = composition_memory(len(records), k, strands=2, classes=classes, answered=len(dataset))
    assert 0.5 < peak / expected < 1.05


def test_more_answers_take_more():
    few, many = (composition_memory(100, 4, strands=2, classes=50, answered=answered) for answered in (1_000, 1_000_000))
    assert many - few == 4 * 50 * 999_000


def test_a_record_is_answered_by_the_fit_that_was_judged(dataset, monkeypatch):
    """Fits end before they are exact: one that came from a more regularised one is another than one that began with nothing."""
    monkeypatch.setattr("genomix.baselines._MOST_ITERATIONS", 3)
    found = []
    for path in ((1e-3, 1.0), (1.0,)):
        monkeypatch.setattr(composition, "choose", lambda *_, path=path: (Form(3, 1.0, level=False), path))
        found.append(fitted(dataset)[1])
    assert not torch.allclose(*found, atol=1e-3)


def test_forms_are_compared_on_fewer_records_than_the_regression_is_fitted_on(dataset, monkeypatch):
    seen = []

    def watched(tables, labels, parts, weights, families):
        assert len(families) == len(labels)
        seen.extend(parts)
        choose(tables, labels, parts, weights, families)
        return Form(4, 0.5, level=False), (0.1,)

    monkeypatch.setattr(composition, "choose", watched)
    monkeypatch.setattr(composition_fit, "STRENGTHS", (0.1,))
    whole = fitted(dataset)[0].state_dict()
    assert max(len(kept) for kept, _ in seen) == len(dataset.indices("train"))
    seen.clear()
    monkeypatch.setattr(composition, "MOST_COMPARED", 50)
    found, answers = fitted(dataset)
    assert [len(kept) for kept, _ in seen] == [40] * 5 + [50]
    assert all(not set(kept) & set(left_out) for kept, left_out in seen)
    assert sorted(np.concatenate([left_out for _, left_out in seen[:-1]])) == list(seen[-1][0])
    assert torch.allclose(found.weight, whole["weight"], atol=1e-5)
    assert (answers[dataset.indices("train")] != -np.log(3)).all()
