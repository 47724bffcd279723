"""Triton's kernels: in its interpreter on the CPU, or on a GPU with TRITON_INTERPRET=0. test_ops.py holds them to the contract of all implementations; here are the
shapes, types and layouts that only kernels can get wrong, and the fused factor."""

import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from test_ops import relative_error, results

from genomix.nn import ops
from genomix.nn.layers import Perceptron
from genomix.nn.mixers import MixerSettings, Paramixer
from genomix.nn.ops import choice, reference

if find_spec("triton") is None:
    pytest.skip("Triton is for Linux", allow_module_level=True)

INTERPRETED = os.environ["TRITON_INTERPRET"] == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("neither the interpreter nor a GPU", allow_module_level=True)

from genomix.nn.ops.triton import fused, probe  # noqa: E402 - it needs triton

DEVICE = "cpu" if INTERPRETED else "cuda"
TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
"""Relative to the largest entry; the halves are rounded once, at the end (and before the second product, where there are two)."""


@pytest.fixture(autouse=True)
def _triton():
    with ops.using("triton"):
        yield


def mixing_case(lengths, channels, heads, links, *, dtype=torch.float64, width=None):
    """Values, weights, lengths and rings, padding filled with NaN."""
    generator = torch.Generator().manual_seed(channels)
    width = width or max(lengths)
    values = torch.randn(len(lengths), channels, width, dtype=torch.float64, generator=generator)
    for record, length in enumerate(lengths):
        values[record, :, length:] = torch.nan
    weights = torch.randn(len(lengths), heads, links, width, dtype=torch.float64, generator=generator)
    case = values.to(dtype), weights.to(dtype), torch.tensor(lengths), torch.arange(len(lengths)) % 2 == channels % 2
    return tuple(part.to(DEVICE) for part in case)


def require_equal(case, offsets):
    values, weights, *rest = case
    dtype = values.dtype
    exact = [values.detach().double().requires_grad_(), weights.detach().double().requires_grad_(), *rest]
    rough = [values.detach().clone().requires_grad_(), weights.detach().clone().requires_grad_(), *rest]
    for found, expected in zip(results(ops.link_mix, rough, offsets), results(reference.link_mix, exact, offsets), strict=True):
        assert found.dtype == dtype
        assert relative_error(found.double(), expected) < TOLERANCE[dtype]


# ---- link_mix ------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "heads"), [(1, 1), (31, 1), (70, 2)])
def test_short_and_long_records_in_one_batch_with_duplicate_offsets(channels, heads):
    require_equal(mixing_case([1, 2, 63, 64, 65, 1000], channels, heads, 4, width=1003), (0, 1, 1, -64))


