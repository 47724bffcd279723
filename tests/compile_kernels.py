"""Compiles each Triton kernel to the machine code of GPUs that need not be there, for the shapes of the presets `base` and `cvpr22`; prints the bytes of shared memory
that each needs. Run by test_ops_triton.py in a process of its own."""

from collections.abc import Iterator

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel

from genomix.nn.ops.triton import factor, factor_backward, mixing
from genomix.nn.ops.triton.tables import factor_tile, matrix_side, mixing_tile

OF_ONE_TYPE = {"lengths": "*i64", "offsets": "*i64", "circular": "*i1", "shares": "*fp32"}
OF_THE_VALUES_TYPE = {"values", "weights", "result", "upstream", "source", "first", "first_bias", "second", "second_bias", "source_result"}
CASES = [(90, "bf16", tl.bfloat16, (64, 4, 5, 16)), (80, "fp32", tl.float32, (32, 1, 15, 128))]
"""Compute capability, type, and channels, heads, links and hidden units of `base` and of `cvpr22`."""


def kernels(channels: int, heads: int, links: int, hidden: int, operands: tl.dtype) -> Iterator[tuple]:
    """Kernel, warps and constants, as the launching functions choose them."""
    size, tile = channels // heads, mixing_tile(channels // heads)
    plain = {"SUM": tl.float32, "LINKS": links, "CHANNELS": tile.channels, "POSITIONS": tile.positions}
    yield mixing.mix, tile.warps, {**plain, "ARRIVING": False}
    yield mixing.mix, tile.warps, {**plain, "ARRIVING": True}
    yield mixing.weigh, tile.warps, plain
    tile, side = factor_tile(hidden), matrix_side(channels)
    fused = {
        "SUM": tl.float32,
        "LINKS": links,
        "OPERANDS": operands,
        "PRECISION": "ieee",
        "HIDDEN": matrix_side(hidden),
        "POSITIONS": tile.positions,
    }
    narrow = min(tile.channels, triton.next_power_of_2(size))
    yield factor.apply, tile.warps, {**fused, "INPUTS": min(64, side), "ROWS": matrix_side(links), "CHANNELS": narrow}
    yield factor.gather, tile.warps, {**fused, "INPUTS": min(64, side), "CHANNELS": min(64, side)}
    yield factor_backward.learn, tile.warps, {**fused, "INPUTS": side, "ROWS": matrix_side(heads * links), "CHANNELS": narrow}


def compiled(kernel: triton.JITFunction, values: str, capability: int, warps: int, constants: dict) -> CompiledKernel:
    constants = {**constants, **dict.fromkeys((name for name in kernel.arg_names if name.endswith("_position")), 1)}
    types = {name: "constexpr" if name in constants else _type(name, values) for name in kernel.arg_names}
    source = ASTSource(kernel, types, constexprs=constants)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})


def _type(name: str, values: str) -> str:
    if name in OF_THE_VALUES_TYPE:
        return f"*{values}"
    return OF_ONE_TYPE.get(name, "i64" if name.endswith("_record") else "i32")


for capability, values, operands, shape in CASES:
    for number, (kernel, warps, constants) in enumerate(kernels(*shape, operands)):
        print(capability, values, number, kernel.__name__, compiled(kernel, values, capability, warps, constants).metadata.shared)  # noqa: T201 - its output is its result
