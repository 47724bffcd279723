"""One suite for the implementations of a factor on a CPU (Triton's is in test_ops_triton.py), held against its formula by plain autograd in float64."""

import os
import platform
from dataclasses import replace

import pytest
import torch
from several_processes import finish, run_all, start
from torch.nn import functional as F

from genomix.native import SWITCH, compiler, portable
from genomix.nn.layers import Perceptron
from genomix.nn.mixers import MixerSettings
from genomix.nn.mixers.paramixer import Paramixer, inputs_kept
from genomix.nn.ops import chain as operations
from genomix.nn.ops import chunked, native, reference, using
from genomix.nn.ops.native import compiled
from genomix.nn.ops.problem import Problem

WIDTHS = [(1, [1, 1, 1]), (33, [33, 1, 20]), (192, [192, 97, 96]), (257, [257, 256, 65]), (1000, [1000, 64, 0])]
EVEN_HEADS = [(20, 4, 9, 5), (40, 8, 9, 5), (80, 16, 9, 5), (160, 8, 9, 5)]
SHAPES = [(32, 32, 128, 1), (64, 64, 16, 4), *EVEN_HEADS, (5, 3, 7, 1), (6, 9, 17, 3), (1, 1, 1, 1), (70, 70, 33, 10), (16, 4, 9, 1)]
"""Channels, source channels, hidden width, heads. Heads of 4 to 32 channels are whole vectors, one or two, on some processor."""
OFFSETS = [(0, 1, -1, 2, 4, -8, 64, 100, -300), (0,), (1, 1, 512, -512, 999)]


def problem(shape, width, lengths, offsets, dtype=torch.float32):
    channels, sources, hidden, heads = shape
    generator = torch.Generator().manual_seed(0)
    links = len(offsets)

    def drawn(*size):
        return torch.randn(*size, generator=generator).to(dtype)

    perceptron = (
        drawn(hidden, sources) / sources**0.5,
        drawn(hidden),
        drawn(heads * links, hidden) / hidden**0.5 / links,
        drawn(heads * links) / links,
    )
    batch = len(lengths)
    rings = torch.arange(batch) % 2 == 0
    return Problem(drawn(batch, sources, width), drawn(batch, channels, width), perceptron, torch.tensor(lengths), rings, offsets, heads)


def by_formula(given, grad):
    """The result and all gradients, by plain autograd in float64."""
    inputs = [tensor.double().requires_grad_() for tensor in (given.source, given.values, *given.perceptron)]
    source, values, w1, b1, w2, b2 = inputs
    outputs = (w2 @ F.gelu(w1 @ source + b1[:, None]) + b2[:, None]).unflatten(1, (given.heads, len(given.offsets)))
    result = values + reference.link_mix(values, outputs, given.lengths, given.circular, given.offsets)
    return [result.detach(), *torch.autograd.grad(result, inputs, grad.double())]


def assert_close(found, expected, tolerance):
    for ours, exact in zip(found, expected, strict=True):
        assert (ours.double() - exact).abs().max() <= tolerance * exact.abs().max().clamp(min=0.1)


def compiled_factor_of(given, grad):
    """The result and all gradients, by the compiled factor."""
    inputs = [tensor.clone().requires_grad_() for tensor in (given.source, given.values, *given.perceptron)]
    result = one_factor(given, inputs)
    return [result.detach(), *torch.autograd.grad(result, inputs, grad)]


def one_factor(given, inputs=None):
    source, values, *perceptron = inputs or (given.source, given.values, *given.perceptron)
    return operations.factors(source, values, [tuple(perceptron)], [given.lengths], given.circular, [given.offsets], heads=given.heads)


