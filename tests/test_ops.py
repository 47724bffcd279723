"""One suite for every implementation of `link_mix`: the reference defines it, a dense matrix written from the formula checks the reference."""

import os

import pytest
import torch

from genomix.nn import ops
from genomix.nn.links import factor_count, factor_reach, link_offsets
from genomix.nn.ops import reference

FAST = ["torch", "triton"]


def running(name):
    """`link_mix` with one implementation for the time of a test, gradients included."""
    if name == "triton":
        pytest.importorskip("triton")
        if os.environ["TRITON_INTERPRET"] != "1":
            pytest.skip("this suite is for CPUs; test_ops_triton.py tests the kernels on a GPU")
    with ops.using(name):
        yield ops.link_mix


def factors_for(name):
    """Offsets to test: the interpreter is slow."""
    every = link_offsets("cdil", 100, 5)
    return every[2:3] if name == "triton" else every


@pytest.fixture(params=["reference", *FAST])
def link_mix(request):
    if request.param == "reference":
        yield reference.link_mix
    else:
        yield from running(request.param)


@pytest.fixture(params=FAST)
def fast(request):
    """The implementation's name and its operator."""
    for link_mix in running(request.param):
        yield request.param, link_mix


def dense_mix(values, weights, lengths, circular, offsets):
    """out = W v with W written out as a matrix, entry by entry."""
    batch, channels, width = values.shape
    heads = weights.shape[1]
    rows = []
    for b in range(batch):
        n, out = int(lengths[b]), []
        for h in range(heads):
            entries = {}
            for link, offset in enumerate(offsets):
                for i in range(n):
                    j = (i + offset) % n if circular[b] else i + offset
                    if abs(offset) < n and 0 <= j < n:
                        entries[i, j] = entries.get((i, j), 0) + weights[b, h, link, i]
            matrix = torch.stack(
                [torch.stack([torch.as_tensor(entries.get((i, j), 0.0), dtype=values.dtype) for j in range(width)]) for i in range(width)]
            )
            size = channels // heads
            clean = torch.cat([values[b, h * size : (h + 1) * size, :n], torch.zeros(size, width - n, dtype=values.dtype)], dim=1)
            out.append((matrix @ clean.T).T)
        rows.append(torch.cat(out))
    return torch.stack(rows)


def relative_error(found, expected):
    return float(((found - expected).abs().max() / expected.abs().max().clamp(min=1e-300)).detach())


