"""Regression in the library: any lengths, nothing from batch-mates or padding, and a task that it learns."""

import pytest
import torch

from genomix.nn.blocks import BlockSettings
from genomix.nn.mixers import MixerSettings
from genomix.nn.regressor import Regressor, RegressorSettings

BLOCK = BlockSettings(mixer=MixerSettings(heads=2, hidden=5), feed_forward=12)


def regressor(readout="mean", **changes):
    torch.manual_seed(0)
    settings = RegressorSettings(max_length=40, channels=8, blocks=2, block=BLOCK, readout=readout, pooled=9, **changes)
    return Regressor(settings, inputs=3, outputs=2).double()


@pytest.mark.parametrize(("readout", "stem_kernel"), [("mean", 1), ("mean", 5), ("first", 1)])
def test_batch_mates_and_padding_change_nothing(readout, stem_kernel):
    model = regressor(readout, stem_kernel=stem_kernel)
    lengths = torch.tensor([1, 2, 7, 33, 40])
    circular = torch.tensor([readout == "mean" and i % 2 == 0 for i in range(5)])
    signals = torch.randn(5, 3, 44, dtype=torch.float64).masked_fill(torch.arange(44) >= lengths[:, None, None], torch.nan)
    together = model(signals, lengths, circular)
    for i, n in enumerate(lengths.tolist()):
        alone = model(signals[i : i + 1, :, :n], lengths[i : i + 1], circular[i : i + 1])
        assert torch.allclose(alone[0], together[i], rtol=1e-10, atol=1e-10)


def test_the_first_position_hears_from_the_last():
    model = regressor("first")
    signals = torch.randn(1, 3, 40, dtype=torch.float64, requires_grad=True)
    (heard,) = torch.autograd.grad(model(signals, torch.tensor([40]), torch.tensor([False])).sum(), signals)
    assert heard[0, :, -1].any()


def test_a_ring_has_no_first_position():
    with pytest.raises(ValueError, match="no first position"):
        regressor("first")(torch.randn(1, 3, 9, dtype=torch.float64), torch.tensor([9]), torch.tensor([True]))


def test_it_learns_a_mean():
    model = regressor().float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(120):
        signals = torch.randn(32, 3, 20, generator=generator) + torch.randn(32, 3, 1, generator=generator)
        outputs = model(signals, torch.full((32,), 20), torch.zeros(32, dtype=torch.bool))
        loss = (outputs - signals[:, :2].mean(2)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) / 10 < 0.1  # the variance to explain is 1


@pytest.mark.parametrize(
    ("changes", "message"), [({"stem_kernel": 2}, "stem_kernel must be odd"), ({"channels": 7}, "multiple of block.mixer.heads")]
)
def test_a_shape_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        RegressorSettings(**({"max_length": 40, "channels": 8, "block": BLOCK} | changes))