@pytest.fixture
def compiled_factor():
    if compiled.library() is None:
        pytest.skip("no C compiler here")


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("offsets", OFFSETS)
@pytest.mark.parametrize(("width", "lengths"), WIDTHS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("compiled_factor", "threads")
def test_the_compiled_factor_is_its_formula(shape, width, lengths, offsets):
    given = problem(shape, width, lengths, offsets)
    grad = torch.randn(given.values.shape, generator=torch.Generator().manual_seed(1))
    assert native.serves(given)
    assert_close(compiled_factor_of(given, grad), by_formula(given, grad), 5e-6)


@pytest.mark.parametrize("stretch", [3, 50, 4096])
@pytest.mark.parametrize(("width", "lengths"), WIDTHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_factor_in_plain_torch_is_its_formula(shape, width, lengths, stretch, monkeypatch):
    monkeypatch.setattr(chunked, "STRETCH", stretch)
    given = problem(shape, width, lengths, OFFSETS[0], torch.float64)
    grad = torch.randn(given.values.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert_close([chunked.forward(given), *chunked.backward(grad, given)], by_formula(given, grad), 1e-12)


@pytest.mark.parametrize("name", ["native", "chunked"])
def test_a_perceptron_alone(name, monkeypatch, request):
    """Through autograd, as the layers call it."""
    if name == "native":
        request.getfixturevalue("compiled_factor")
    else:
        monkeypatch.setattr(native, "serves", lambda _: False)
    torch.manual_seed(0)
    inputs = [torch.randn(size, requires_grad=True) for size in [(2, 5, 150), (9, 5), (9,), (70, 9), (70,)]]
    found = operations.perceptron(inputs[0], tuple(inputs[1:]))
    source, w1, b1, w2, b2 = inputs
    expected = w2 @ F.gelu(w1 @ source + b1[:, None]) + b2[:, None]
    grad = torch.randn(expected.shape)
    assert_close(
        [found, *torch.autograd.grad(found, inputs, grad)],
        [part.double() for part in (expected, *torch.autograd.grad(expected, inputs, grad))],
        5e-6,
    )


@pytest.mark.parametrize("name", ["native", "torch"])
def test_arrays_in_any_order_of_memory(name, request):
    if name == "native":
        request.getfixturevalue("compiled_factor")
    given = problem((8, 8, 16, 2), 100, [100, 60], (0, 1, -4))
    plain = [given.source, given.values, *given.perceptron]
    turned = [tensor.transpose(-1, -2).contiguous().transpose(-1, -2) if tensor.ndim > 1 else tensor for tensor in plain]
    assert not turned[0].is_contiguous()
    found = []
    with using(name):
        for inputs in ([tensor.clone().requires_grad_() for tensor in plain], [tensor.detach().requires_grad_() for tensor in turned]):
            whole, alone = one_factor(given, inputs), operations.perceptron(inputs[0], tuple(inputs[2:]))
            loss = (whole * whole).sum() + (alone * alone).sum()
            found.append([whole, alone, *torch.autograd.grad(loss, inputs)])
    assert_close(found[0], [tensor.double() for tensor in found[1]], 1e-6)


def test_several_factors_are_one_after_the_other():
    """Values, gradients and those of a source that all factors share; the second leaves one record out, as the mixers do with short ones."""
    given = problem((8, 12, 16, 2), 100, [100, 60], (0, 1, -4))
    lengths, offsets = [given.lengths, torch.tensor([100, 0]), given.lengths], [given.offsets, (0, 8, -16), (2, -2, 50)]
    inputs = [tensor.clone().requires_grad_() for tensor in (given.source, given.values, *given.perceptron)]
    source, values, *perceptron = inputs
    grad = torch.randn(given.values.shape)
    together = operations.factors(source, values, [tuple(perceptron)] * 3, lengths, given.circular, offsets, heads=2)
    found = [together, *torch.autograd.grad(together, inputs, grad)]
    by_hand = values
    for taking_part, links in zip(lengths, offsets, strict=True):
        by_hand = operations.factors(source, by_hand, [tuple(perceptron)], [taking_part], given.circular, [links], heads=2)
    expected = [by_hand, *torch.autograd.grad(by_hand, inputs, grad)]
    assert_close(found, [tensor.double() for tensor in expected], 2e-6)
    assert torch.equal(together[1, :, 60:], given.values[1, :, 60:])
    with torch.no_grad():
        assert torch.equal(operations.factors(source, values, [tuple(perceptron)] * 3, lengths, given.circular, offsets, heads=2), together)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["native", "torch"])
def test_what_is_computed_again_is_the_same_to_the_last_bit_and_less_is_kept(name, number, request):
    if name == "native":
        request.getfixturevalue("compiled_factor")
    given = problem((8, 12, 16, 2), 100, [100, 60], (0, 1, -4))
    inputs = [tensor.clone().requires_grad_() for tensor in (given.source, given.values, *given.perceptron)]
    source, values, *perceptron = inputs
    grad = torch.randn(given.values.shape)

    def five(number):
        offsets = [(0, 1, -4), (0, 8, -16), (2, -2, 50), (0, 3, 4), (1, -1, 7)]
        return operations.factors(
            source, values, [tuple(perceptron)] * 5, [given.lengths] * 5, given.circular, offsets, heads=2, kept=number
        )

    with using(name):
        whole, less = five(None), five(number)
        kept = [len(result.grad_fn.saved_tensors) for result in (whole, less)]
        assert torch.equal(whole, less)
        assert kept[0] - kept[1] == 5 - number
        for one, other in zip(torch.autograd.grad(whole, inputs, grad), torch.autograd.grad(less, inputs, grad), strict=True):
            assert torch.equal(one, other)
        for wrong in (0, 6):
            with pytest.raises(ValueError, match=f"what goes into {wrong} of 5 factors can't be kept"):
                five(wrong)


@pytest.mark.parametrize(
    ("size", "kept"), [(1, 20), ((3 << 29) // 20, 20), ((3 << 29) // 20 + 1, 19), (1 << 27, 12), (1 << 28, 6), (1 << 29, 5)]
)
def test_a_mixer_keeps_so_much_of_what_goes_into_its_factors(size, kept):
    assert inputs_kept(size, 20) == kept


def test_a_long_record_keeps_less_until_the_backward_pass_and_learns_the_same(monkeypatch):
    mixer = Paramixer(8, 100, MixerSettings())
    values = torch.randn(1, 8, 100, requires_grad=True)
    lengths, circular = torch.tensor([100]), torch.tensor([False])
    found = []
    for most in (1 << 20, 3 * values.nbytes):
        monkeypatch.setattr("genomix.nn.mixers.paramixer.MOST_KEPT", most)
        result = mixer(values, values, lengths, circular)
        found.append((len(result.grad_fn.saved_tensors), torch.autograd.grad(result.square().sum(), [values, *mixer.parameters()])))
    assert found[0][0] - found[1][0] == len(mixer.offsets) - 3
    assert all(torch.equal(one, other) for one, other in zip(found[0][1], found[1][1], strict=True))


@pytest.mark.usefixtures("compiled_factor")
def test_what_compiled_factors_kept_is_given_back_by_the_backward_pass():
    given = problem((8, 8, 16, 2), 100, [100, 60], (0, 1, -4))
    values = given.values.clone().requires_grad_()
    links = [given.offsets] * 2
    result = operations.factors(given.source, values, [given.perceptron] * 2, [given.lengths] * 2, given.circular, links, heads=2)
    first, second = result.grad_fn.saved_tensors[-2:]
    assert torch.equal(first, given.values.transpose(1, 2))
    [gradient] = torch.autograd.grad(result, [values], torch.ones_like(result), retain_graph=True)
    assert second.untyped_storage().nbytes() == 0
    assert torch.equal(first, gradient.transpose(1, 2)), "its memory takes up the gradient"
    with pytest.raises(RuntimeError, match="go backward once"):
        torch.autograd.grad(result, [values], torch.ones_like(result))


@pytest.mark.usefixtures("compiled_factor")
def test_large_inputs_and_what_is_not_finite():
    """GELU far out is the identity and zero, and a score that is not finite must stay so: it is what ends a diverged run."""
    wide = torch.tensor([[[-1e30, -100.0, -6.0, -5.0, -1e-4, 0.0, 1e-4, 5.0, 6.0, 100.0, 1e30]]])
    one, none = torch.ones(1, 1), torch.zeros(1)
    found = operations.perceptron(wide, (one, none, one, none))
    assert torch.allclose(found, F.gelu(wide), rtol=1e-6, atol=2e-5)
    inputs = wide[..., 1:-1].clone().requires_grad_()
    exact = wide[..., 1:-1].clone().requires_grad_()
    [slope] = torch.autograd.grad(operations.perceptron(inputs, (one, none, one, none)).sum(), [inputs])
    [expected] = torch.autograd.grad(F.gelu(exact).sum(), [exact])
    assert torch.allclose(slope, expected, atol=2e-6)
    far = torch.tensor([[[-1e38, -1e30, 1e30, 1e38]]], requires_grad=True)
    [slope] = torch.autograd.grad(operations.perceptron(far, (one, none, one, none)).sum(), [far])
    assert slope.tolist() == [[[0.0, 0.0, 1.0, 1.0]]]
    for odd in (torch.nan, torch.inf, -torch.inf):
        inputs = torch.tensor([[[1.0, odd, 2.0]]], requires_grad=True)
        result = operations.perceptron(inputs, (one, none, one, none))
        [slope] = torch.autograd.grad(result.sum(), [inputs])
        assert not torch.isfinite(result).all()
        assert not torch.isfinite(slope).all()


def test_other_precisions_and_too_many_links_go_to_plain_torch():
    given = problem((4, 4, 4, 1), 80, [80], (0, 1))
    assert not native.serves(problem((4, 4, 4, 1), 80, [80], (0, 1), torch.float64))
    assert not native.serves(problem((4, 4, 4, 1), 80, [80], tuple(range(native.MOST_LINKS + 1))))
    assert native.serves(given) == (compiled.library() is not None)


@pytest.mark.parametrize("spoiled", ["switched off", "no compiler", "broken compiler", "no home"])
def test_without_a_compiled_factor_plain_torch_does_the_work(spoiled, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(portable, "FOLDER", tmp_path)
    if spoiled == "switched off":
        monkeypatch.setenv(SWITCH, "0")
    elif spoiled == "no home":

        def homeless(name):
            raise RuntimeError("could not determine the home directory")

        monkeypatch.setattr("genomix.native.user_cache_path", homeless)
    else:
        monkeypatch.setattr("shutil.which", lambda _: None if spoiled == "no compiler" else "/bin/false")
    compiled.library.cache_clear()
    try:
        given = problem((4, 4, 4, 1), 80, [80], (0, 1))
        with caplog.at_level("INFO"):
            found = one_factor(given)
            one_factor(given)
        assert_close([found], by_formula(given, torch.ones_like(found))[:1], 5e-6)
        assert len([record for record in caplog.records if "no compiled factor.c" in record.message]) == (spoiled != "switched off")
    finally:
        compiled.library.cache_clear()


@pytest.mark.usefixtures("compiled_factor")
def test_the_library_leaves_the_processor_as_it_was():
    """Linked with -ffast-math it would flush subnormal numbers to zero in the whole process."""
    operations.perceptron(torch.ones(1, 1, 8), (torch.ones(1, 1), torch.zeros(1), torch.ones(1, 1), torch.zeros(1)))
    smallest = torch.tensor([5e-324], dtype=torch.float64)
    assert (smallest * torch.ones(1)).item() > 0


@pytest.mark.usefixtures("compiled_factor")
def test_processes_that_compile_at_once_do_not_disturb_each_other(tmp_path, monkeypatch):
    code = "from genomix.native import portable; from genomix.nn.ops.native import compiled; portable.fitting = lambda _: None; print(compiled.library()._name)"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ended = finish([each for _ in range(3) for each in start(code, world=1)])
    assert [returncode for returncode, _, _ in ended] == [0, 0, 0]
    assert len({said for _, said, _ in ended}) == 1
    [kept] = tmp_path.rglob("*factor*")
    assert kept.suffix == ".so"


@pytest.mark.usefixtures("compiled_factor")
@pytest.mark.parametrize("size", [0, 5_000])
def test_a_cached_library_that_was_cut_short_is_made_again(size, tmp_path, monkeypatch):
    """To load it would end the process, or leave its work to plain torch for good."""
    code = "from genomix.native import portable; from genomix.nn.ops.native import compiled; portable.fitting = lambda _: None; print(compiled.library().lanes())"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run_all(code, world=1)
    [kept] = tmp_path.rglob("*factor*")
    whole = kept.read_bytes()
    os.truncate(kept, size)
    [(returncode, said, _)] = finish(start(code, world=1))
    assert (returncode, int(said) > 0) == (0, True)
    [kept] = tmp_path.rglob("*factor*")
    assert kept.read_bytes() == whole
    made = kept.stat().st_mtime_ns
    run_all(code, world=1)
    assert kept.stat().st_mtime_ns == made


def first(count):
    return lambda tensor: tensor[:count]


WRONG = {
    "channels that heads cannot share": ("values", lambda values: values[:, :3], "3 channels can't be shared out to 2 heads"),
    "a source of fewer positions": ("source", lambda source: source[..., :50], "not of the same records and positions"),
    "a source of one record": ("source", first(1), "not of the same records and positions"),
    "a source of other channels": ("source", lambda source: source[:, :4], r"w1 has the shape \(16, 6\), and \(16, 4\) is needed"),
    "one length for all": ("lengths", first(1), r"lengths has the shape \(1,\), and \(2,\) is needed"),
    "one ring for all": ("circular", first(1), r"circular has the shape \(1,\)"),
    "numbers for rings": ("circular", torch.Tensor.long, "circular is true or false, got torch.int64"),
    "a short bias": (1, first(15), r"b1 has the shape \(15,\), and \(16,\) is needed"),
    "outputs of fewer links": (2, first(4), r"b2 has the shape \(6,\), and \(4,\) is needed"),
    "links without outputs": ("offsets", lambda _: (0, 1), "2 heads of 2 links need 4 outputs, and the perceptron has 6"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", ["native", "torch"])
def test_what_does_not_belong_together_is_refused(name, wrong):
    """C would read and write elsewhere, or leave channels unwritten."""
    given, (what, change, message) = problem((8, 6, 16, 2), 80, [80, 60], (0, 1, -4)), WRONG[wrong]
    if isinstance(what, int):
        changed = tuple(change(weight) if number == what else weight for number, weight in enumerate(given.perceptron))
        given = replace(given, perceptron=changed)
    else:
        given = replace(given, **{what: change(getattr(given, what))})
    with using(name), pytest.raises(ValueError, match=message):
        one_factor(given)


@pytest.mark.parametrize(
    ("shape", "message"), [((3, 20, 100), "w1 has the shape"), ((2, 12, 100), "w1 has the shape"), ((16, 100), "a source is")]
)
@pytest.mark.parametrize("name", ["native", "torch"])
def test_a_perceptron_refuses_other_channels(name, shape, message):
    with using(name), pytest.raises(ValueError, match=message):
        Perceptron(16, 8, 4)(torch.randn(shape))


def test_a_mixer_refuses_records_longer_than_it_was_made_for():
    mixer, values = Paramixer(8, 300, MixerSettings()), torch.randn(1, 8, 301)
    with pytest.raises(ValueError, match="a record of 301 positions, and the mixer is for up to 300"):
        mixer(values, values, torch.tensor([301]), torch.tensor([False]))


@pytest.mark.parametrize("name", ["native", "torch"])
def test_padding_is_not_read(name):
    given = problem((8, 6, 16, 2), 80, [80, 60], (0, 1, -4))
    found = []
    for padding in (0.0, torch.nan):
        source = given.source.clone()
        source[1, :, 60:] = padding
        inputs = [tensor.clone().requires_grad_() for tensor in (source, given.values, *given.perceptron)]
        with using(name):
            found.append(torch.autograd.grad(one_factor(given, inputs), inputs, torch.ones_like(given.values)))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("changed", ["lengths", "circular"])
@pytest.mark.parametrize("name", ["native", "torch"])
def test_records_that_change_before_the_backward_pass_are_noticed(name, changed):
    given = problem((8, 6, 16, 2), 80, [80, 60], (0, 1, -4))
    values = given.values.clone().requires_grad_()
    with using(name):
        result = one_factor(given, [given.source, values, *given.perceptron])
        getattr(given, changed).zero_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            result.sum().backward()


@pytest.mark.parametrize("shape", [(0, 6, 80), (2, 6, 0)])
@pytest.mark.parametrize("name", ["native", "torch"])
def test_nothing_at_all(name, shape):
    given = problem((8, 6, 16, 2), 80, [80, 60], (0, 1, -4))
    source = torch.empty(shape, requires_grad=True)
    values = torch.empty(shape[0], 8, shape[2], requires_grad=True)
    nothing = replace(given, lengths=torch.zeros(shape[0], dtype=torch.long), circular=torch.zeros(shape[0], dtype=torch.bool))
    weights = [tensor.clone().requires_grad_() for tensor in given.perceptron]
    with using(name):
        result = one_factor(nothing, [source, values, *weights])
        assert result.shape == values.shape
        gradients = torch.autograd.grad(result, [source, values, *weights], torch.empty_like(result))
    assert not any(gradient.any() for gradient in gradients)


def test_gradients_of_parameters_of_low_precision_are_added_up_in_float32():
    weights = tuple(tensor.bfloat16().requires_grad_() for tensor in (torch.zeros(1, 1), torch.zeros(1), torch.zeros(1, 1), torch.zeros(1)))
    positions = 600 * chunked.STRETCH
    operations.perceptron(torch.zeros(1, 1, positions, dtype=torch.bfloat16), weights).backward(
        torch.ones(1, 1, positions, dtype=torch.bfloat16)
    )
    assert weights[3].grad.item() == positions


@pytest.fixture(scope="module")
def made_ahead(tmp_path_factory):
    """A folder with the libraries that an image brings along."""
    if compiled.library() is None:
        pytest.skip("no C compiler here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portable, "FOLDER", tmp_path_factory.mktemp("ahead"))
        portable.make(compiled.SOURCES)
        return portable.FOLDER


@pytest.fixture
def without_compiler(made_ahead, tmp_path, monkeypatch):
    monkeypatch.setattr(portable, "FOLDER", made_ahead)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiler.shutil, "which", lambda _: None)
    compiled.library.cache_clear()
    yield made_ahead
    compiled.library.cache_clear()  # or other tests would go on with a library that no other process takes


@pytest.mark.usefixtures("compiled_factor")
def test_a_broken_library_made_ahead_is_passed_over(made_ahead, tmp_path, monkeypatch):
    monkeypatch.setattr(portable, "FOLDER", tmp_path / "ahead")
    portable.FOLDER.mkdir()
    for path in made_ahead.iterdir():
        (portable.FOLDER / path.name).touch()
    compiled.library.cache_clear()
    try:
        assert compiled.library() is not None
    finally:
        compiled.library.cache_clear()


@pytest.mark.skipif(os.name != "posix", reason="a script for a compiler")
def test_what_a_compiler_says_need_not_be_text(tmp_path, monkeypatch):
    script = tmp_path / "cc"
    script.write_text("#!/bin/sh\nprintf '\\351t\\351' >&2\nexit 1\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    with pytest.raises(OSError, match="could not compile it: \ufffdt\ufffd"):
        compiler.build(tmp_path / "x.so", compiled.SOURCES[0], [[]])


def processor(monkeypatch, tmp_path, flags):
    """A machine whose processor has these abilities."""
    monkeypatch.setattr(portable, "CPU_INFO", tmp_path / "cpuinfo")
    portable.CPU_INFO.write_text(f"processor : 0\nflags\t\t: {' '.join(flags)}\n", encoding="utf-8")


@pytest.mark.parametrize("level", portable.LEVELS)
def test_a_library_made_ahead_does_the_work_where_there_is_no_compiler(level, without_compiler, tmp_path, monkeypatch):
    if platform.machine() != "x86_64":
        pytest.skip("levels are those of x86-64")
    own = portable.abilities()
    if not portable.LEVELS[level] <= own:
        pytest.skip(f"this processor can't run {level}")
    processor(monkeypatch, tmp_path, portable.LEVELS[level])
    for shape in [(8, 8, 16, 2), *EVEN_HEADS]:
        given = problem(shape, 300, [300, 97], (0, 1, -4))
        grad = torch.randn_like(given.values)
        assert_close(compiled_factor_of(given, grad), by_formula(given, grad), 5e-6)
    assert compiled.library()._name.endswith(f"-{level}.so")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (portable.LEVELS["x86-64-v4"] | {"sse2"}, "x86-64-v4"),
        (portable.LEVELS["x86-64-v4"] - {"avx512bw"}, "x86-64-v3"),
        (portable.LEVELS["x86-64-v4"] - {"fma"}, "x86-64"),
    ],
)
def test_a_processor_gets_the_fastest_library_that_it_can_run(flags, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(portable, "FOLDER", tmp_path)
    monkeypatch.setattr(portable.platform, "machine", lambda: "x86_64")
    processor(monkeypatch, tmp_path, flags)
    assert portable.fitting(compiled.SOURCES) is None
    for level in portable.LEVELS:
        (tmp_path / f"factor-{compiler.digest(compiled.SOURCES, level)}-{level}.so").touch()
    assert portable.fitting(compiled.SOURCES).name.endswith(f"-{expected}.so")
    monkeypatch.setattr(portable, "digest", lambda *_: "another source")
    assert portable.fitting(compiled.SOURCES) is None


def test_autocast_reaches_the_backward_pass(monkeypatch):
    """Plain torch under bfloat16: the backward pass computes in it too; near the exact gradients, which have the parameters' own precision."""
    monkeypatch.setattr(native, "serves", lambda _: False)
    used = []
    gradients = chunked.link_mix_gradients
    monkeypatch.setattr(
        chunked,
        "link_mix_gradients",
        lambda grad, values, weights, *rest: used.append(weights.dtype) or gradients(grad, values, weights, *rest),
    )
    given = problem((8, 8, 16, 2), 100, [100, 60], (0, 1, -4))
    inputs = [tensor.requires_grad_() for tensor in (given.source, given.values, *given.perceptron)]
    with torch.autocast("cpu", torch.bfloat16):
        result = one_factor(given, inputs)
    grads = torch.autograd.grad(result.float().square().sum() / 2, inputs)
    assert used == [torch.bfloat16]
    assert all(grad.dtype == torch.float32 for grad in grads)
    assert_close([result, *grads], by_formula(given, result.detach()), 0.05)
