"""The factor in C (`factor.c`), for float32 on a CPU: no hidden layer and, in the forward pass, no link weight ever leaves the cache.

It is compiled where it first runs, for the processor at hand, and kept in the user's cache folder; an image brings it compiled (`portable`). Where there is
neither that nor a C compiler plain torch takes its place.
"""

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from genomix.nn.ops.native.compiled import library
from genomix.nn.ops.problem import Problem

MOST_LINKS = 64
_LEAST_TILES = 16
"""Tiles that are worth a thread."""
_mine = threading.local()


class _Factor(ctypes.Structure):
    """`Factor` of factor.c, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("records", "width", "channels", "sources", "hidden", "heads", "links")),
        *(
            (name, ctypes.c_void_p)
            for name in ("offsets", "lengths", "circular", "source", "values", "w1", "b1", "w2", "b2", "w1t", "w2t", "grad", "weights")
        ),
    )


def serves(problem: Problem) -> bool:
    """Whether this implementation can do it."""
    tensors = (problem.source, problem.values, *problem.perceptron)
    plain = all(tensor is None or (tensor.dtype == torch.float32 and tensor.device.type == "cpu") for tensor in tensors)
    return plain and (problem.values is None or len(problem.offsets) <= MOST_LINKS) and library() is not None


def forward(problem: Problem) -> Tensor:
    """See `genomix.nn.ops.factors`."""
    held = _Held(problem)
    result = held.empty_result()
    held.run("forward", result)
    return result


def backward(grad: Tensor, problem: Problem) -> tuple[Tensor | None, ...]:
    """Gradients of the source, the values and the perceptron's w1, b1, w2, b2."""
    held = _Held(problem, grad.contiguous())
    grad_source = torch.zeros_like(held.source) if held.padded else torch.empty_like(held.source)
    of_perceptron = held.perceptron_gradients(held.run("backward", grad_source))
    if held.values is None:
        return grad_source, None, *of_perceptron
    grad_values = held.empty_result()
    held.run("backward_values", grad_values)
    return grad_source, grad_values, *of_perceptron


class _Held:
    """A problem's arrays as factor.c reads them, kept alive while it does."""

    def __init__(self, problem: Problem, grad: Tensor | None = None) -> None:
        self.source, self.grad = problem.source.contiguous(), grad
        self.values = None if problem.values is None else problem.values.contiguous()
        self.w1, self.b1, self.w2, self.b2 = (tensor.contiguous() for tensor in problem.perceptron)
        self.lengths = problem.lengths.tolist()
        self.records, sources, self.width = self.source.shape
        self.channels = 0 if self.values is None else self.values.shape[1]
        self.padded = any(length < self.width for length in self.lengths)
        arrays: list[Tensor | None] = [
            torch.tensor(problem.offsets, dtype=torch.int64),
            problem.lengths.long().contiguous(),
            problem.circular.to(torch.uint8).contiguous(),
            self.source,
            self.values,
            self.w1,
            self.b1,
            self.w2,
            self.b2,
        ]
        if grad is not None:
            weights = None if self.values is None else _workspace("weights", self.records * len(self.w2) * self.width)
            arrays += [self.w1.t().contiguous(), self.w2.t().contiguous(), grad, weights]
        self.arrays = arrays
        sizes = (self.records, self.width, self.channels, sources, len(self.w1), problem.heads, len(self.w2) // problem.heads)
        self.struct = _Factor(*sizes, *map(_address, arrays))
        self.pointer = ctypes.addressof(self.struct)

    def empty_result(self) -> Tensor:
        """Shaped like the result; what lies beyond a record's end is there already: it passes unchanged."""
        given = self.values if self.grad is None else self.grad
        if given is None:
            return self.source.new_empty(self.records, len(self.w2), self.width)
        result = torch.empty_like(given)
        for record, length in enumerate(self.lengths):
            result[record, :, length:] = given[record, :, length:]
        return result

    def run(self, name: str, result: Tensor) -> Tensor:
        """Fill `result`, the tiles shared out to threads; the work space, [thread, float], as they leave it."""
        shared = library()
        assert shared is not None
        call, tile, size = getattr(shared, name), shared.tile_size(), shared.work_size(self.pointer)
        tiles = sum(-(-length // tile) for length in self.lengths)
        threads = max(1, min(torch.get_num_threads(), tiles // _LEAST_TILES))
        borders = torch.tensor([tiles * part // threads for part in range(threads + 1)])
        work = _workspace("tiles", threads * size).view(threads, size)
        if shared.threaded():
            call(self.pointer, _address(result), _address(borders), threads, _address(work))
        else:
            parts = range(threads)
            list(_pool(threads).map(lambda p: call(self.pointer, _address(result), _address(borders[p:]), 1, _address(work[p])), parts))
        return work

    @property
    def sums(self) -> tuple[int, int, int, int]:
        """Floats of the sums of w1, w2, b1, b2 at the start of the backward pass's work space, as factor.c pads them."""
        rows, columns = _padded(len(self.w1), 8), _padded(len(self.w2), _lanes())
        return rows * _padded(self.source.shape[1], _lanes()), rows * columns, rows * _lanes(), columns * _lanes()

    def perceptron_gradients(self, work: Tensor) -> tuple[Tensor, ...]:
        """Of w1, b1, w2, b2, from what the backward pass leaves in each thread's work space."""
        hidden, sources, outputs = len(self.w1), self.source.shape[1], len(self.w2)
        w1, w2, b1, b2 = work[:, : sum(self.sums)].sum(0).split(self.sums)
        return (
            w1.view(_padded(hidden, 8), -1)[:hidden, :sources].contiguous(),
            b1.view(-1, _lanes())[:hidden].sum(1),
            w2.view(_padded(hidden, 8), -1)[:hidden, :outputs].t().contiguous(),
            b2.view(-1, _lanes())[:outputs].sum(1),
        )


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    """Threads where the compiler knows no OpenMP (Apple's)."""
    return ThreadPoolExecutor(count, thread_name_prefix="genomix-factor")


def _workspace(name: str, size: int) -> Tensor:
    """`size` floats, this thread's own, used again by its next call: fresh memory would be slower than the arithmetic."""
    held: Tensor | None = getattr(_mine, name, None)
    if held is None or len(held) < size:
        held = torch.empty(size)
        setattr(_mine, name, held)
    return held[:size]


def _lanes() -> int:
    shared = library()
    assert shared is not None
    return shared.tile_size() // 2


def _padded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