@pytest.mark.parametrize("heads", ["one", "a channel each"])
def test_any_number_of_channels(heads):
    for channels in range(1, 71) if heads == "one" else (2, 5, 9):
        require_equal(mixing_case([9], channels, 1 if heads == "one" else channels, 3), (0, 4, -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_type_is_rounded_once(dtype):
    require_equal(mixing_case([5, 64, 70], 12, 3, 7, dtype=dtype), (0, 1, -1, 2, -2, 2, 66))


def test_a_sum_of_many_links_in_half_precision_is_kept_in_float32():
    width, links = 8, 300
    values, weights = (torch.ones(shape, dtype=torch.bfloat16, device=DEVICE) for shape in [(1, 1, width), (1, 1, links, width)])
    inputs = values, weights, torch.tensor([width], device=DEVICE), torch.tensor([True], device=DEVICE), (0,) * links
    assert ops.link_mix(*inputs).eq(300).all()  # in bfloat16, 256 + 1 is 256


def test_any_strides():
    values, weights, *rest = mixing_case([30, 33], 6, 2, 3)
    turned = values.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    one = torch.randn(6, 1, dtype=torch.float64, device=DEVICE).expand(2, -1, 33).view(2, 2, 3, 33)
    assert (turned.stride(2), one.stride(3)) == (12, 0)
    for weight in (weights, one):
        require_equal((values, weight, *rest), (0, 1, -8))
        assert torch.equal(ops.link_mix(turned, weight, *rest, (0, 1, -8)), ops.link_mix(values, weight, *rest, (0, 1, -8)))


def scattered(tensor):
    """The same numbers with their channels 2^30 apart, on pages that are mapped but, these few excepted, never touched."""
    records, channels, width = tensor.shape
    apart = 2**30 + 8
    place = torch.empty((channels - 1) * apart + records * width, dtype=tensor.dtype)
    return place.as_strided(tensor.shape, (width, apart, 1)).copy_(tensor)


@pytest.mark.skipif(not INTERPRETED, reason="maps 4 GiB of memory twice")
def test_addresses_beyond_31_bits():
    values, source, layers, rest = factor_case([4, 4], 3, 2, 2, dtype=torch.bfloat16)
    weights = torch.randn(2, 1, 2, 4, dtype=torch.bfloat16)
    far = scattered(values)
    assert torch.equal(ops.link_mix(far, weights, *rest, (0, 1)), ops.link_mix(values, weights, *rest, (0, 1)))
    with torch.no_grad():
        near = one_factor(source, values, layers, *rest, (0, 1), heads=1)
        assert torch.equal(one_factor(scattered(source), far, layers, *rest, (0, 1), heads=1), near)


@pytest.mark.skipif(not INTERPRETED, reason="maps 4 GiB of memory")
def test_weights_beyond_31_bits():
    values, _, _, rest = factor_case([4], 2, 2, 2, dtype=torch.bfloat16)
    weights = torch.randn(1, 1, 3, 4, dtype=torch.bfloat16)
    far = scattered(weights[0]).unsqueeze(0)
    assert torch.equal(ops.link_mix(values, far, *rest, (0, 1, 2)), ops.link_mix(values, weights, *rest, (0, 1, 2)))


def test_no_position_at_all():
    values, weights = torch.empty(2, 4, 0, device=DEVICE), torch.empty(2, 2, 1, 0, device=DEVICE)
    inputs = torch.zeros(2, dtype=torch.int64, device=DEVICE), torch.zeros(2, dtype=torch.bool, device=DEVICE)
    assert ops.link_mix(values, weights, *inputs, (0,)).shape == (2, 4, 0)


# ---- the fused factor ----------------------------------------------------------------------------------------------------------------------------


def factor_case(lengths, channels, hidden, rows, *, dtype=torch.float64, width=None):
    torch.manual_seed(channels)
    width = width or max(lengths)
    values, source = torch.randn(2, len(lengths), channels, width, dtype=torch.float64, device=DEVICE).to(dtype)
    layers = Perceptron(channels, hidden, rows).double().to(DEVICE, dtype)
    rest = torch.tensor(lengths, device=DEVICE), (torch.arange(len(lengths)) % 2 == 0).to(DEVICE)
    return values, source, layers, rest


def one_factor(source, values, layers, lengths, circular, offsets, *, heads):
    return ops.factors(source, values, [layers.weights], [lengths], circular, [offsets], heads=heads)


def by_the_reference(values, source, layers, rest, offsets, heads):
    weights = layers(source).view(len(values), heads, len(offsets), -1)
    return values + reference.link_mix(values, weights, *rest, offsets)


def by_the_operator(values, source, layers, rest, offsets, heads):
    return one_factor(source, values, layers, *rest, offsets, heads=heads)


def with_gradients(function, values, source, layers, *rest):
    inputs = [values.detach().clone().requires_grad_(), source.detach().clone().requires_grad_()]
    out = function(*inputs, layers, *rest)
    upstream = torch.sin(torch.arange(out.numel(), dtype=torch.float64, device=DEVICE)).view(out.shape).to(out.dtype)
    return [out, *torch.autograd.grad(out, [*inputs, *layers.parameters()], upstream)]


@pytest.fixture
def fused_runs(monkeypatch):
    """The passes that were fused: forward, backward."""
    calls = []

    def counted(name, run):
        return lambda *given: calls.append(name) or run(*given)

    for name in ("forward", "backward"):
        monkeypatch.setattr(fused, name, counted(name, getattr(fused, name)))
    return calls


FACTORS = {
    "lengths": ([1, 2, 63, 64, 65, 0, 130], 6, 2, 5, (0, 1, 1, -2, 70)),
    "heads": ([40, 50], 14, 7, 20, (0, 1, -1)),
    "channels": ([33], 33, 1, 40, (0, 1, 2, 4, 8, 16, 32)),
    "the default's": ([70], 64, 4, 16, (0, 4, 8, -4, -8)),
}


@pytest.mark.parametrize("shape", FACTORS)
@pytest.mark.parametrize("dtype", [torch.float64 if INTERPRETED else torch.float32, torch.bfloat16])
def test_the_fused_factor_equals_perceptron_and_reference(fused_runs, shape, dtype):
    lengths, channels, heads, hidden, offsets = FACTORS[shape]
    values, source, layers, rest = factor_case(lengths, channels, hidden, heads * len(offsets), dtype=dtype, width=max(lengths) + 3)
    exact = values.double(), source.double(), Perceptron(channels, hidden, heads * len(offsets)).to(DEVICE).double()
    exact[2].load_state_dict(layers.state_dict())
    expected = with_gradients(by_the_reference, *exact, rest, offsets, heads)
    found = with_gradients(lambda *inputs: by_the_operator(*inputs, rest, offsets, heads), values, source, layers)
    assert fused_runs == ["forward", "backward"]
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one.double(), other) < TOLERANCE[dtype] * (1 if dtype == torch.bfloat16 else 10)


def test_the_fused_factor_reads_no_padding_of_the_source_and_keeps_that_of_the_values():
    values, source, layers, rest = factor_case([5, 9], 4, 3, 6, width=12)
    poisoned = source.clone()
    poisoned[0, :, 5:], poisoned[1, :, 9:] = torch.nan, torch.nan
    apply = lambda *inputs: by_the_operator(*inputs, rest, (0, 1, -1), 2)  # noqa: E731
    for found, expected in zip(with_gradients(apply, values, poisoned, layers), with_gradients(apply, values, source, layers), strict=True):
        assert torch.equal(found, expected)
    with torch.no_grad():
        assert torch.equal(apply(values, source, layers)[0, :, 5:], values[0, :, 5:])


def test_the_fused_factor_follows_autocast(fused_runs):
    values, source, layers, rest = factor_case([20], 4, 3, 6, dtype=torch.float32)
    expected = with_gradients(by_the_reference, values, source, layers, rest, (0, 1, -1), 2)
    with torch.autocast(DEVICE, torch.bfloat16):
        found = with_gradients(by_the_operator, values, source, layers, rest, (0, 1, -1), 2)
    assert fused_runs == ["forward", "backward"]
    assert found[0].dtype == torch.bfloat16
    assert all(gradient.dtype == torch.float32 for gradient in found[1:])
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) < 0.03


