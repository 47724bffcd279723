"""What is measured in fresh processes: one step's memory, several operators' speed in turn, the published settings, a preset on a long record."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from genomix.bench import operators
from genomix.bench.equality import difference, published_results, results
from genomix.bench.operators import DNA, DNA_BATCH, DNA_LENGTH, DNA_WIDTH, Alone, Case
from genomix.bench.published import PublishedMixer
from genomix.bench.timing import forget_peak, in_turn, peak_memory
from genomix.nn.mixers import Paramixer

_WARM_LENGTH = 256
_PRODUCT = 2048
"""Rows and columns of the matrices by which the rate of products is measured."""
_COPIED = 1 << 26
"""Numbers of the array that is copied: larger than any cache."""
_SAME_INPUT = {"float32": 1e-3, "bfloat16": 5e-2}
"""Largest relative difference of the two sides on the very input that is timed: gradients of weights are sums over all its positions."""


def waiter(device: str) -> Callable[[], None]:
    """Returns when the device has done what was asked of it."""
    return torch.cuda.synchronize if device == "cuda" else lambda: None


class Peak:
    """The most memory held from now on: on CUDA what torch allocates, else the process's."""

    def __init__(self, device: str) -> None:
        self.device = device
        if device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        else:
            forget_peak()
        self.before = self._most()

    def figures(self) -> dict[str, int]:
        """Bytes above what was held at the start, and in all."""
        most = self._most()
        return {"peak_extra_bytes": most - self.before, "peak_bytes": most}

    def _most(self) -> int:
        return torch.cuda.max_memory_allocated() if self.device == "cuda" else peak_memory()


def one_step(*, operator: str, length: int, batch: int, device: str, dtype: str) -> dict[str, Any]:
    """Memory of a training step, and its seconds; the second of two, as the first one finds all memory fresh."""
    operators.build(operator, _WARM_LENGTH, device=device, dtype=dtype).train()  # loads, or compiles, what any step needs
    case = operators.build(operator, length, batch=batch, device=device, dtype=dtype)
    wait, peak, seconds = waiter(device), Peak(device), 0.0
    for _ in range(2):
        started = time.perf_counter()
        case.train()
        wait()
        seconds = time.perf_counter() - started
    return {"parameters": case.parameters, "step_seconds": seconds, **peak.figures()}


def speeds(*, chosen: Sequence[str], length: int, rounds: int, device: str, dtype: str) -> dict[str, Any]:
    """Median seconds of a training step of each operator, one record of that length."""
    cases = {name: operators.build(name, length, device=device, dtype=dtype) for name in chosen}
    return in_turn({name: case.train for name, case in cases.items()}, rounds, wait=waiter(device))


