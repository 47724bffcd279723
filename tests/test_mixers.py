"""One suite for every mixer: what may not change a record's result, what a ring and a line are, and which options a kind has no use for."""

import pytest
import torch

from genomix.nn.blocks import Block, BlockSettings
from genomix.nn.links import link_offsets
from genomix.nn.mixers import MixerSettings, Paramixer, build_mixer
from genomix.nn.mixers.shifts import shifted
from genomix.nn.ops import reference

CHANNELS, MAX_LENGTH = 16, 70
LENGTHS = [1, 2, 3, 5, 16, 17, 64, 69, 70]

KINDS = {
    "cdil": MixerSettings(heads=2, hidden=5, start="random"),
    "chord": MixerSettings(protocol="chord", heads=2, hidden=5, start="random"),
    "static cdil": MixerSettings(weights="static", heads=2, start="random"),
    "static chord": MixerSettings(weights="static", protocol="chord", heads=2, start="random"),
    "attention": MixerSettings(kind="attention", heads=2),
    "convolution": MixerSettings(kind="convolution", links=3),
    "wide convolution": MixerSettings(kind="convolution", links=7),
    "rotation": MixerSettings(kind="rotation", hidden=9),
    "none": MixerSettings(kind="none"),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def mixer(kind):
    torch.manual_seed(0)
    return build_mixer(KINDS[kind], CHANNELS, MAX_LENGTH).double()


def hidden_of(length, seed=0):
    return torch.randn(2, CHANNELS, length, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + length))


def mix(mixer, source, values, *, circular):
    return mixer(source[None], values[None], torch.tensor([source.shape[1]]), torch.tensor([circular]))[0]


def padded_with_nan(hidden, width):
    return torch.cat([hidden, torch.full((*hidden.shape[:-1], width - hidden.shape[-1]), torch.nan, dtype=hidden.dtype)], dim=-1)


