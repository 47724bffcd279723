"""The whole network: against dense matrices written from the formula, and what batch-mates, padding and strands may not change."""

import math

import pytest
import torch
from torch.nn import functional as F

from genomix.nn.blocks import BlockSettings
from genomix.nn.classifier import Classifier, ModelSettings
from genomix.nn.links import link_offsets
from genomix.nn.mixers import MixerSettings
from genomix.settings import load_preset

VOCABULARY = 17


def settings(protocol="cdil", **changes):
    block = BlockSettings(mixer=MixerSettings(protocol=protocol, links=5, heads=2, hidden=7, start="random"), feed_forward=12)
    shape = {
        "max_tokens": 280,
        "patch": 4,
        "embedding": 10,
        "channels": 8,
        "pooled": 9,
        "blocks": 2,
        "block": block,
        "codon": 0,
        "composition": False,
    }
    return ModelSettings(**(shape | changes))


def published(max_tokens=64):
    """The published network, small: one CHORD block, position table, flatten head, nothing normalised."""
    mixer = MixerSettings(protocol="chord", heads=1, hidden=6, value_hidden=6, start="random")
    block = BlockSettings(mixer=mixer, norm=False, residual=False, gate=False, feed_forward=0)
    bare = {"stem_kernel": 0, "position_table": True, "pooling": "flatten", "composition": False, "head_norm": False}
    bare |= {"codon": 0, "head_dropout": 0.0}
    return ModelSettings(max_tokens=max_tokens, patch=1, embedding=8, channels=8, block=block, **bare)


def branches():
    """With reading frames, motifs and composition."""
    return settings(patch=6, codon=5, frame_channels=7, frame_layers=3, motifs=6, motif_width=5, composition=True)


def network(shape, seed=0, vocabulary=VOCABULARY):
    torch.manual_seed(seed)
    model = Classifier(shape, vocabulary, 3).double()
    if model.composition is not None:  # otherwise the untrained head and composition are silent
        torch.nn.init.normal_(model.head[-1].weight)
        model.composition.weight.normal_(std=5)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):  # running averages that do something
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def tokens_of(length, seed=0):
    return torch.randint(0, VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


def batch_of(sequences, circular, width=None):
    width = width or max(len(sequence) for sequence in sequences)
    padded = torch.stack([F.pad(sequence, (0, width - len(sequence)), value=-1) for sequence in sequences])
    return padded, torch.tensor([len(sequence) for sequence in sequences]), torch.tensor(circular)


# ---- the dense twin: one record, row-major, matrices of N x N, written from the formulas -------------------------------------------------------


def dense_linear(layer, x):
    return x @ layer.weight.T + layer.bias


def dense_perceptron(layers, x):
    hidden = dense_linear(layers.first, x)
    return dense_linear(layers.last, hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2))))


def dense_norm(layer, x):
    return x if isinstance(layer, torch.nn.Identity) else x / torch.sqrt((x**2).mean(1, keepdim=True) + 1e-6) * layer.weight


def dense_factor(weights, offsets, n, *, circular):
    """W_m [n, n] from the perceptron's output [n, links]."""
    matrix = torch.zeros(n, n, dtype=weights.dtype)
    for link, offset in enumerate(offsets):
        targets = [((i + offset) % n if circular else i + offset) for i in range(n)]
        cells = [(i, j) for i, j in enumerate(targets) if abs(offset) < n and 0 <= j < n]
        if cells:
            rows, columns = torch.tensor(cells).T
            matrix = matrix.index_put((rows, columns), weights[rows, link], accumulate=True)  # W[i, j] + w[i, link]
    return matrix


def dense_mixer(mixer, x, shape, *, circular):
    n, heads = len(x), shape.block.mixer.heads
    v = dense_perceptron(mixer.value, x) if shape.block.mixer.value_hidden else dense_linear(mixer.value, x)
    for perceptron, offsets in zip(mixer.factors, link_offsets(shape.block.mixer.protocol, n, shape.block.mixer.links), strict=False):
        full = len(perceptron.last.bias) // heads
        weights = dense_perceptron(perceptron, x).view(n, heads, full)[:, :, : len(offsets)]
        parts = v.chunk(heads, dim=1)
        v = torch.cat([dense_factor(weights[:, h], offsets, n, circular=circular) @ parts[h] + parts[h] for h in range(heads)], dim=1)
    return v


