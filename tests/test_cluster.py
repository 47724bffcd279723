"""Several processes make the run that one makes: the same losses, gradients, scores and decisions; one of them writes; they stop together."""

import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from several_processes import COMMAND, finish, run_all, start
from small_data import MODEL, TOKENIZER, TRAINING, small_dataset

from genomix.errors import SettingsError, UsageError
from genomix.processes import Processes, launched
from genomix.train import devices
from genomix.train.devices import launch
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
from genomix.processes import launched, leave
from genomix.scorer import PredictSettings, build_scorer
from genomix.train import devices, loop
from genomix.train.run import train

dataset, folder, model = Dataset.open(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
found = launched()
world = found.processes.world if found else 1
several = {"strategy": devices._strategy(TRAINING, world)} if found else {}
fabric = Fabric(accelerator="cpu", devices=world, precision="64-true", plugins=[devices._environment(found)], **several)
fabric.launch()
settings = TRAINING.model_copy(update={"steps": 50, "checks": False})
plain = MODEL.model_copy(update={"composition": False})  # which begins with nothing learnt: larger losses, larger steps
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
train(dataset, TOKENIZER, plain, settings, folder / "single", fabric=devices.launch(settings))
if found:
    sharded = settings.model_copy(update={"strategy": "fsdp"})
    train(dataset, TOKENIZER, plain, sharded, folder / "sharded", fabric=devices.launch(sharded))

bundle = load_bundle(model)
scorer = build_scorer(bundle, PredictSettings(token_budget=600), processes=devices.processes_of(fabric))
for count in (1, 2, 7, 13):
    probabilities = split_probabilities(scorer, dataset, np.arange(count))
    np.save(folder / f"probabilities-{count}-{fabric.global_rank}.npy", probabilities)
leave(0)
"""


SHARES = """
import torch
from torch import nn
from torch.distributed.tensor import DTensor
from small_data import TRAINING
from genomix.processes import leave
from genomix.train import devices, sharding

fabric = devices.launch(TRAINING.model_copy(update={"strategy": "fsdp"}))

class Chosen(nn.Module):
    def __init__(self):
        super().__init__()
        self.both, self.second, self.nobody = (nn.Linear(3, 4) for _ in range(3))

    def forward(self, of):
        return sum(each(torch.ones(1, 3)).sum() for each in of(self))

torch.manual_seed(0)
network = Chosen()
model = fabric.setup_module(network)
optimizer = fabric.setup_optimizers(torch.optim.AdamW(network.parameters()))
used = [lambda own: (own.both,), lambda own: (own.both, own.second)][fabric.global_rank]
before = sharding.whole(model.state_dict())
for _ in range(2):
    optimizer.zero_grad()
    sharding.backward(fabric, model, model(used))
    gradients = {name: None if p.grad is None else sharding.whole(p.grad).flatten().unique().tolist() for name, p in network.named_parameters()}
    optimizer.step()
    sharding.bring_together(model)
assert gradients == {
    "both.weight": [1.0], "both.bias": [1.0], "second.weight": [0.5], "second.bias": [0.5], "nobody.weight": None, "nobody.bias": None
}, gradients
after, state = sharding.whole(model.state_dict()), optimizer.state_dict()
assert all(torch.equal(before[name], after[name]) == name.startswith("nobody") for name in before)
shares = [each for of in state["state"].values() for each in of.values() if isinstance(each, DTensor)]
assert len(shares) == 8 and all(2 * each.to_local().numel() == each.numel() for each in shares)

kept = sharding.whole(state)
optimizer.step()
sharding.load_weights(model, after)
sharding.load_optimizer(optimizer, kept)
again = sharding.whole(optimizer.state_dict())
assert all(torch.equal(again["state"][i][name], each) for i, of in kept["state"].items() for name, each in of.items())
assert all(torch.equal(each, after[name]) for name, each in sharding.whole(model.state_dict()).items())
leave(0)
"""


AS_A_COMMAND = """
import sys
from pathlib import Path
from small_data import MODEL, TOKENIZER, TRAINING
from genomix.cli.main import _talk, exit_code_of
from genomix.data.store import Dataset
from genomix.nn.classifier import Classifier
from genomix.processes import launched, leave
from genomix.train.run import train

folder, words = Path(sys.argv[2]), sys.argv[3:]
poisoned, sharded = words == ["poisoned"], words == ["sharded"]
settings = TRAINING.model_copy(update={"checks": False} | ({"steps": 50, "strategy": "fsdp"} if sharded else {}))
model = MODEL.model_copy(update={"composition": not sharded})
pooled, calls = Classifier.pooled, []

def bad(self, *batch):
    calls.append(1)
    return pooled(self, *batch) * float("nan")

if poisoned and launched().processes.rank == 1:
    Classifier.pooled = bad
with _talk():
    code = exit_code_of(lambda: train(Dataset.open(sys.argv[1]), TOKENIZER, model, settings, folder, resume=True))
leave(code)
sys.exit(code)
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


@pytest.mark.parametrize(("precision", "most"), [("double", 1e-9), ("single", 1e-3)])  # fifty updates make much of a rounding
def test_two_processes_have_the_loss_curve_of_one(alike, precision, most):
    one, two = (losses(alike[world] / precision) for world in (1, 2))
    assert len(one) == len(two) == 50
    assert np.abs(np.array(one) - two).max() < most


def test_two_processes_that_share_out_the_weights_have_the_run_of_one(alike):
    one, two = losses(alike[1] / "single"), losses(alike[2] / "sharded")
    assert len(one) == len(two) == 50
    assert np.abs(np.array(one) - two).max() < 1e-3
    mine, theirs = (load_file(alike[world] / name / "model" / "model.safetensors") for world, name in ((1, "single"), (2, "sharded")))
    assert mine.keys() == theirs.keys()
    assert all(
        torch.allclose(tensor.double(), theirs[name].double(), rtol=5e-3, atol=2e-3) for name, tensor in mine.items()
    )  # variances are above 1


@pytest.mark.parametrize("count", [1, 2, 7, 13])
def test_scores_over_processes_are_those_of_one_to_the_last_bit(alike, count):
    alone = np.load(alike[1] / f"probabilities-{count}-0.npy")
    assert alone.shape == (count, 2)
    assert all(np.array_equal(np.load(alike[2] / f"probabilities-{count}-{rank}.npy"), alone) for rank in (0, 1))


def test_evaluate_over_processes_writes_what_one_writes(dataset, model, tmp_path):
    for world in (1, 2):
        run_all(COMMAND, "evaluate", str(model), str(dataset.folder), "-o", str(tmp_path / str(world)), world=world)
    one, two = ((tmp_path / str(world) / "metrics.json").read_text() for world in (1, 2))
    assert one == two


def test_processes_that_use_different_weights_have_their_gradients_and_share_out_what_belongs_to_them():
    run_all(SHARES, world=2)


# ---- stopped, killed, resumed ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run_all(AS_A_COMMAND, str(dataset.folder), str(folder), world=2)
    return folder


def begin_and_wait(dataset, folder, step, *words):
    pair = start(AS_A_COMMAND, str(dataset.folder), str(folder), *words, world=2)
    log, deadline = folder / "metrics.jsonl", time.monotonic() + 120
    while not (log.exists() and log.read_text().count('"event": "step"') >= step):
        assert time.monotonic() < deadline
        assert all(each.poll() is None for each in pair), finish(pair)
        time.sleep(0.002)
    return pair


def test_a_signal_to_one_stops_both_and_a_kill_ends_both_and_resumed_the_weights_are_the_same(undisturbed, dataset, tmp_path):
    pair = begin_and_wait(dataset, tmp_path, 8)
    pair[1].send_signal(signal.SIGUSR1)
    stopped = finish(pair)
    assert [code for code, _, _ in stopped] == [75, 75], stopped
    assert "state saved" in stopped[0][2]
    alone = tmp_path.parent / "alone"
    shutil.copytree(tmp_path, alone)

    pair = begin_and_wait(dataset, tmp_path, 25)
    pair[1].kill()
    killed = finish(pair)
    assert [code for code, _, _ in killed] == [1, -signal.SIGKILL], killed
    assert "another process of this run ended" in killed[0][2]
    assert not (tmp_path / "model").exists()

    run_all(AS_A_COMMAND, str(dataset.folder), str(tmp_path), world=2)
    one, other = (load_file(folder / "model" / "model.safetensors") for folder in (undisturbed, tmp_path))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert [row["step"] for row in read_history(tmp_path / "metrics.jsonl") if row["event"] == "step"] == list(range(1, TRAINING.steps + 1))
    assert json.loads((tmp_path / "provenance.json").read_text())["training"]["processes"] == 2

    [(code, _, said)] = finish(start(AS_A_COMMAND, str(dataset.folder), str(alone), world=1))
    assert code == 0, said
    assert "was written with 2 processes, and now there are 1" in said
    assert np.abs(np.array(losses(alone)) - losses(undisturbed)).max() < 1e-5


def test_a_killed_run_with_shared_out_weights_goes_on_to_the_same_weights_and_so_does_one_process_without(alike, dataset, tmp_path):
    whole, killed, alone = alike[2] / "sharded", tmp_path / "killed", tmp_path / "alone"
    pair = begin_and_wait(dataset, killed, 25, "sharded")
    pair[1].kill()
    assert [code for code, _, _ in finish(pair)] == [1, -signal.SIGKILL]
    shutil.copytree(killed, alone)

    run_all(AS_A_COMMAND, str(dataset.folder), str(killed), "sharded", world=2)
    one, other = (load_file(folder / "model" / "model.safetensors") for folder in (whole, killed))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())

    [(code, _, said)] = finish(start(AS_A_COMMAND, str(dataset.folder), str(alone), "sharded", world=1))
    assert code == 0, said
    assert "was written with 2 processes, and now there are 1" in said
    assert np.abs(np.array(losses(alone)) - losses(whole)).max() < 1e-5


