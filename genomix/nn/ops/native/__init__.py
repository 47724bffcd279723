"""The factor in C (`factor.c`), for float32 on a CPU: no hidden layer and, in the forward pass, no link weight ever leaves the cache.

It is compiled where it first runs, for the processor at hand, and kept in the user's cache folder; an image brings it compiled (`portable`). Where there is
neither that nor a C compiler plain torch takes its place. A chain of factors runs in arrays that are position-first: `enter` and `leave` are its ends.
"""

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from genomix.nn.ops.native.compiled import library
from genomix.nn.ops.problem import Problem

MOST_LINKS = 64
_LEAST_TILES = 16
"""Tiles that are worth a thread."""
_LARGE = 2**25
"""Bytes that glibc asks of the system anew each time, whatever was freed before."""
_mine = threading.local()


class _Factor(ctypes.Structure):
    """`Factor` of factor.c, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("records", "width", "channels", "sources", "hidden", "heads", "links", "outputs")),
        *(
            (name, ctypes.c_void_p)
            for name in ("offsets", "lengths", "circular", "source", "values", "w1t", "b1", "w2t", "b2", "w1", "w2", "grad", "weights")
        ),
        ("alone", ctypes.c_int64),
        ("source_rows", ctypes.c_int64),
    )


def serves(problem: Problem) -> bool:
    """Whether this implementation can do it."""
    tensors = (problem.source, problem.values, *problem.perceptron)
    plain = all(tensor is None or (tensor.dtype == torch.float32 and tensor.device.type == "cpu") for tensor in tensors)
    return plain and (problem.values is None or len(problem.offsets) <= MOST_LINKS) and library() is not None


def enter(array: Tensor, *, padded: bool = False) -> Tensor:
    """[batch, channel, position] as [batch, position, channel]; `padded`, as a source is, with channels of zeros up to whole vectors."""
    array = array.contiguous()
    batch, channels, width = array.shape
    stride = _padded(channels, _lanes()) if padded else channels
    result = memory(batch, width, stride)
    if stride != channels:
        result.zero_()
    _library().enter(result.data_ptr(), array.data_ptr(), stride, batch, channels, width, torch.get_num_threads())
    return result


def leave(array: Tensor, channels: int) -> Tensor:
    """What `enter` made, or a gradient of it, as [batch, channel, position]."""
    batch, width, stride = array.shape
    result = memory(batch, channels, width)
    _library().leave(result.data_ptr(), array.data_ptr(), stride, batch, channels, width, torch.get_num_threads())
    return result


def memory(*shape: int) -> Tensor:
    """An array of that shape, whatever is in it."""
    result = torch.empty(shape)
    if result.nbytes >= _LARGE:
        _library().advise(result.data_ptr(), result.nbytes)
    return result


def give_back(array: Tensor) -> None:
    """Free its memory now, whoever still holds it."""
    array.untyped_storage().resize_(0)


def forward(problem: Problem, result: Tensor | None = None) -> Tensor:
    """See `genomix.nn.ops.chain`; source and values are position-first, unless it is a perceptron alone.

    Args:
        result: memory for it.
    """
    held = _Held(problem)
    if problem.values is None:
        return held.run("forward", memory(held.records, len(problem.perceptron[2]), held.width))
    result = held.passed(problem.values, result)
    held.run("forward", result)
    return result


def backward(grad: Tensor, problem: Problem, grad_source: Tensor, grad_values: Tensor | None = None) -> tuple[Tensor, ...]:
    """Gradients of the perceptron's w1, b1, w2, b2.

    Args:
        grad_source: takes up the gradient of the source, added to what is there; of a perceptron alone, put there.
        grad_values: takes up that of the values; None for a perceptron alone.
    """
    held = _Held(problem, grad.contiguous())
    held.run("backward", grad_source)
    of_perceptron = held.perceptron_gradients()
    if grad_values is not None:
        held.run("backward_values", held.passed(grad, grad_values))
    return of_perceptron


class _Held:
    """A problem's arrays as factor.c reads them, kept alive while it does."""

    def __init__(self, problem: Problem, grad: Tensor | None = None) -> None:
        self.problem = problem
        self.lengths = problem.lengths.tolist()
        source, alone = problem.source.contiguous(), problem.values is None
        self.records, self.width = len(source), source.shape[2 if alone else 1]
        self.rows = problem.perceptron[0].shape[1]
        self.hidden, self.sources, self.outputs = _sizes(problem)
        channels, links = (0, self.outputs_used) if problem.values is None else (problem.values.shape[2], len(problem.offsets))
        arrays: list[Tensor | None] = [
            torch.tensor(problem.offsets, dtype=torch.int64),
            problem.lengths.long().contiguous(),
            problem.circular.to(torch.uint8).contiguous(),
            source,
            problem.values,
            *self._perceptron(for_backward=grad is not None),
            grad,
            None if alone or grad is None else _workspace("weights", self.records * self.width * self.outputs),
        ]
        self.arrays = arrays
        sizes = (self.records, self.width, channels, self.sources, self.hidden, problem.heads, links, self.outputs)
        self.struct = _Factor(*sizes, *map(_address, arrays), alone, self.rows)
        self.pointer = ctypes.addressof(self.struct)
        self.size = _library().work_size(self.pointer)

    @property
    def outputs_used(self) -> int:
        return len(self.problem.perceptron[2])

    def _perceptron(self, *, for_backward: bool) -> list[Tensor | None]:
        """w1', b1, w2', b2, w1 and w2, padded with zeros to whole vectors."""
        w1, b1, w2, b2 = self.problem.perceptron
        w1 = F.pad(w1, (0, self.sources - self.rows, 0, self.hidden - len(w1)))
        w2 = F.pad(w2, (0, self.hidden - w2.shape[1], 0, self.outputs - len(w2)))
        b1, b2 = F.pad(b1, (0, self.hidden - len(b1))), F.pad(b2, (0, self.outputs - len(b2)))
        turned = [w1.t().contiguous(), b1.contiguous(), w2.t().contiguous(), b2.contiguous()]
        return [*turned, w1.contiguous(), w2.contiguous()] if for_backward else [*turned, None, None]

    def passed(self, given: Tensor, result: Tensor | None) -> Tensor:
        """Memory for what comes of it; what lies beyond a record's end is there already: it passes unchanged."""
        result = memory(*given.shape) if result is None else result
        for record, length in enumerate(self.lengths):
            result[record, length:] = given[record, length:]
        return result

    def run(self, name: str, result: Tensor) -> Tensor:
        """Fill `result`, the tiles shared out to threads, and give it; `self.work` is the work space as they leave it, [thread, float]."""
        shared = _library()
        call, tile = getattr(shared, name), shared.tile_size()
        tiles = sum(-(-length // tile) for length in self.lengths)
        threads = max(1, min(torch.get_num_threads(), tiles // _LEAST_TILES))
        borders = torch.tensor([tiles * part // threads for part in range(threads + 1)])
        work = _workspace("tiles", threads * self.size).view(threads, self.size)
        if shared.threaded():
            call(self.pointer, _address(result), _address(borders), threads, _address(work))
        else:
            parts = range(threads)
            list(_pool(threads).map(lambda p: call(self.pointer, _address(result), _address(borders[p:]), 1, _address(work[p])), parts))
        self.work = work
        return result

    def perceptron_gradients(self) -> tuple[Tensor, ...]:
        """Of w1, b1, w2, b2, from what the backward pass leaves in each thread's work space."""
        units, outputs = len(self.problem.perceptron[0]), self.outputs_used
        sizes = (self.hidden * self.sources, self.hidden * self.outputs, self.hidden, self.outputs)
        w1, w2, b1, b2 = self.work[:, : sum(sizes)].sum(0).split(sizes)
        return (
            w1.view(self.hidden, -1)[:units, : self.rows].contiguous(),
            b1[:units].clone(),
            w2.view(self.hidden, -1)[:units, :outputs].t().contiguous(),
            b2[:outputs].clone(),
        )


def _sizes(problem: Problem) -> tuple[int, int, int]:
    """Hidden units, source channels and outputs, in whole vectors."""
    w1, _, w2, _ = problem.perceptron
    lanes = _lanes()
    return _padded(len(w1), max(8, lanes)), _padded(w1.shape[1], lanes), _padded(len(w2), lanes)


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    """Threads where the compiler knows no OpenMP (Apple's)."""
    return ThreadPoolExecutor(count, thread_name_prefix="genomix-factor")


def _workspace(name: str, size: int) -> Tensor:
    """`size` floats, this thread's own, used again by its next call: fresh memory would be slower than the arithmetic."""
    held: Tensor | None = getattr(_mine, name, None)
    if held is None or len(held) < size:
        held = memory(size)
        setattr(_mine, name, held)
    return held[:size]


def _library() -> ctypes.CDLL:
    loaded = library()
    assert loaded is not None, "what `serves` asks"
    return loaded


def _lanes() -> int:
    return int(_library().lanes())


def _padded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
