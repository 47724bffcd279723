"""The kernel that gives a factor's gradients for its perceptron and its source.

Each program takes every so-manieth tile, keeps its share of the parameters' gradients in registers and writes it once; PyTorch adds the shares up, in the same
order in every run. Neither the link weights nor their gradients are written.
"""

import triton
import triton.language as tl

from genomix.nn.ops.triton.factor import gelu, hidden_layer
from genomix.nn.ops.triton.links import linked, product, record_of


@triton.jit
def gelu_slope(x):
    """The derivative of `gelu`: the normal distribution function plus x times its density."""
    return 0.5 * (1 + tl.erf(x * 0.7071067811865476)) + x * 0.3989422804014327 * tl.exp(-0.5 * x * x)


@triton.jit
def weight_gradients(
    upstream,
    values,
    offsets,
    position,
    length,
    ring,
    heads,
    size,
    upstream_channel,
    upstream_position,
    value_channel,
    value_position,
    LINKS: tl.constexpr,
    SUM: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
):
    """The gradients of the link weights at a tile of positions of one record, [ROWS, POSITIONS]; row h · LINKS + l is link l of head h."""
    row = tl.arange(0, ROWS)
    found = tl.zeros([ROWS, POSITIONS], SUM)
    for link in range(LINKS):
        other, exists = linked(position, tl.load(offsets + link), length, ring)
        for head in range(heads):
            total = tl.zeros([POSITIONS], SUM)
            for start in range(0, size, CHANNELS):
                within = start + tl.arange(0, CHANNELS)
                channel = (head * size + within).to(tl.int64)[:, None]
                used = (within < size)[:, None] & exists[None, :]
                here = tl.load(upstream + channel * upstream_channel + position[None, :] * upstream_position, mask=used, other=0).to(SUM)
                there = tl.load(values + channel * value_channel + other[None, :] * value_position, mask=used, other=0).to(SUM)
                total += tl.sum(here * there, axis=0)
            found = tl.where(row[:, None] == head * LINKS + link, total[None, :], found)
    return found


@triton.jit
def learn(
    upstream,
    values,
    source,
    first,
    first_bias,
    second,
    lengths,
    circular,
    offsets,
    source_result,
    shares,
    width,
    heads,
    size,
    hidden,
    tiles,
    upstream_record,
    upstream_channel,
    upstream_position,
    value_record,
    value_channel,
    value_position,
    source_record,
    source_channel,
    source_position,
    LINKS: tl.constexpr,
    SUM: tl.constexpr,
    OPERANDS: tl.constexpr,
    PRECISION: tl.constexpr,
    INPUTS: tl.constexpr,
    HIDDEN: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
):
    """Gradients for `source` and, one share a program, for first, first_bias, second and second_bias, which lie behind each other in `shares`.

    INPUTS covers all channels, HIDDEN all units, ROWS all heads · LINKS. `source_result` is contiguous.
    """
    channels = heads * size
    spans = tl.cdiv(width, POSITIONS)
    channel = tl.arange(0, INPUTS).to(tl.int64)
    unit = tl.arange(0, HIDDEN)
    row = tl.arange(0, ROWS)
    first_mask = (unit < hidden)[:, None] & (channel < channels)[None, :]
    second_mask = (row < heads * LINKS)[:, None] & (unit < hidden)[None, :]
    # Laid out for the products that need them transposed, so that no tile has to be.
    first_turned = tl.load(first + channel[:, None] + unit[None, :] * channels, mask=tl.trans(first_mask), other=0)
    second_turned = tl.load(second + row[None, :] * hidden + unit[:, None], mask=tl.trans(second_mask), other=0)
    first_total = tl.zeros([HIDDEN, INPUTS], SUM)
    first_bias_total = tl.zeros([HIDDEN], SUM)
    second_total = tl.zeros([ROWS, HIDDEN], SUM)
    second_bias_total = tl.zeros([ROWS], SUM)
    program = tl.program_id(0).to(tl.int64)
    for tile in range(program, tiles, tl.num_programs(0)):
        position = (tile % spans) * POSITIONS + tl.arange(0, POSITIONS)
        record = (tile // spans).to(tl.int64)
        length, ring = record_of(lengths, circular, record)
        inside = position < length
        own = source + record * source_record
        pre = hidden_layer(
            own, first, first_bias, position, inside, channels, hidden, source_channel, source_position,
            SUM, OPERANDS, PRECISION, INPUTS, HIDDEN, POSITIONS,
        )  # fmt: skip
        found = weight_gradients(
            upstream + record * upstream_record, values + record * value_record, offsets, position, length, ring, heads, size,
            upstream_channel, upstream_position, value_channel, value_position, LINKS, SUM, ROWS, CHANNELS, POSITIONS,
        )  # fmt: skip
        narrow = found.to(second.dtype.element_ty)
        act = gelu(pre).to(second.dtype.element_ty)
        slope = product(second_turned, narrow, OPERANDS, PRECISION, SUM) * gelu_slope(pre)
        narrow_slope = slope.to(first.dtype.element_ty)
        back = product(first_turned, narrow_slope, OPERANDS, PRECISION, SUM)
        out = source_result + (record * channels + channel[:, None]) * width + position[None, :]
        tl.store(out, back.to(source_result.dtype.element_ty), mask=(channel < channels)[:, None] & (position < width)[None, :])
        seen = tl.load(
            own + channel[None, :] * source_channel + position[:, None] * source_position,
            mask=(channel < channels)[None, :] & inside[:, None],
            other=0,
        )
        first_total += product(narrow_slope, seen, OPERANDS, PRECISION, SUM)
        second_total += product(narrow, tl.trans(act), OPERANDS, PRECISION, SUM)
        first_bias_total += tl.sum(slope, axis=1)
        second_bias_total += tl.sum(found, axis=1)
    share = shares + program * (hidden * (channels + 1) + heads * LINKS * (hidden + 1))
    tl.store(share + unit[:, None] * channels + channel[None, :], first_total, mask=first_mask)
    share += hidden * channels
    tl.store(share + unit, first_bias_total, mask=unit < hidden)
    share += hidden
    tl.store(share + row[:, None] * hidden + unit[None, :], second_total, mask=second_mask)
    share += heads * LINKS * hidden
    tl.store(share + row, second_bias_total, mask=row < heads * LINKS)