def random_case(lengths, *, channels=6, heads=2, links=5, width=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    width = width or max(lengths)
    values = torch.randn(len(lengths), channels, width, dtype=torch.float64, generator=generator, requires_grad=True)
    weights = torch.randn(len(lengths), heads, links, width, dtype=torch.float64, generator=generator, requires_grad=True)
    circular = torch.arange(len(lengths)) % 2 == 0
    return values, weights, torch.tensor(lengths), circular


def results(function, case, offsets):
    """Value and both gradients."""
    values, weights, lengths, circular = case
    out = function(values, weights, lengths, circular, offsets)
    upstream = torch.sin(torch.arange(out.numel(), dtype=torch.float64, device=out.device)).view(out.shape).to(out.dtype)
    return out, *torch.autograd.grad(out, (values, weights), upstream)


@pytest.mark.parametrize("offsets", [(0, 1, 2, -1, -2), (0, 4, 8, -4, -8), (0, 1, 2, 4, 8), (3, 3, -3, 0, 100)], ids=str)
def test_it_is_the_product_with_a_sparse_matrix(link_mix, offsets):
    case = random_case([1, 2, 3, 8, 9, 12], width=13)
    for found, expected in zip(results(link_mix, case, offsets), results(dense_mix, case, offsets), strict=True):
        assert relative_error(found, expected) < 1e-12


@pytest.mark.parametrize("circular", [True, False])
@pytest.mark.parametrize("lengths", [[63], [64, 64], [1, 2, 63, 64, 65, 100], [0, 5], [100, 100, 100]], ids=str)
@pytest.mark.parametrize(("channels", "heads"), [(1, 1), (60, 4), (3, 3)])
def test_a_fast_version_equals_the_reference(fast, lengths, channels, heads, circular):
    values, weights, sizes, _ = random_case(lengths, channels=channels, heads=heads, width=101)
    case = values, weights, sizes, torch.full((len(lengths),), circular)
    name, link_mix = fast
    for offsets in factors_for(name):
        for found, expected in zip(results(link_mix, case, offsets), results(reference.link_mix, case, offsets), strict=True):
            assert torch.allclose(found, expected, rtol=0, atol=1e-12)


def test_padding_is_never_read_and_comes_out_zero(link_mix):
    values, weights, lengths, circular = random_case([5, 9], width=16)
    poisoned = values.detach().clone()
    for record, length in enumerate(lengths):
        poisoned[record, :, length:] = torch.nan
    offsets = (0, 1, 4, -1, -4)
    out = link_mix(poisoned, weights.detach(), lengths, circular, offsets)
    assert torch.equal(out, link_mix(values, weights, lengths, circular, offsets))
    assert all(not out[record, :, length:].any() for record, length in enumerate(lengths))


@pytest.mark.usefixtures("fast")
def test_torch_accepts_the_operator():
    values, weights, lengths, circular = random_case([4, 7], width=8)
    torch.library.opcheck(torch.ops.genomix.link_mix.default, (values, weights, lengths, circular, [0, 1, 2, -1, -2]))
    turned = values.detach().permute(2, 0, 1).contiguous().permute(1, 2, 0).requires_grad_()
    torch.library.opcheck(torch.ops.genomix.link_mix.default, (turned, weights, lengths, circular, [0, 1, 2, -1, -2]))


def test_it_works_in_bfloat16(fast):
    _, link_mix = fast
    values, weights, lengths, circular = random_case([30, 40])
    offsets = (0, 1, 2, -1, -2)
    exact = reference.link_mix(values, weights, lengths, circular, offsets)
    rough = link_mix(values.bfloat16(), weights.bfloat16(), lengths, circular, offsets)
    assert rough.dtype == torch.bfloat16
    assert torch.allclose(rough.double(), exact, atol=0.15)


@pytest.mark.parametrize(("protocol", "links"), [("chord", 5), ("cdil", 3), ("cdil", 5), ("cdil", 9)])
def test_enough_factors_and_no_more_link_every_position_to_every_other(protocol, links):
    for length in range(1, 71):
        offsets = link_offsets(protocol, length, links)
        for ends_joined in (True, False) if protocol == "cdil" else (True,):
            assert reaches_everywhere(offsets, length, circular=ends_joined)
        assert protocol == "chord" or length == 1 or not reaches_everywhere(offsets[:-1], length, circular=False)


def reaches_everywhere(offsets, length, *, circular):
    reached = {0}
    for links in offsets:
        ends = {i + offset for i in reached for offset in links if abs(offset) < length}
        reached |= {end % length for end in ends} if circular else {end for end in ends if 0 <= end < length}
    return len(reached) == length


@pytest.mark.parametrize(("protocol", "links"), [("chord", 3), ("cdil", 3), ("cdil", 7)])
def test_a_record_takes_part_in_the_factors_that_its_length_needs(protocol, links):
    reach = factor_reach(protocol, factor_count(protocol, 1000, links), links)
    for length in range(1, 1001):
        assert sum(length > each for each in reach) == factor_count(protocol, length, links)


def test_published_sizes():
    chord = link_offsets("chord", 16_384, 5)
    assert len(chord) == 14
    assert chord[0] == (0, *(2**power for power in range(14)))


@pytest.mark.parametrize("links", [1, 2, 4])
def test_cdil_needs_an_odd_number_of_links(links):
    with pytest.raises(ValueError, match="odd number of links"):
        link_offsets("cdil", 64, links)
