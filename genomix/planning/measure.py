"""Short runs of a network, to learn what it costs: the bytes that its tensors take, and seconds.

On a CPU the bytes are what PyTorch's profiler sees its allocator give out and take back, so what Python, the libraries and the system's own allocator add is
not in them; on a CUDA device they are the allocator's statistics.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd.profiler import profile, record_function

from genomix.nn.classifier import Classifier, ModelSettings

Way = Literal["plain", "recomputed", "prediction"]
"""A training step that keeps all activations, one that computes them again in its backward pass, and prediction."""

Precision = Literal["fp32", "bf16"]

_FORWARD = "genomix forward pass"


@dataclass(frozen=True, slots=True)
class Sample:
    """One record through the network.

    Attributes:
        tokens: of the record.
        kept: bytes that are held when the forward pass is done.
        peak: most bytes held at once.
        seconds: None where the time was not asked for.
    """

    tokens: int
    kept: int
    peak: int
    seconds: float | None


class Specimen:
    """A network to measure, with random weights; what training adds to its bytes beside the step itself is not in the samples.

    Args:
        vocabulary: see `Classifier`.

    Attributes:
        network: the one that is measured.
        classifier: whose stages are computed again, the network itself or a part of it.
    """

    network: nn.Module
    classifier: Classifier

    def __init__(self, settings: ModelSettings, vocabulary: int, device: torch.device, precision: Precision) -> None:
        self.vocabulary, self.device, self.precision = vocabulary, device, precision
        self.measured_on = device if device.type == "cuda" else torch.device("cpu")
        self._make(settings)

    def _make(self, settings: ModelSettings) -> None:
        self.network = self.classifier = Classifier(settings, self.vocabulary, classes=2)

    def sample(self, tokens: int, way: Way, *, timed: bool) -> Sample:
        kept, peak = self._bytes(*self._passes(tokens, way, self.measured_on))
        return Sample(tokens, kept, peak, self._seconds(tokens, way) if timed else None)

    def _bytes(self, forward: Callable[[], Tensor], backward: Callable[[Tensor], object]) -> tuple[int, int]:
        if self.measured_on.type != "cuda":
            return profiled_bytes(forward, backward)
        backward(forward())  # the libraries take their work space at the first call, and keep it
        self.network.zero_grad(set_to_none=True)
        return _cuda_bytes(forward, backward, self.device)

    def _passes(self, tokens: int, way: Way, device: torch.device) -> tuple[Callable[[], Tensor], Callable[[Tensor], object]]:
        """The two passes over one record: a forward pass gives a number, the backward pass takes it; prediction has no backward pass."""
        self._set(way, device)

        def forward() -> Tensor:
            record = torch.randint(self.vocabulary, (1, tokens), dtype=torch.int32).to(device)
            lengths, circular = torch.tensor([tokens], device=device), torch.tensor([False], device=device)
            with self._as_in_use(way, device):
                return self._number(record, lengths, circular, way)

        return forward, (lambda _: None) if way == "prediction" else torch.autograd.backward

    def _set(self, way: Way, device: torch.device) -> None:
        self.network.to(device).train(way != "prediction")
        self.classifier.recompute = way == "recomputed"
        self.network.zero_grad(set_to_none=True)  # not within what is measured: its gradients would be counted as given back

    @contextmanager
    def _as_in_use(self, way: Way, device: torch.device) -> Iterator[None]:
        with (
            torch.inference_mode(way == "prediction"),
            torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16" and way != "prediction"),
        ):
            yield

    def _number(self, record: Tensor, lengths: Tensor, circular: Tensor, way: Way) -> Tensor:
        network = self.classifier
        if way == "prediction":
            return network(record, lengths, circular).sum()
        return network.head(network.pooled(record, lengths, circular)).square().sum()  # composition is known before training

    def _seconds(self, tokens: int, way: Way) -> float:
        forward, backward = self._passes(tokens, way, self.device)
        wait = torch.get_device_module(self.device).synchronize
        seconds = []
        for _ in range(3):  # the first time is slower, and another program may get in the way of one
            wait()
            started = time.perf_counter()
            backward(forward())
            wait()
            seconds.append(time.perf_counter() - started)
        return min(seconds)


def _cuda_bytes(forward: Callable[[], Tensor], backward: Callable[[Tensor], object], device: torch.device) -> tuple[int, int]:
    """Bytes held between the passes, and at most."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    loss = forward()
    kept = torch.cuda.memory_allocated(device) - before
    backward(loss)
    return kept, torch.cuda.max_memory_allocated(device) - before


def profiled_bytes(forward: Callable[[], Tensor], backward: Callable[[Tensor], object]) -> tuple[int, int]:
    """Bytes held between the passes, and at most, in main memory."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # read at the first use; else the profiler writes to stderr that it starts and stops
    with profile(use_kineto=True, profile_memory=True) as profiler:
        with record_function(_FORWARD):
            loss = forward()
        backward(loss)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    span = next(event for event in events if event.get("name") == _FORWARD)
    changes = [(event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]"]
    held = peak = kept = 0
    for moment, change in sorted(changes, key=itemgetter(0)):
        held += change
        peak = max(peak, held)
        if moment <= span["ts"] + span["dur"]:
            kept = held
    return kept, peak
