"""Several processes make the run that one makes: the same losses, gradients, scores and decisions; one of them writes; they stop together."""

from pathlib import Path

import numpy as np
import pytest
import torch
from several_processes import run_all
from small_data import MODEL, TOKENIZER, TRAINING, small_dataset

from genomix.train.history import read_history
from genomix.train.run import train

LIKE_ONE = """
import sys
from pathlib import Path
import numpy as np, torch
from lightning_fabric import Fabric
from small_data import MODEL, TOKENIZER, TRAINING
from genomix.bundle import load_bundle
from genomix.data.store import Dataset
from genomix.evaluate import split_probabilities
from genomix.processes import launched
from genomix.scorer import PredictSettings, build_scorer
from genomix.train import devices, loop
from genomix.train.run import train

dataset, folder, model = Dataset.open(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
found = launched()
world = found.processes.world if found else 1
several = {"strategy": devices._strategy()} if found else {}
fabric = Fabric(accelerator="cpu", devices=world, precision="64-true", plugins=[devices._environment(found)], **several)
fabric.launch()
settings = TRAINING.model_copy(update={"steps": 50, "checks": False})
compute, first = loop._gradients, {}

def kept(training, parts):
    loss = compute(training, parts)
    if not first:
        first.update({name: p.grad.clone() for name, p in training.network.named_parameters() if p.grad is not None})
    return loss

loop._gradients = kept
train(dataset, TOKENIZER, MODEL, settings, folder / "double", fabric=fabric)
if fabric.global_rank == 0:
    torch.save(first, folder / "first.pt")
loop._gradients = compute
train(dataset, TOKENIZER, MODEL, settings, folder / "single", fabric=devices.launch(settings))

bundle = load_bundle(model)
scorer = build_scorer(bundle, PredictSettings(token_budget=600), processes=devices.processes_of(fabric))
for count in (1, 2, 7, 13):
    probabilities = split_probabilities(scorer, dataset, np.arange(count))
    np.save(folder / f"probabilities-{count}-{fabric.global_rank}.npy", probabilities)
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data"), records=41)


@pytest.fixture(scope="module")
def model(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"steps": 10, "checks": False}), folder)
    return folder


@pytest.fixture(scope="module")
def alike(dataset, model, tmp_path_factory):
    """The same things done by one process and by two, a folder each."""
    folders = {}
    for world in (1, 2):
        folders[world] = tmp_path_factory.mktemp(f"world{world}")
        run_all(LIKE_ONE, str(dataset.folder), str(folders[world]), str(model), world=world)
    return folders


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in read_history(folder / "metrics.jsonl") if row["event"] == "step"]


def test_two_processes_have_the_first_gradients_of_one(alike):
    one, two = (torch.load(alike[world] / "first.pt") for world in (1, 2))
    assert one.keys() == two.keys()
    assert all(gradient.dtype == torch.float64 for gradient in one.values())
    assert max(float((gradient - two[name]).abs().max()) for name, gradient in one.items()) < 1e-9


@pytest.mark.parametrize(("precision", "most"), [("double", 1e-9), ("single", 1e-5)])
def test_two_processes_have_the_loss_curve_of_one(alike, precision, most):
    one, two = (losses(alike[world] / precision) for world in (1, 2))
    assert len(one) == len(two) == 50
    assert np.abs(np.array(one) - two).max() < most


@pytest.mark.parametrize("count", [1, 2, 7, 13])
def test_scores_over_processes_are_those_of_one_to_the_last_bit(alike, count):
    alone = np.load(alike[1] / f"probabilities-{count}-0.npy")
    assert alone.shape == (count, 2)
    assert all(np.array_equal(np.load(alike[2] / f"probabilities-{count}-{rank}.npy"), alone) for rank in (0, 1))