def dense_block(block, x, shape, *, circular):
    source = dense_norm(block.norm, x)
    mixed = dense_mixer(block.mixer, source, shape, circular=circular)
    if block.gate is not None:
        gate = dense_linear(block.gate[0], source)
        mixed = dense_linear(block.out, mixed * gate * torch.sigmoid(gate))
    x = x + mixed if shape.block.residual else mixed
    return x if block.feed_forward is None else x + dense_perceptron(block.feed_forward[1], dense_norm(block.feed_forward[0], x))


def dense_stem(stem, x, *, circular):
    n, half, kernel = len(x), stem.beyond, stem.convolution.weight
    rows = []
    for i in range(n):
        total = stem.convolution.bias
        for tap in range(-half, half + 1):
            j = (i + tap) % n if circular else i + tap
            if 0 <= j < n:
                total = total + kernel[:, :, tap + half] @ x[j]
        rows.append(total)
    return torch.stack(rows)


def dense_network(model, tokens, *, circular):
    shape = model.settings
    table = model.embedding.weight
    embedded = torch.stack([table[part.long()].mean(0) for part in tokens.split(shape.patch)])
    x = embedded if model.position_table is None else embedded + model.position_table.T[: len(embedded)]
    if model.stem is not None:
        x = dense_stem(model.stem, x, circular=circular)
    for block in model.blocks:
        x = dense_block(block, x, shape, circular=circular)
    if shape.pooling == "flatten":
        pooled = F.pad(x, (0, 0, 0, shape.max_tokens - len(x))).flatten()
    else:
        wide = dense_linear(model.pooling.widen[0], x)
        wide = wide * 0.5 * (1 + torch.erf(wide / math.sqrt(2)))
        pooled = wide.mean(0)
        if shape.peak:
            tilted = torch.exp(model.pooling.tilt.T * wide)
            pooled = torch.cat([pooled, (wide * tilted).sum(0) / tilted.sum(0)])
    for layer in model.head:
        if isinstance(layer, torch.nn.BatchNorm1d):
            pooled = (pooled - layer.running_mean) / torch.sqrt(layer.running_var + layer.eps) * layer.weight + layer.bias
    return model.head[-1].weight @ pooled + model.head[-1].bias


def gradients(model, logits):
    parameters = list(model.parameters())
    found = torch.autograd.grad((logits * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)).sum(), parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def assert_equal_to_dense(model, tokens, *, circular):
    logits = model(*batch_of([tokens], [circular]))[0]
    dense = dense_network(model, tokens, circular=circular)
    assert ((logits - dense).abs().max() / dense.abs().max()).item() < 1e-10
    for found, expected in zip(gradients(model, logits), gradients(model, dense), strict=True):
        assert (found - expected).abs().max().item() <= 1e-10 * max(1e-6, float(expected.abs().max()))


@pytest.mark.parametrize("circular", [True, False], ids=["circular", "linear"])
@pytest.mark.parametrize("protocol", ["chord", "cdil"])
@pytest.mark.parametrize("positions", range(1, 71))
def test_values_and_gradients_equal_the_dense_network(protocol, positions, circular):
    assert_equal_to_dense(network(settings(protocol)), tokens_of(positions * 4 - positions % 3, seed=positions), circular=circular)


def test_without_peaks_it_equals_the_dense_network_too():
    assert_equal_to_dense(network(settings(peak=False)), tokens_of(90), circular=True)


@pytest.mark.parametrize("length", [1, 2, 3, 17, 63, 64])
def test_the_published_network_equals_its_dense_form(length):
    assert_equal_to_dense(network(published()), tokens_of(length), circular=True)


