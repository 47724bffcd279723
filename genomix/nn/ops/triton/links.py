"""What every kernel needs to know about links and numbers. Positions, strides and record numbers are 64-bit throughout: batch · channels · positions goes beyond 2^31."""

import triton
import triton.language as tl


@triton.jit
def linked(position, offset, length, ring):
    """The position at the other end of a link, and whether that link exists; see `genomix.nn.ops.link_mix`.

    The link that arrives at a position is the one that leaves it with the offset's sign turned, so a gradient is gathered like a value.
    """
    target = position + offset
    wrapped = tl.where(target < 0, target + length, tl.where(target >= length, target - length, target))
    # Masks are made from vectors only: Triton 3.9's interpreter gives the conjunction with a scalar a type that no load takes as a mask.
    leaving = tl.where(tl.abs(offset) < length, length, 0)
    allowed = tl.where(ring, wrapped, target)
    return wrapped, (position < leaving) & (allowed == wrapped)


@triton.jit
def record_of(lengths, circular, record):
    """The length of a record, and whether its ends are joined."""
    return tl.load(lengths + record).to(tl.int64), tl.load(circular + record) != 0


@triton.jit
def product(left, right, OPERANDS: tl.constexpr, PRECISION: tl.constexpr, SUM: tl.constexpr):
    """left · right, multiplied as OPERANDS and added up as SUM. (Triton's interpreter can't multiply matrices of bfloat16; it is given float32.)"""
    return tl.dot(left.to(OPERANDS), right.to(OPERANDS), input_precision=PRECISION, out_dtype=SUM)