def scaling(*, operator: str, lengths: Sequence[int], rounds: int, device: str, dtype: str) -> dict[str, list[float]]:
    """Median seconds a position of a training step at each length, one record; the short ones are repeated to the longest one's positions."""
    cases = [operators.build(operator, length, device=device, dtype=dtype) for length in lengths]

    def repeated(case: Case, length: int) -> Callable[[], None]:
        def steps() -> None:
            for _ in range(max(lengths) // length):
                case.train()

        return steps

    sides = {str(number): repeated(*each) for number, each in enumerate(zip(cases, lengths, strict=True))}
    seconds = in_turn(sides, rounds, wait=waiter(device))
    return {"per_position": [seconds[str(number)] / (max(lengths) // length * length) for number, length in enumerate(lengths)]}


def ours_at_published(*, rounds: int, device: str, dtype: str, length: int = DNA_LENGTH) -> dict[str, float]:
    """Median seconds of our block alone on the published settings."""
    case = operators.build("dna", length, batch=DNA_BATCH, device=device, dtype=dtype)
    return {
        kind: in_turn({kind: call}, rounds, wait=waiter(device))[kind] for kind, call in (("train", case.train), ("inference", case.infer))
    }


def against_published(*, rounds: int, device: str, dtype: str, length: int = DNA_LENGTH) -> dict[str, Any]:
    """Our block and the published formulation, with the same weights, on the published settings; and what this device can do: products, copies.

    `error` is by how much the two differ on the very input that is timed.
    """
    ours = operators.build("dna", length, batch=DNA_BATCH, device=device, dtype=dtype)
    assert isinstance(ours.module, Alone)
    rows = ours.input.detach().transpose(1, 2).contiguous().requires_grad_()
    sides = {"ours": ours}
    for name, summed in (("published", False), ("published_summed", True)):
        module = PublishedMixer(ours.module.mixer, length, summed=summed).to(device)
        sides[name] = Case(module, rows, ours.gradient.transpose(1, 2).contiguous(), ours.precision)
    error = _difference_on(ours)
    limits = _limits(device, dtype)
    training = in_turn({name: case.train for name, case in sides.items()} | limits, rounds, wait=waiter(device))
    inference = in_turn({name: case.infer for name, case in sides.items()}, rounds, wait=waiter(device))
    product, copy = (training.pop(name) for name in limits)
    return {
        "error": error,
        "tolerance": _SAME_INPUT[dtype],
        "train_seconds": training,
        "inference_seconds": inference,
        "product_flop_per_second": 2 * _PRODUCT**3 / product,
        "copy_bytes_per_second": 2 * _COPIED * _item(dtype) / copy,
        "link_perceptrons_flop": _link_perceptrons_flop(ours.module.mixer, length * DNA_BATCH),
        "factor_bytes": _factor_bytes(ours.module.mixer, length * DNA_BATCH, dtype),
        "threads": torch.get_num_threads(),
    }


def _difference_on(ours: Case) -> float:
    """Of values and gradients in the precision that is timed."""
    module = ours.module
    assert isinstance(module, Alone)
    with ours.precision():
        found = results(module, ours.input, ours.gradient, list(module.parameters()))
        expected = published_results(module, ours.input.detach(), ours.gradient)
    return difference(found, expected)


def _limits(device: str, dtype: str) -> dict[str, Callable[[], Tensor]]:
    kind = getattr(torch, dtype)
    left, right = torch.randn(2, _PRODUCT, _PRODUCT, device=device, dtype=kind)
    source, copy = torch.randn(_COPIED, device=device).to(kind), torch.empty(_COPIED, device=device, dtype=kind)
    return {"product": lambda: left @ right, "copy": lambda: copy.copy_(source)}


def _item(dtype: str) -> int:
    return int(getattr(torch, dtype).itemsize)


def _link_perceptrons_flop(mixer: Paramixer, positions: int) -> int:
    """Of the link perceptrons' products, forward; the value perceptron is not counted."""
    return sum(2 * positions * DNA.hidden * (DNA_WIDTH + len(offsets)) for offsets in mixer.offsets)


def _factor_bytes(mixer: Paramixer, positions: int, dtype: str) -> int:
    """What all factors must move forward if each reads source and values once and writes its result."""
    return len(mixer.factors) * 3 * positions * DNA_WIDTH * _item(dtype)


def preset_step(*, preset: str, bases: int, device: str, dtype: str) -> dict[str, Any]:
    """One training step (loss, gradients, update) of a preset's network on one linear record of random bases; the second of two."""
    from genomix.bundle import new_model
    from genomix.settings import resolve
    from genomix.settings.run import RunSettings
    from genomix.tokenizers import build_tokenizer
    from genomix.train.optim import build_optimizer

    settings = resolve(RunSettings, preset=preset, environment={})
    tokenizer = build_tokenizer(settings.tokenizer)
    length = (bases - tokenizer.k) // tokenizer.stride + 1
    torch.manual_seed(0)
    network = new_model(settings.model, settings.tokenizer, 2).to(device).train()
    optimizer = build_optimizer(network, settings.train)
    tokens = torch.randint(tokenizer.vocabulary, (1, length), dtype=torch.int32, device=device)
    lengths, rings = torch.tensor([length], device=device), torch.zeros(1, dtype=torch.bool, device=device)
    wait, peak, seconds = waiter(device), Peak(device), 0.0
    for _ in range(2):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with operators.autocast(device, dtype)():
            logits = network(tokens, lengths, rings)
        torch.nn.functional.cross_entropy(logits.float(), torch.tensor([1], device=device)).backward()
        optimizer.step()
        wait()
        seconds = time.perf_counter() - started
    return {"preset": preset, "bases": bases, "tokens_per_second": length / seconds, "seconds": seconds, **peak.figures()}
