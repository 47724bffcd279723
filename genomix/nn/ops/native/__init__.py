"""The factor in C (`factor.c`), for float32 on a CPU: no hidden layer and, in the forward pass, no link weight ever leaves the cache.

It is compiled where it first runs, for the processor at hand, and kept in the user's cache folder; an image brings it compiled (`portable`). Where there is
neither that nor a C compiler plain torch takes its place. A chain of factors runs in arrays that are position-first: `enter` and `leave` are its ends.
"""

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache

import torch
from torch import Tensor

from genomix.nn.ops.native.compiled import library
from genomix.nn.ops.problem import Problem

MOST_LINKS = 64
_LARGE = 2**25
"""Bytes that glibc asks of the system anew each time, whatever was freed before."""
_mine = threading.local()


class _Factor(ctypes.Structure):
    """`Factor` of factor.c, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("records", "width", "channels", "rows", "units", "heads", "links", "alone")),
        *(
            (name, ctypes.c_void_p)
            for name in ("offsets", "lengths", "circular", "source", "values", "w1", "b1", "w2", "b2", "grad", "weights")
        ),
        *((name, ctypes.c_int64) for name in ("sources", "hidden", "outputs", "parts")),
        *((name, ctypes.c_void_p) for name in ("first", "first_bias", "second", "second_bias", "first_turned", "second_turned")),
    )


def serves(problem: Problem) -> bool:
    """Whether this implementation can do it."""
    tensors = (problem.source, problem.values, *problem.perceptron)
    plain = all(tensor is None or _plain(tensor) for tensor in tensors)
    return plain and (problem.values is None or len(problem.offsets) <= MOST_LINKS) and library() is not None


def _plain(tensor: Tensor) -> bool:
    """Other classes, such as those that trace, need not have numbers in memory."""
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu" and type(tensor) in {Tensor, torch.nn.Parameter}


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
    result = torch.empty(shape, dtype=torch.float32, device="cpu")  # whatever the defaults are
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
        result = memory(held.struct.records, held.struct.links, held.struct.width)
    elif result is None:
        result = memory(*problem.values.shape)
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
    of_perceptron = tuple(torch.empty_like(weight, memory_format=torch.contiguous_format) for weight in problem.perceptron)
    _library().perceptron_gradients(held.pointer, held.work, *map(_address, of_perceptron))
    if grad_values is not None:
        held.run("backward_values", grad_values)
    return of_perceptron


class _Held:
    """A problem as factor.c reads it; its arrays are kept alive. There can be only one at a time in a thread: they share their work space."""

    def __init__(self, problem: Problem, grad: Tensor | None = None) -> None:
        source, values, alone = problem.source.contiguous(), problem.values, problem.values is None
        self.arrays = [
            _offsets(problem.offsets),
            problem.lengths.long().contiguous(),
            problem.circular.contiguous(),
            source,
            values,
            *(weight.contiguous() for weight in problem.perceptron),
            grad,
        ]
        w1, _, w2, _ = problem.perceptron
        width, links = source.shape[2 if alone else 1], len(w2) // problem.heads
        channels = 0 if values is None else values.shape[2]
        sizes = (len(source), width, channels, w1.shape[1], len(w1), problem.heads, links, alone)
        self.struct = _Factor(*sizes, *map(_address, self.arrays))
        self.pointer = ctypes.addressof(self.struct)
        size = _library().plan(self.pointer, torch.get_num_threads())
        self.work = _workspace("tiles", size).data_ptr()
        _library().begin(self.pointer, self.work)
        if grad is not None and not alone:
            self.struct.weights = _workspace("weights", len(source) * width * self.struct.outputs).data_ptr()

    def run(self, name: str, result: Tensor) -> None:
        """Fill `result`, the tiles shared out to threads."""
        call, parts = getattr(_library(), name), self.struct.parts
        if _library().threaded():
            call(self.pointer, result.data_ptr(), self.work, 0, parts)
        else:
            list(_pool(parts).map(lambda part: call(self.pointer, result.data_ptr(), self.work, part, part + 1), range(parts)))


@lru_cache(maxsize=256)
def _offsets(offsets: tuple[int, ...]) -> Tensor:
    return torch.tensor(offsets, dtype=torch.int64, device="cpu")


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