# ---- what may not change a record's result ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [settings(), settings("chord"), settings(stem_kernel=9), published(), branches()],
    ids=["cdil", "chord", "wide stem", "published", "branches"],
)
def test_batch_mates_and_padding_change_nothing(shape):
    model = network(shape, vocabulary=65 if shape.codon else VOCABULARY)
    sequences = [tokens_of(length, seed=length) for length in (1, 2, 5, 16, 17, 63, 64)]
    circular = [bool(i % 2) for i in range(len(sequences))]
    together = model(*batch_of(sequences, circular))
    width = 64 if shape.fixed_length else 280
    padded = model(*batch_of(sequences, circular, width=width))
    for i, sequence in enumerate(sequences):
        alone = model(*batch_of([sequence], [circular[i]]))[0]
        assert torch.allclose(alone, together[i], rtol=1e-10, atol=1e-10)
        assert torch.allclose(alone, padded[i], rtol=1e-10, atol=1e-10)


def test_a_ring_has_no_beginning_and_a_line_has():
    model = network(settings(patch=1, max_tokens=64))
    sequence = tokens_of(48)
    turned = torch.roll(sequence, 13)
    ring, line = (model(*batch_of([sequence, turned], [circular] * 2)) for circular in (True, False))
    assert torch.allclose(ring[0], ring[1], atol=1e-10)
    assert not torch.allclose(line[0], line[1], atol=1e-4)


def test_the_published_network_has_the_published_number_of_parameters():
    mixer = MixerSettings(protocol="chord", heads=1, hidden=128, value_hidden=128, start="random")
    block = BlockSettings(mixer=mixer, norm=False, residual=False, gate=False, feed_forward=0, value_dropout=0.2, mixed_dropout=0.8)
    bare = {"stem_kernel": 0, "position_table": True, "pooling": "flatten", "composition": False, "head_norm": False}
    bare |= {"codon": 0, "head_dropout": 0.0}
    shape = ModelSettings(max_tokens=16_384, patch=1, embedding=32, channels=32, embedding_dropout=0.2, block=block, **bare)
    assert sum(parameter.numel() for parameter in Classifier(shape, 6, 2).parameters()) == 1_667_636


def test_the_preset_is_the_published_network():
    shape = ModelSettings.model_validate(load_preset("cvpr22")["model"])
    assert sum(parameter.numel() for parameter in Classifier(shape, 6, 2).parameters()) == 1_667_636


def test_a_single_record_trains():
    model = network(settings()).train()
    model(*batch_of([tokens_of(30)], [False])).sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem_kernel": 0}, "without a stem"),
        ({"codon": 4}, "multiple of 3"),
        ({"stem_kernel": 4}, "stem_kernel must be odd"),
        ({"motif_width": 4}, "motif_width must be odd"),
        ({"channels": 7}, "multiple of block.mixer.heads"),
        ({"kanals": 7}, "Extra inputs"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)


@pytest.mark.parametrize("shape", [settings(), published()])
def test_a_batch_of_no_records_is_refused(shape):
    none = torch.zeros(0, dtype=torch.long)
    with pytest.raises(ValueError, match="a batch of no records"):
        network(shape)(none.view(0, 64), none, none.bool())


@pytest.mark.parametrize("shape", [settings(), published()])
def test_a_record_longer_than_the_network_takes_is_refused(shape):
    longer = shape.patch * (-(-shape.max_tokens // shape.patch)) + 1
    with pytest.raises(ValueError, match=f"{longer} tokens, and the network takes {shape.max_tokens}"):
        network(shape)(torch.zeros(1, longer, dtype=torch.long), torch.tensor([longer]), torch.tensor([False]))


@pytest.mark.filterwarnings("ignore")  # PyTorch's compiler warns of itself
def test_torch_compile_gives_the_same_values_and_gradients():
    """What calls C is left out of the graph."""
    shape = settings()
    model = network(shape).float()
    batch = torch.randint(VOCABULARY, (2, 60)), torch.tensor([60, 60]), torch.tensor([True, False])
    expected = model(*batch)
    found = torch.compile(model, backend="eager")(*batch)
    assert torch.equal(found, expected)
    gradients = []
    for result in (found, expected):
        model.zero_grad()
        result.square().sum().backward()
        gradients.append([weight.grad for weight in model.parameters() if weight.grad is not None])
    assert len(gradients[0]) > 20
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.equal(ours, theirs)
