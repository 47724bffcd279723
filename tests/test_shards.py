"""Prediction shared out: the output of many processes, killed and started again at will, is that of one; nothing wrong or partial is ever there."""

import random
import time
from itertools import pairwise

import pytest
from several_processes import COMMAND, finish, start
from small_data import MODEL, TOKENIZER, TRAINING, random_sequence, small_dataset, write_fasta

from genomix import shards
from genomix.cli.main import main
from genomix.processes import Processes, launched
from genomix.shards import part_of, parts_folder
from genomix.train.run import train

SMALL_PARTS = ("--set", "predict.token_budget=300", "--set", "predict.max_records=4")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train(small_dataset(folder / "data"), TOKENIZER, MODEL, TRAINING.model_copy(update={"steps": 4, "checks": False}), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    rng = random.Random(1)
    records = {f"r{i}": random_sequence(rng, rng.choice([1, 80, 300, 5_000]), gc=0.4) for i in range(60)}
    return write_fasta(tmp_path_factory.mktemp("sequences") / "new.fa", records)


@pytest.fixture(scope="module")
def undisturbed(model, sequences, tmp_path_factory):
    output = tmp_path_factory.mktemp("alone") / "predictions.tsv"
    assert main(["predict", str(model), str(sequences), "-o", str(output), *SMALL_PARTS]) == 0
    return output.read_bytes()


def words(model, sequences, output, *more):
    return ["predict", str(model), str(sequences), "-o", str(output), *SMALL_PARTS, *more]


def test_shares_write_commas_where_the_file_is_called_csv(model, sequences, tmp_path):
    assert main(words(model, sequences, tmp_path / "alone.csv")) == 0
    for share in ("1/2", "2/2"):
        assert main(words(model, sequences, tmp_path / "shared.csv", "--shard", share)) == 0
    assert (tmp_path / "shared.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert (tmp_path / "alone.csv").read_text().startswith("id,length,status,")


def parts(output):
    return sorted(parts_folder(output).glob("*/part-*"))


def test_shares_are_put_together_in_input_order_by_whoever_is_last(model, sequences, undisturbed, tmp_path, capsys):
    output = tmp_path / "predictions.tsv"
    for share in ("2/3", "3/3"):
        assert main(words(model, sequences, output, "--shard", share)) == 0
        assert not output.exists()
    assert "parts of other shares are not there yet" in capsys.readouterr().err
    assert main(words(model, sequences, output, "--shard", "1/3")) == 0
    assert output.read_bytes() == undisturbed
    assert {path.name for path in parts_folder(output).iterdir()} == {"done.json"}
    assert "60 records: " in capsys.readouterr().err


def test_json_lines_and_a_single_share_too(model, sequences, tmp_path):
    alone, shared = tmp_path / "alone.jsonl", tmp_path / "shared.jsonl"
    assert main(words(model, sequences, alone, "--format", "jsonl")) == 0
    assert main(words(model, sequences, shared, "--format", "jsonl", "--shard", "1/1")) == 0
    assert shared.read_bytes() == alone.read_bytes()


def test_what_is_there_is_not_made_again(model, sequences, undisturbed, tmp_path, capsys):
    output = tmp_path / "predictions.tsv"
    assert main(words(model, sequences, output, "--shard", "1/2")) == 0
    kept = {path: path.stat().st_mtime_ns for path in parts(output)}
    assert len(kept) > 2
    lost = parts(output)[1]
    lost.unlink()
    assert main(words(model, sequences, output, "--shard", "1/2")) == 0
    assert "done, 1 parts made now" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in parts(output) if path != lost} == {path: kept[path] for path in kept if path != lost}
    assert main(words(model, sequences, output)) == 0  # without --shard: what is missing, by one process
    assert output.read_bytes() == undisturbed
    before = output.stat().st_mtime_ns
    assert main(words(model, sequences, output, "--shard", "2/2")) == 0  # a task of the array that comes late
    assert output.stat().st_mtime_ns == before


def test_when_all_is_done_the_plain_command_is_a_plain_command(model, sequences, undisturbed, tmp_path):
    output, split = tmp_path / "predictions.tsv", tmp_path / "split"
    assert main(words(model, sequences, output, "--shard", "1/1")) == 0
    assert main(words(model, sequences, output, "--force", "--split-fasta", str(split))) == 0
    assert output.read_bytes() == undisturbed
    assert split.is_dir()


def test_a_share_whose_parts_another_process_has_put_together_meanwhile_is_done(model, sequences, undisturbed, tmp_path, monkeypatch):
    output, make = tmp_path / "predictions.tsv", shards._make_part

    def overtaken(path, *rest):
        monkeypatch.setattr(shards, "_make_part", make)
        assert main(words(model, sequences, output, "--shard", "1/1")) == 0
        monkeypatch.setattr(shards, "_make_part", counted)
        make(path, *rest)

    def counted(path, *rest):
        made.append(path)
        make(path, *rest)

    made = []
    monkeypatch.setattr(shards, "_make_part", overtaken)
    assert main(words(model, sequences, output, "--shard", "1/1")) == 0
    assert output.read_bytes() == undisturbed
    assert not made, "nothing is made that is there"
    assert [each.name for each in parts_folder(output).iterdir()] == ["done.json"]


def test_parts_of_other_settings_models_or_sequences_are_never_taken(model, sequences, tmp_path, capsys):
    output = tmp_path / "predictions.tsv"
    assert main(words(model, sequences, output, "--shard", "1/2")) == 0
    assert "parts of another" not in capsys.readouterr().err
    changed = tmp_path / "new.fa"
    changed.write_text(sequences.read_text().replace(">r0", ">x0"))
    for source, more in ((changed, ()), (sequences, ("--threshold", "0.9"))):
        assert main(words(model, source, output, "--shard", "2/2", *more)) == 0
        assert not output.exists()
        assert f"warning: {parts_folder(output)} holds parts of another input, model or settings too" in capsys.readouterr().err
    assert len(list(parts_folder(output).iterdir())) == 3


def test_an_output_may_have_the_longest_name_there_is(model, sequences, undisturbed, tmp_path):
    output = tmp_path / f"{'a' * 251}.tsv"
    assert main(words(model, sequences, output)) == 0
    assert output.read_bytes() == undisturbed
    output.unlink()
    for share in ("1/2", "2/2"):
        assert main(words(model, sequences, output, "--shard", share)) == 0
    assert output.read_bytes() == undisturbed


def test_an_output_of_something_else_is_not_replaced_without_force(model, sequences, undisturbed, tmp_path, capsys):
    output = tmp_path / "predictions.tsv"
    output.write_text("precious")
    assert main(words(model, sequences, output, "--shard", "1/1")) == 73
    assert "--force" in capsys.readouterr().err
    assert output.read_text() == "precious"
    assert main(words(model, sequences, output, "--shard", "1/1", "--force")) == 0
    assert output.read_bytes() == undisturbed


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--shard", "0/3"), "expected two numbers such as 3/16"),
        (("--shard", "4/3"), "expected two numbers such as 3/16"),
        (("--shard", "a"), "expected two numbers such as 3/16"),
        (("--shard", "1/2", "-o", "-"), "which must be a file"),
        (("--shard", "1/2", "--split-fasta", "folder"), "needs one process that sees all records"),
    ],
)
def test_what_can_not_be_shared_out_is_refused(model, sequences, tmp_path, capsys, more, said):
    output, more = ("-", more[:2]) if "-o" in more else (tmp_path / "out.tsv", more)
    assert main(words(model, sequences, output, *more)) == 2
    assert said in capsys.readouterr().err


