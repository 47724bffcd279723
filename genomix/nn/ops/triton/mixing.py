"""Kernels of `link_mix`: one pass over the values for all links, and no sum across programs, so the results are the same in every run."""

import triton
import triton.language as tl

from genomix.nn.ops.triton.links import linked, record_of

UNROLL = tl.constexpr(5)
"""Links whose loads are under way together: all of the default's five; fifteen at once don't fit a thread's registers."""


@triton.jit
def mix(
    values,
    weights,
    lengths,
    circular,
    offsets,
    result,
    width,
    heads,
    size,
    value_record,
    value_channel,
    value_position,
    weight_record,
    weight_head,
    weight_link,
    weight_position,
    LINKS: tl.constexpr,
    ARRIVING: tl.constexpr,
    SUM: tl.constexpr,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
):
    """result[b, c, i] = sum over links of weight · value at the link's other end, for a tile of one head's channels.

    Leaving links have their weight at i and give the forward pass; arriving ones have it at the other end and give, from the gradient of the result, that
    of the values. `result` is contiguous.
    """
    tile = tl.program_id(0).to(tl.int64)
    parts = tl.cdiv(size, CHANNELS)
    spans = tl.cdiv(width, POSITIONS)
    within = (tile % parts) * CHANNELS + tl.arange(0, CHANNELS)
    head = tile // parts % heads
    position = (tile // (parts * heads) % spans) * POSITIONS + tl.arange(0, POSITIONS)
    record = tile // (parts * heads * spans)
    length, ring = record_of(lengths, circular, record)

    channel = (head * size + within)[:, None]
    mine = (within < size)[:, None]
    row = values + record * value_record + channel * value_channel
    weight = weights + record * weight_record + head * weight_head
    step = tl.cast(weight_link, tl.int64)
    total = tl.zeros([CHANNELS, POSITIONS], SUM)
    for link in tl.range(0, LINKS, loop_unroll_factor=UNROLL):
        offset = tl.load(offsets + link)
        other, exists = linked(position, -offset if ARRIVING else offset, length, ring)
        place = other if ARRIVING else position
        factor = tl.load(weight + link * step + place * weight_position, mask=exists, other=0).to(SUM)
        seen = tl.load(row + other[None, :] * value_position, mask=mine & exists[None, :], other=0).to(SUM)
        total += factor[None, :] * seen
    out = result + (record * heads * size + channel) * width + position[None, :]
    tl.store(out, total.to(result.dtype.element_ty), mask=mine & (position < width)[None, :])


@triton.jit
def weigh(
    upstream,
    values,
    lengths,
    circular,
    offsets,
    result,
    width,
    heads,
    size,
    upstream_record,
    upstream_channel,
    upstream_position,
    value_record,
    value_channel,
    value_position,
    LINKS: tl.constexpr,
    SUM: tl.constexpr,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
):
    """The gradient of the weights: result[b, h, l, i] = sum over the head's channels of upstream at i · value at the other end of link l.

    `result` is contiguous. One head's links at a tile of positions belong to one program, which takes the channels in turn.
    """
    tile = tl.program_id(0).to(tl.int64)
    spans = tl.cdiv(width, POSITIONS)
    head = tile % heads
    position = (tile // heads % spans) * POSITIONS + tl.arange(0, POSITIONS)
    record = tile // (heads * spans)
    length, ring = record_of(lengths, circular, record)

    for link in tl.range(0, LINKS, loop_unroll_factor=UNROLL):
        offset = tl.load(offsets + link)
        other, exists = linked(position, offset, length, ring)
        total = tl.zeros([POSITIONS], SUM)
        for start in range(0, size, CHANNELS):
            within = start + tl.arange(0, CHANNELS)
            channel = (head * size + within)[:, None]
            used = (within < size)[:, None] & exists[None, :]
            here = upstream + record * upstream_record + channel * upstream_channel + position[None, :] * upstream_position
            there = values + record * value_record + channel * value_channel + other[None, :] * value_position
            product = tl.load(here, mask=used, other=0).to(SUM) * tl.load(there, mask=used, other=0).to(SUM)
            total += tl.sum(product, axis=0)
        out = result + ((record * heads + head) * LINKS + link) * width + position
        tl.store(out, total.to(result.dtype.element_ty), mask=position < width)
