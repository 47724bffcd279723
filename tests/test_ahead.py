"""Making items ahead: the same items in the same order, errors where they belong, and no thread left behind."""

import threading
import time
from contextlib import closing

import pytest
import torch

from genomix.ahead import ahead
from genomix.data import batches
from genomix.data.batches import collate, made_for


def _threads() -> int:
    return sum(thread.name == "ahead" for thread in threading.enumerate())


@pytest.mark.parametrize("most", [1, 2, 100])
def test_the_same_items_in_the_same_order(most):
    assert list(ahead(iter(range(50)), most=most)) == list(range(50))
    assert list(ahead(iter(()), most=most)) == []
    assert _threads() == 0


def test_an_error_comes_where_its_item_would_have():
    def items():
        yield 1
        yield 2
        raise KeyError("three")

    numbers = ahead(items(), most=8)
    assert [next(numbers), next(numbers)] == [1, 2]
    with pytest.raises(KeyError, match="three"):
        next(numbers)
    assert _threads() == 0


def test_no_more_than_asked_for_are_made():
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    with closing(ahead(items(), most=3)) as numbers:
        assert next(numbers) == 0
        deadline = time.monotonic() + 10
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.05)
        assert made == [0, 1, 2, 3]


def test_closing_stops_the_thread_and_closes_what_it_read():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    numbers = ahead(items(), most=2)
    assert next(numbers) == 0
    numbers.close()
    assert closed.is_set()
    assert _threads() == 0


def _updates(count):
    for number in range(count):
        yield [collate([torch.arange(number + 2).int().numpy()], [False], [number], [number])]


def test_updates_made_ahead_are_the_same(monkeypatch):
    monkeypatch.setattr(batches, "_pinned", lambda parts, _device: parts)  # without a GPU there is nothing to pin for
    plain, early = list(_updates(9)), list(made_for(_updates(9), torch.device("cuda")))
    assert len(plain) == len(early)
    for (one,), (other,) in zip(plain, early, strict=True):
        assert one.records == other.records
        assert all(torch.equal(*pair) for pair in zip(one[:4], other[:4], strict=True))
    assert _threads() == 0


def test_pinning_keeps_all_of_a_batch(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda part: part.clone())
    ((part,),) = _updates(1)
    pinned = part.pinned()
    for one, other in zip(part, pinned, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_cpu_gets_its_updates_when_it_asks():
    updates = _updates(3)
    assert made_for(updates, torch.device("cpu")) is updates


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_updates_for_a_gpu_lie_in_pinned_memory():
    for number, (part,) in enumerate(made_for(_updates(5), torch.device("cuda"))):
        assert part.tokens.is_pinned()
        assert part.to(torch.device("cuda")).tokens.cpu().tolist() == [list(range(number + 2))]