@pytest.mark.parametrize("width", [MAX_LENGTH, MAX_LENGTH + 9])
@pytest.mark.parametrize("rings", ["none", "all", "mixed"])
def test_batch_mates_and_padding_change_nothing(mixer, rings, width):
    circular = torch.tensor([{"none": False, "all": True, "mixed": i % 2 == 0}[rings] for i in range(len(LENGTHS))])
    source, values = torch.stack([padded_with_nan(hidden_of(length), width) for length in LENGTHS]).unbind(1)
    together = mixer(source, values, torch.tensor(LENGTHS), circular)
    for i, length in enumerate(LENGTHS):
        alone = mix(mixer, *hidden_of(length), circular=bool(circular[i]))
        assert torch.allclose(together[i, :, :length], alone, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_ring_has_no_beginning(mixer, length):
    source, values = hidden_of(length)
    here = mix(mixer, source, values, circular=True)
    turned = mix(mixer, source.roll(3, dims=1), values.roll(3, dims=1), circular=True)
    assert torch.allclose(turned, here.roll(3, dims=1), rtol=1e-9, atol=1e-9)


def test_a_line_has_a_beginning(mixer, kind):
    source, values = hidden_of(40)
    here = mix(mixer, source, values, circular=False)
    turned = mix(mixer, source.roll(13, dims=1), values.roll(13, dims=1), circular=False)
    assert torch.allclose(turned, here.roll(13, dims=1)) == (kind == "none")


def test_every_position_hears_from_every_other_one_ahead(mixer, kind):
    """A one-way mixer (CHORD, rotation) brings a linear record's positions together at its first one."""
    source, values = hidden_of(MAX_LENGTH)
    values.requires_grad_()
    (heard,) = torch.autograd.grad(mix(mixer, source, values, circular=False)[:, 0].sum(), values)
    reaching = (heard.abs().sum(0) > 0).sum().item()
    assert reaching == (1 if kind == "none" else MAX_LENGTH)


def test_parameters_have_finite_gradients(mixer):
    source, values = torch.stack([padded_with_nan(hidden_of(length), MAX_LENGTH) for length in (5, 70)]).nan_to_num().unbind(1)
    mixed = mixer(source, values, torch.tensor([5, 70]), torch.tensor([True, False]))
    parameters = list(mixer.parameters())
    if parameters:
        found = torch.autograd.grad(mixed.square().sum(), parameters, allow_unused=True)
        assert all(gradient is not None and gradient.isfinite().all() and gradient.any() for gradient in found)


def test_only_a_data_dependent_mixer_asks_the_source(mixer, kind):
    """Links computed by a perceptron, and attention, are the data-dependent ones."""
    source, values = hidden_of(20)
    changed = mix(mixer, source + 1, values, circular=False)
    assert torch.allclose(changed, mix(mixer, source, values, circular=False)) == (kind not in {"cdil", "chord", "attention"})


def test_it_works_in_a_block(kind):
    block = Block(CHANNELS, MAX_LENGTH, BlockSettings(mixer=KINDS[kind]))
    lengths = torch.tensor([30, MAX_LENGTH])
    assert block(torch.randn(2, CHANNELS, MAX_LENGTH), lengths, torch.tensor([False, True])).isfinite().all()


# ---- each kind against its formula ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("circular", [True, False])
@pytest.mark.parametrize("offset", [0, 1, -1, 4, -8, 9, 40])
def test_a_shift_is_a_link_of_weight_one(offset, circular):
    lengths = torch.tensor([1, 5, 9, 10])
    values = torch.randn(4, 3, 10, dtype=torch.float64)
    values = values.masked_fill(torch.arange(10) >= lengths[:, None, None], 0)
    rings, one = torch.full((4,), circular), torch.ones(4, 1, 1, 10, dtype=torch.float64)
    assert torch.equal(shifted(values, lengths, rings, offset), reference.link_mix(values, one, lengths, rings, (offset,)))


@pytest.mark.parametrize("circular", [True, False])
@pytest.mark.parametrize("protocol", ["cdil", "chord"])
def test_static_links_are_computed_ones_that_never_change(protocol, circular):
    shape = {"protocol": protocol, "heads": 2, "start": "random"}
    computed = Paramixer(CHANNELS, MAX_LENGTH, MixerSettings(hidden=5, **shape)).double()
    static = Paramixer(CHANNELS, MAX_LENGTH, MixerSettings(weights="static", **shape)).double()
    static.value.load_state_dict(computed.value.state_dict())
    with torch.no_grad():
        for from_data, constant in zip(computed.factors, static.factors, strict=True):
            from_data.last.weight.zero_()
            constant.weight.copy_(from_data.last.bias[:, None])
    source, values = hidden_of(50)
    assert torch.allclose(mix(static, source, values, circular=circular), mix(computed, source, values, circular=circular), atol=1e-12)


def test_static_links_start_as_an_average():
    mixer = Paramixer(CHANNELS, MAX_LENGTH, MixerSettings(weights="static"))
    assert all(torch.equal(factor.weight, torch.full((4 * 5, 1), 0.1)) for factor in mixer.factors)


@pytest.mark.parametrize(
    ("kind", "steps"), [("cdil", 6), ("chord", 7), ("static cdil", 6), ("attention", 1), ("wide convolution", 5), ("none", 0)]
)
def test_steps_of_a_mixer(kind, steps):
    assert KINDS[kind].steps(MAX_LENGTH) == steps


@pytest.mark.parametrize("circular", [True, False])
@pytest.mark.parametrize("length", [1, 4, 9, 33])
def test_dilated_convolutions_are_sums_over_taps(length, circular):
    mixer = build_mixer(KINDS["convolution"], CHANNELS, MAX_LENGTH).double()
    values = v = hidden_of(length)[1]
    for layer, offsets in zip(mixer.layers, link_offsets("cdil", length, 3), strict=False):
        rows = []
        for i in range(length):
            total = layer.bias
            for tap, offset in enumerate(sorted(offsets)):
                j = (i + offset) % length if circular else i + offset
                if abs(offset) < length and 0 <= j < length:
                    total = total + layer.weight[:, :, tap] @ v[:, j]
            rows.append(total.clamp(min=0) + v[:, i])
        v = torch.stack(rows, dim=1)
    assert torch.allclose(mix(mixer, values, values, circular=circular), v, atol=1e-12)


def test_rotations_move_groups_of_channels_round_the_ring():
    mixer = build_mixer(KINDS["rotation"], CHANNELS, MAX_LENGTH).double()
    length, values = 21, hidden_of(21)[1]
    v = values
    for layer in mixer.layers[:5]:  # ceil(log2 21)
        groups = layer(v[None])[0].tensor_split(8, dim=0)  # 7 powers of two below 70, and the group that stays
        moved = [groups[0], *(group.roll(-(2**g), dims=1) if 2**g < length else group for g, group in enumerate(groups[1:]))]
        v = torch.cat(moved) + v
    assert torch.allclose(mix(mixer, values, values, circular=True), v, atol=1e-12)


def test_attention_sees_distance_and_direction():
    """The score of a query and a key depends on how far ahead the key lies, whatever the place in a linear record."""
    torch.manual_seed(0)
    mixer = build_mixer(KINDS["attention"], CHANNELS, MAX_LENGTH).double()
    ones = torch.ones(1, 1, 60, CHANNELS // 2, dtype=torch.float64)
    cosine, sine = mixer._turns(ones.transpose(2, 3).flatten(1, 2), torch.tensor([60]), torch.tensor([False]))
    turned = torch.cat([cosine - sine, sine + cosine], dim=3)
    key = torch.cat([cosine * 2 - sine, sine * 2 + cosine], dim=3)
    scores = (turned @ key.transpose(2, 3))[0, 0]
    assert torch.allclose(scores[:-7].diagonal(4)[:40], scores[7:, 7:].diagonal(4)[:40])
    assert not torch.allclose(scores.diagonal(4)[:40], scores.diagonal(-4)[:40])
    assert not torch.allclose(scores.diagonal(4)[:40], scores.diagonal(5)[:40])


# ---- settings ------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "attention", "links": 7},
        {"kind": "attention", "weights": "static"},
        {"kind": "convolution", "heads": 2},
        {"kind": "convolution", "protocol": "chord"},
        {"kind": "rotation", "value_hidden": 8},
        {"kind": "none", "hidden": 8},
        {"kind": "none", "start": "random"},
        {"weights": "static", "hidden": 8},
        {"protocol": "chord", "links": 7},
    ],
    ids=str,
)
def test_an_option_without_effect_is_refused(options):
    name = list(options)[-1]
    with pytest.raises(ValueError, match=f"{name} = .* has no effect"):
        MixerSettings(**options)


def test_what_is_written_down_has_effect_and_can_be_read_back(kind):
    written = KINDS[kind].model_dump()
    assert MixerSettings(**written) == KINDS[kind]
    assert set(MixerSettings(kind="attention").model_dump()) == {"kind", "heads"}


@pytest.mark.parametrize(
    ("settings", "channels", "message"),
    [
        (MixerSettings(heads=3), 16, "multiple of block.mixer.heads"),
        (MixerSettings(kind="attention", heads=3), 16, "multiple of block.mixer.heads"),
        (MixerSettings(kind="attention", heads=4), 12, "must be even"),
        (MixerSettings(kind="rotation"), 7, "8 groups of channels"),
    ],
)
def test_channels_that_do_not_fit_are_refused(settings, channels, message):
    with pytest.raises(ValueError, match=message):
        build_mixer(settings, channels, MAX_LENGTH)


def test_lengths_beyond_the_array_are_refused():
    mixer = build_mixer(MixerSettings(), 8, 64)
    values = torch.zeros(2, 8, 40)
    with pytest.raises(ValueError, match="lengths from 12 to 41, and there are 40 positions"):
        mixer(values, values, torch.tensor([12, 41]), torch.tensor([False, True]))