def test_a_loss_that_is_not_finite_in_one_process_stops_both_before_the_update(dataset, tmp_path):
    ended = finish(start(AS_A_COMMAND, str(dataset.folder), str(tmp_path), "poisoned", world=2))
    assert [code for code, _, _ in ended] == [SettingsError.exit_code] * 2, ended
    assert all("step 1: the loss is nan; the update was not made" in said for _, _, said in ended)
    assert not losses(tmp_path)


def test_an_update_with_fewer_records_than_processes_is_refused(dataset, monkeypatch, tmp_path):
    monkeypatch.setattr("genomix.train.run.processes_of", lambda _: Processes(0, 9))
    monkeypatch.setattr(Processes, "from_first", lambda _, call: call())
    with pytest.raises(SettingsError, match=r"train\.max_records is 8: an update's records are too few for 9 processes"):
        train(dataset, TOKENIZER, MODEL, TRAINING, tmp_path)


def test_more_devices_than_there_are_is_wrong_usage(monkeypatch):
    monkeypatch.setattr(devices, "require_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr("torch.accelerator.device_count", lambda: 2)
    with pytest.raises(UsageError, match="4 devices asked for, and this machine has 2 of kind cuda"):
        launch(TRAINING.model_copy(update={"devices": 4, "device": "cuda"}))


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_shares_on_a_cpu_are_refused_where_torch_would_add_up_and_not_average(strategy, monkeypatch):
    monkeypatch.setattr("torch.__version__", "2.12.1+cpu")
    monkeypatch.setattr("lightning_fabric.Fabric.launch", lambda _: None)
    settings = TRAINING.model_copy(update={"devices": 2, "strategy": strategy, "device": "cpu"})
    if strategy == "ddp":
        launch(settings)
        return
    with pytest.raises(SettingsError, match=r"on CPUs needs torch 2\.13 or newer; this is 2\.12\.1"):
        launch(settings)


def test_devices_must_agree_with_the_launcher(dataset, monkeypatch, tmp_path):
    found = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}
    monkeypatch.setattr("genomix.train.devices.launched", lambda: launched(found))
    with pytest.raises(SettingsError, match=r"train\.devices is 3, and torchrun started 2 processes on this node"):
        train(dataset, TOKENIZER, MODEL, TRAINING.model_copy(update={"devices": 3}), tmp_path)