def gradients_of(mixer, values, source, *rest):
    """The result and the gradients of the mixer's parameters."""
    out = mixer(values, source, *rest)
    return [out, *torch.autograd.grad(out.square().sum(), list(mixer.parameters()))]


@pytest.mark.parametrize(
    ("settings", "passes"),
    [
        (MixerSettings(heads=2, hidden=5), {"forward", "backward"}),
        (MixerSettings(heads=2, weights="static"), set()),
        (MixerSettings(heads=1, protocol="chord", hidden=128), {"forward"}),  # backward, large perceptrons would run once a link
        (MixerSettings(heads=1, hidden=129), set()),
    ],
    ids=["small", "static", "large", "too large"],
)
def test_a_mixer_is_fused_where_it_pays(fused_runs, settings, passes):
    torch.manual_seed(0)
    mixer = Paramixer(64, 33, settings).to(DEVICE)
    values, source = torch.randn(2, 1, 64, 33, device=DEVICE)
    rest = torch.tensor([33], device=DEVICE), torch.tensor([False], device=DEVICE)
    apply = lambda: gradients_of(mixer, values, source, *rest)  # noqa: E731
    found = apply()
    assert set(fused_runs) == passes
    with ops.using("torch"):
        plain = apply()
    for one, other in zip(found, plain, strict=True):
        assert relative_error(one, other) < 1e-5


# ---- which implementation, and whether it compiles -----------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_forced(monkeypatch):
    choice._has_triton.cache_clear()
    monkeypatch.setattr(choice, "_launch", lambda: probe.launch(torch.device(DEVICE)))
    with pytest.MonkeyPatch.context() as patch:  # over before what the tests force is taken back
        patch.setattr(choice, "_forced", [])
        yield
    choice._has_triton.cache_clear()


def test_the_device_decides_and_the_environment_may_switch_off(nothing_forced, monkeypatch):
    assert [ops.described(device) for device in ("cpu", "cuda", "mps")] == ["compiled C", "Triton kernels", "plain torch"]
    monkeypatch.setattr(choice.compiled, "library", lambda: None)
    assert [choice.chosen(device) for device in ("cpu", "cuda")] == ["torch", "triton"]
    monkeypatch.setenv("GENOMIX_NATIVE", "0")
    assert choice.chosen("cuda") == "torch"


def test_without_triton_the_gpu_runs_plain_torch_and_says_so_once(nothing_forced, monkeypatch, caplog):
    monkeypatch.setattr(choice, "find_spec", lambda _: None)
    with caplog.at_level(logging.WARNING, "genomix"):
        assert [choice.chosen("mps"), choice.chosen("cuda"), choice.chosen("cuda")] == ["torch"] * 3
    assert [record.message for record in caplog.records] == [
        "Triton is not installed: on the GPU links are mixed by plain torch, which is slower"
    ]


def test_where_triton_fails_the_gpu_runs_plain_torch_and_says_why_once(nothing_forced, monkeypatch, caplog):
    def fails():
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable\nor more")

    monkeypatch.setattr(choice, "_launch", fails)
    with caplog.at_level(logging.WARNING, "genomix"):
        assert [choice.chosen("cuda"), choice.chosen("cuda")] == ["torch"] * 2
    assert [record.message for record in caplog.records] == [
        (
            "Triton does not work here (Failed to find C compiler. Please specify via CC environment variable): "
            "on the GPU links are mixed by plain torch, which is slower"
        )
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_is_where_triton_fails(monkeypatch, caplog):
    choice._has_triton.cache_clear()
    with caplog.at_level(logging.WARNING, "genomix"):
        assert not choice._has_triton()
    choice._has_triton.cache_clear()
    assert caplog.text.count("Triton does not work here (") == 1


def test_every_kernel_compiles_for_gpus_and_fits_into_them(tmp_path):
    """The interpreter takes Python that the compiler doesn't; machine code is made here without a GPU, in a process that doesn't interpret."""
    script = Path(__file__).parent / "compile_kernels.py"
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shared = {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in done.stdout.splitlines()}
    assert len(shared) == 2 * 6
    assert {name: size for name, size in shared.items() if size > 99 * 1024} == {}