def test_two_processes_of_torchrun_and_kills_at_random_moments(model, sequences, undisturbed, tmp_path):
    output, rng = tmp_path / "predictions.tsv", random.Random(5)
    for _ in range(3):
        pair = start(COMMAND, *words(model, sequences, output), world=2)
        deadline, enough = time.monotonic() + 120, len(parts(output)) + rng.randint(1, 6)
        while len(parts(output)) < enough and time.monotonic() < deadline and all(each.poll() is None for each in pair):
            time.sleep(0.002)
        pair[rng.randrange(2)].kill()
        assert not output.exists() or output.read_bytes() == undisturbed
        for each in pair:
            each.kill()
        finish(pair)
    assert all(code == 0 for code, _, _ in finish(start(COMMAND, *words(model, sequences, output), world=2)))
    assert output.read_bytes() == undisturbed
    assert {path.name for path in tmp_path.iterdir()} == {"predictions.tsv", ".predictions.tsv.parts"}


def test_parts_grow_so_that_there_are_never_too_many():
    numbers = [part_of(chunk) for chunk in range(20_000)]
    assert numbers[:256] == list(range(256))
    assert numbers[256:262] == [256, 256, 257, 257, 258, 258]
    assert all(after - before in {0, 1} for before, after in pairwise(numbers))
    assert numbers[-1] < 1_700


def test_who_started_this_process():
    torchrun = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "x"}
    batch = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}  # a batch script is one process, whatever its job may start
    step = batch | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}
    found = launched(torchrun)
    assert (found.by, found.processes, found.per_node, found.local) == ("torchrun", Processes(5, 8), 4, 1)
    found = launched(step)
    assert (found.by, found.processes, found.per_node, found.local) == ("srun", Processes(3, 4), 2, 1)
    assert launched(torchrun | step).by == "torchrun"
    assert launched(step | {"SLURM_STEP_NUM_NODES": "3"}).per_node is None
    assert launched(batch) is launched({}) is None
