"""`link_mix` by slices: a link is a shift, so its values are one slice of the array, multiplied and added in place without being copied.

Values are zeroed beyond each record's length once, so that for every record of a batch a link which leaves a linear record reads zeros: one call a link
serves the whole batch. What is left is the part of a circular record's links that comes round its end, a short slice of its own. Plain torch operations:
it runs on any device.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

Span = tuple[slice, int, int, int]
"""Records, first position, end position, shift: position i of these records is linked to i + shift."""


def forward(values: Tensor, weights: Tensor, lengths: Tensor, circular: Tensor, offsets: list[int]) -> Tensor:
    """See `genomix.nn.ops.link_mix`."""
    inside = _inside(lengths, values.shape[2])
    split = _by_head(values if inside is None else values.masked_fill(~inside, 0), weights)
    result = torch.zeros_like(split)
    for link, spans in _spans(lengths, circular, offsets, values.shape[2]):
        for records, start, stop, shift in spans:
            result[records, ..., start:stop].addcmul_(
                weights[records, :, link, None, start:stop], split[records, ..., start + shift : stop + shift]
            )
    return _zero_padding(result.view(values.shape), inside)


def backward(grad: Tensor, values: Tensor, weights: Tensor, lengths: Tensor, circular: Tensor, offsets: list[int]) -> tuple[Tensor, Tensor]:
    """Gradients of `forward` for its values and its weights, from the gradient of its result."""
    inside = _inside(lengths, values.shape[2])
    if inside is not None:
        values, grad = values.masked_fill(~inside, 0), grad.masked_fill(~inside, 0)
    split, grad = _by_head(values, weights), _by_head(grad, weights)
    grad_values, grad_weights = torch.zeros_like(split), torch.zeros_like(weights)
    for link, spans in _spans(lengths, circular, offsets, values.shape[2]):
        for records, start, stop, shift in spans:
            incoming = grad[records, ..., start:stop]
            target = slice(start + shift, stop + shift)
            grad_values[records, ..., target].addcmul_(weights[records, :, link, None, start:stop], incoming)
            grad_weights[records, :, link, start:stop] += (incoming * split[records, ..., target]).sum(2)
    return _zero_padding(grad_values.view(values.shape), inside), grad_weights


def _by_head(values: Tensor, weights: Tensor) -> Tensor:
    batch, channels, width = values.shape
    heads = weights.shape[1]
    return values.reshape(batch, heads, channels // heads, width)


def _inside(lengths: Tensor, width: int) -> Tensor | None:
    """True where a record is, [batch, 1, position]; None when no record is padded."""
    if bool((lengths == width).all()):
        return None
    return (torch.arange(width, device=lengths.device) < lengths[:, None])[:, None]


def _zero_padding(result: Tensor, inside: Tensor | None) -> Tensor:
    return result if inside is None else result.masked_fill_(~inside, 0)


def _spans(lengths: Tensor, circular: Tensor, offsets: list[int], width: int) -> Iterator[tuple[int, list[Span]]]:
    sizes = lengths.tolist()
    rings = [record for record, ring in enumerate(circular.tolist()) if ring]
    for link, offset in enumerate(offsets):
        start, stop = max(0, -offset), min(width, width - offset)
        spans = [(slice(None), start, stop, offset)] if start < stop else []
        if offset:
            spans += _round_the_end(sizes, rings, offset)
        yield link, spans


def _round_the_end(sizes: list[int], rings: list[int], offset: int) -> list[Span]:
    """The positions of circular records whose link comes round the end; one span for all when they are equally long."""
    if len(rings) == len(sizes) and len(set(sizes)) == 1:
        whole = [(slice(None), sizes[0])]
    else:
        whole = [(slice(record, record + 1), sizes[record]) for record in rings]
    if offset > 0:
        return [(records, n - offset, n, offset - n) for records, n in whole if offset < n]
    return [(records, 0, -offset, offset + n) for records, n in whole if -offset < n]
