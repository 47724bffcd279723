"""Kernels of a whole factor, v + W v with W from a perceptron: the hidden layer and the link weights live in registers, tile by tile, forward and backward.

    pre = first · source + first_bias;   act = GELU(pre);   weight of head h, link l = row h · LINKS + l of (second · act + second_bias)

Forward, a tile of positions needs its own weights only. The gradient of the values gathers the links that *arrive* at the tile, so the perceptron is computed again
at the other end of each of them. The gradients of the perceptron and of its source are in `factor_backward.py`.
"""

import triton
import triton.language as tl

from genomix.nn.ops.triton.links import linked, product, record_of


@triton.jit
def gelu(x):
    """x times the normal distribution function, the exact form that `torch.nn.GELU` computes."""
    return 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))


@triton.jit
def hidden_layer(
    source,
    first,
    first_bias,
    position,
    exists,
    channels,
    hidden,
    source_channel,
    source_position,
    SUM: tl.constexpr,
    OPERANDS: tl.constexpr,
    PRECISION: tl.constexpr,
    INPUTS: tl.constexpr,
    HIDDEN: tl.constexpr,
    POSITIONS: tl.constexpr,
):
    """first · source + first_bias at some positions of a record, [HIDDEN, POSITIONS]; `source` points at the record. Units beyond `hidden` are zero."""
    unit = tl.arange(0, HIDDEN)
    pre = tl.zeros([HIDDEN, POSITIONS], SUM)
    for start in range(0, channels, INPUTS):
        channel = start + tl.arange(0, INPUTS).to(tl.int64)
        seen = tl.load(
            source + channel[:, None] * source_channel + position[None, :] * source_position,
            mask=(channel < channels)[:, None] & exists[None, :],
            other=0,
        )
        rows = tl.load(
            first + unit[:, None] * channels + channel[None, :], mask=(unit < hidden)[:, None] & (channel < channels)[None, :], other=0
        )
        pre += product(rows, seen, OPERANDS, PRECISION, SUM)
    return pre + tl.load(first_bias + unit, mask=unit < hidden, other=0).to(SUM)[:, None]


@triton.jit
def apply(
    values,
    source,
    first,
    first_bias,
    second,
    second_bias,
    lengths,
    circular,
    offsets,
    result,
    width,
    heads,
    size,
    hidden,
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
    """result = values + W values, for all channels at a tile of positions. `result` and the perceptron's tensors are contiguous."""
    tile = tl.program_id(0).to(tl.int64)
    spans = tl.cdiv(width, POSITIONS)
    position = (tile % spans) * POSITIONS + tl.arange(0, POSITIONS)
    record = tile // spans
    length, ring = record_of(lengths, circular, record)
    pre = hidden_layer(
        source + record * source_record, first, first_bias, position, position < length, heads * size, hidden, source_channel, source_position,
        SUM, OPERANDS, PRECISION, INPUTS, HIDDEN, POSITIONS,
    )  # fmt: skip
    act = gelu(pre).to(second.dtype.element_ty)
    unit = tl.arange(0, HIDDEN)
    row = tl.arange(0, ROWS)
    for head in range(heads):
        asked = head * LINKS + row
        rows = tl.load(second + asked[:, None] * hidden + unit[None, :], mask=(row < LINKS)[:, None] & (unit < hidden)[None, :], other=0)
        bias = tl.load(second_bias + asked, mask=row < LINKS, other=0).to(SUM)
        weights = product(rows, act, OPERANDS, PRECISION, SUM) + bias[:, None]
        for start in range(0, size, CHANNELS):
            within = start + tl.arange(0, CHANNELS)
            channel = (head * size + within).to(tl.int64)[:, None]
            mine = (within < size)[:, None]
            values_row = values + record * value_record + channel * value_channel
            kept = mine & (position < width)[None, :]
            total = tl.load(values_row + position[None, :] * value_position, mask=kept, other=0).to(SUM)
            for link in range(LINKS):
                other, exists = linked(position, tl.load(offsets + link), length, ring)
                weight = tl.sum(tl.where(row[:, None] == link, weights, 0), axis=0)
                seen = tl.load(values_row + other[None, :] * value_position, mask=mine & exists[None, :], other=0).to(SUM)
                total += weight[None, :] * seen
            out = result + (record * heads * size + channel) * width + position[None, :]
            tl.store(out, total.to(result.dtype.element_ty), mask=kept)


@triton.jit
def gather(
    upstream,
    source,
    first,
    first_bias,
    second,
    second_bias,
    lengths,
    circular,
    offsets,
    result,
    width,
    heads,
    size,
    hidden,
    upstream_record,
    upstream_channel,
    upstream_position,
    source_record,
    source_channel,
    source_position,
    LINKS: tl.constexpr,
    SUM: tl.constexpr,
    OPERANDS: tl.constexpr,
    PRECISION: tl.constexpr,
    INPUTS: tl.constexpr,
    HIDDEN: tl.constexpr,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
):
    """The gradient of the values, upstream + transposed W · upstream: what arrives at a tile of positions of CHANNELS channels of any heads.

    The weights of a link come out once a channel, not once a head: one product on the tensor cores, as large as the hidden layer's.
    """
    tile = tl.program_id(0).to(tl.int64)
    channels = heads * size
    parts = tl.cdiv(channels, CHANNELS)
    spans = tl.cdiv(width, POSITIONS)
    channel = (tile % parts) * CHANNELS + tl.arange(0, CHANNELS)
    position = (tile // parts % spans) * POSITIONS + tl.arange(0, POSITIONS)
    record = tile // (parts * spans)
    length, ring = record_of(lengths, circular, record)
    mine = channel < channels
    unit = tl.arange(0, HIDDEN)
    row = upstream + record * upstream_record + channel[:, None] * upstream_channel
    kept = mine[:, None] & (position < width)[None, :]
    total = tl.load(row + position[None, :] * upstream_position, mask=kept, other=0).to(SUM)
    for link in range(LINKS):
        other, exists = linked(position, -tl.load(offsets + link), length, ring)
        pre = hidden_layer(
            source + record * source_record, first, first_bias, other, exists, channels, hidden, source_channel, source_position,
            SUM, OPERANDS, PRECISION, INPUTS, HIDDEN, POSITIONS,
        )  # fmt: skip
        act = gelu(pre).to(second.dtype.element_ty)
        asked = channel // size * LINKS + link
        rows = tl.load(second + asked[:, None] * hidden + unit[None, :], mask=mine[:, None] & (unit < hidden)[None, :], other=0)
        bias = tl.load(second_bias + asked, mask=mine, other=0).to(SUM)
        weights = product(rows, act, OPERANDS, PRECISION, SUM) + bias[:, None]
        arriving = tl.load(row + other[None, :] * upstream_position, mask=mine[:, None] & exists[None, :], other=0).to(SUM)
        total += weights * arriving
    out = result + (record * channels + channel[:, None]) * width + position[None, :]
    tl.store(out, total.to(result.dtype.element_ty), mask=kept)
