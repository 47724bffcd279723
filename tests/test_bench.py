"""`genomix bench`: sides are compared before they are timed, a red comparison leaves no speed, what is left out says so, and every figure is written."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from genomix.bench import bars, children, equality, figures, operators, ops, peers, plot, tables, timing
from genomix.bench import predict as bench_predict
from genomix.bench import preprocess as bench_preprocess
from genomix.bench.generated import compressed, write_fasta
from genomix.bench.ops import OpsPlan, bench_ops
from genomix.bench.steps import scaling
from genomix.cli.main import main
from genomix.devices import require_device
from genomix.nn.mixers import Paramixer

EVERY = list(operators.OPERATORS)
MATCHED = [name for name in bars.PEERS if name != "convolution-dense"]


@pytest.mark.parametrize("length", [1024, 3000, 16_384, 1_048_576])
def test_peers_have_as_many_parameters_as_the_paramixer(length):
    for name in MATCHED:
        with torch.device("meta"):
            found = operators.count(operators.OPERATORS[name][0](length))
        assert found == pytest.approx(operators.target(length), rel=0.1), name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", EVERY)
def test_every_operator_makes_a_step(name, dtype):
    case = operators.build(name, 80, batch=2, dtype=dtype)
    assert [tuple(part.shape) for part in case.train()] == [tuple(part.shape) for part in (case.input, *case.module.parameters())]
    assert torch.isfinite(case.infer()).all()


def test_the_picture_has_a_line_for_every_operator(tmp_path):
    rows = [{"operator": name, "length": 64, "train_seconds": 1.0, "peak_extra_bytes": 2**20} for name in operators.OPERATORS]
    plot.draw(rows, tmp_path / "ops.svg", "cpu")
    drawn = (tmp_path / "ops.svg").read_text()
    assert [name for name in operators.OPERATORS if f"{name}, 64 positions" not in drawn] == []


def test_all_sides_agree():
    found = equality.compare_all("cpu", "float32", EVERY)
    assert len(found) == 11
    assert [each for each in found if not each.agrees] == []


def test_a_convolution_done_by_phases_is_the_convolution():
    layer = torch.nn.Conv1d(4, 4, 5, padding=64, dilation=32).double()
    hidden = torch.randn(2, 4, 320, dtype=torch.float64)
    assert torch.allclose(peers._convolved(layer, hidden), layer(hidden), rtol=1e-12)


def test_no_number_is_no_agreement():
    assert not equality.Comparison("", equality.difference([torch.tensor([torch.nan])], [torch.ones(1)]), 1.0).agrees
    assert equality.difference([torch.tensor([1.0, 2.0])], [torch.tensor([1.0, 4.0])]) == 0.5


def small(**changes):
    return OpsPlan(**({"lengths": (64, 128), "operators": ("paramixer-cdil", "fft"), "parts": ("lengths",), "rounds": 1} | changes))


@pytest.fixture
def here(monkeypatch):
    """Tasks run in this process: starting others takes seconds."""
    asked = []

    def measured(task, *, tuned=True, seconds=None, **arguments):
        asked.append((task, tuned, arguments))
        module, function = ("genomix.bench.steps", children_tasks()[task])
        if task in {"published", "ours"}:
            arguments["length"] = 128
        if task == "step":
            arguments["length"] = min(arguments["length"], 128)
        found = getattr(__import__(module, fromlist=[function]), function)(**arguments)
        return found | {"peak_extra_bytes": 4096} if task == "step" else found  # this process may have needed more before

    monkeypatch.setattr(ops, "measured", measured)
    return asked


def children_tasks():
    from genomix.bench.child import TASKS

    return {name: function for name, (_, function) in TASKS.items()}


def test_a_broken_operator_gets_no_speed(monkeypatch, capsys, here):
    right = Paramixer.forward
    monkeypatch.setattr(Paramixer, "forward", lambda self, *inputs: right(self, *inputs) * 1.01)
    assert main(["-q", "bench", "ops", "--lengths", "64", "--operators", "paramixer-cdil", "--rounds", "1"]) == 1
    said = capsys.readouterr()
    assert "DIFFERS: dna: against the published formulation" in said.out
    assert "tokens/s" not in said.out
    assert said.err == "results differ: no speed is worth printing\n"
    assert here == []


def test_a_difference_on_the_timed_input_gets_no_speed(monkeypatch, here):
    monkeypatch.setattr(ops, "_published", lambda _: {"error": 0.1, "tolerance": 1e-3, "train_speedup": 9.0})
    outcome = bench_ops(small(parts=("published",)))
    assert not outcome.agree
    assert outcome.figures == {}
    assert outcome.compared[-1]["error"] == 0.1


def test_ops_measures_prints_and_writes(tmp_path, capsys, here, monkeypatch):
    monkeypatch.setattr(ops, "BASE", 64)
    file, picture = tmp_path / "ops.json", tmp_path / "ops.svg"
    words = ["-q", "bench", "ops", "--lengths", "64,128", "--operators", "paramixer-cdil,fft,dna", "--rounds", "1"]
    assert main([*words, "--part", "published", "--part", "lengths", "--json", str(file), "--plot", str(picture)]) == 0
    out = capsys.readouterr().out
    assert out.count("agrees: ") == 6  # the one on the timed input too
    assert "times the floor" in out
    found = json.loads(file.read_text())
    assert {"train_speedup", "inference_speedup", "memory_ratio", "machine", "versions", "commit", "allocator", "bars"} <= found.keys()
    assert {(row["operator"], row["length"]) for row in found["lengths"]} == {
        (n, k) for n in ("paramixer-cdil", "fft", "dna") for k in (64, 128)
    }
    assert all(row["tokens_per_second"] > 0 and row["peak_extra_bytes"] >= 0 for row in found["lengths"])
    assert found["published"]["default_allocator"]["speed_kept"].keys() == {"train", "inference"}
    assert [tuned for task, tuned, _ in here if task == "published"] == [True, False]
    assert [tuned for task, tuned, _ in here if task == "ours"] == [True, False, False, True]
    assert {task: tuned for task, tuned, _ in here if task not in {"published", "ours"}} == {"step": False, "speeds": True, "scaling": True}
    assert [("part_of_base_speed" in row) for row in found["lengths"] if row["operator"] == "dna"] == [False, True]
    assert picture.read_text().startswith("<svg")
    assert (
        main(
            [*words[:3], "--lengths", "64", "--operators", "attention", "--rounds", "1", "--part", "lengths", "--json", str(file), "--add"]
        )
        == 0
    )
    more = json.loads(file.read_text())
    assert len(more["lengths"]) == 7
    assert more["train_speedup"] == found["train_speedup"]


def test_figures_of_another_commit_or_precision_are_not_added_to(tmp_path, capsys):
    file = tmp_path / "ops.json"
    figures.write_figures(file, {"device": "cpu", "dtype": "bfloat16", "comparisons": []})
    assert main(["bench", "ops", "--json", str(file), "--add"]) == 65
    assert "measured with another dtype" in capsys.readouterr().err
    file.write_text(file.read_text().replace(figures.commit(), "0000000"))
    assert main(["bench", "ops", "--dtype", "bfloat16", "--json", str(file), "--add"]) == 65
    assert "measured with another commit" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_a_file_that_cannot_be_written_is_told_before_measuring(option, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("genomix.bench.ops.bench_ops", lambda *_, **__: pytest.fail("it was measured"))
    (tmp_path / "file").write_text("")
    for path, said in ((tmp_path, "a folder, expected a file"), (tmp_path / "file" / "x", "cannot write")):
        assert main(["bench", "ops", option, str(path)]) == 73
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_figures_replace_figures_alone(option, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("genomix.bench.ops.bench_ops", lambda *_, **__: pytest.fail("it was measured"))
    other = figures.surroundings() | {"what": "figures of another program"}
    for text in (">a\nACGT\n", '{"what": "settings"}', "<svg></svg>", "[" * 100_000, json.dumps(other)):
        (tmp_path / "file").write_text(text)
        assert main(["bench", "ops", option, str(tmp_path / "file")]) == 73
        told = capsys.readouterr().err
        assert "not what genomix bench has written" in told
        assert f"{option} names another file" in told
        assert (tmp_path / "file").read_text() == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--data", "D", "--length", "500"], "--length has no effect with --data"),
        (["train", "--bases", "90000", "--length", "50000"], "90,000 bases are less than 6 records of 50,000"),
        (["predict", "x.fa", "--bases", "9000"], "--bases has no effect with files"),
        (["predict", "--bases", "4000"], "4,000 bases are less than one record of 10,000"),
        (["predict", "--model", "M", "--preset", "tiny"], "--preset has no effect with --model"),
        (["preprocess", "a=a.fa", "b=b.fa", "--megabytes", "3"], "--megabytes has no effect with files"),
        (["preprocess", "--megabytes", "1", "--length", "200000"], "1,000,000 bases are less than 6 records of 200,000"),
    ],
)
def test_options_that_would_do_nothing_or_too_little_are_told(words, said, capsys):
    assert main(["bench", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lengths", "12"], "--lengths: expected numbers from 64"),
        (["--lengths", "4k"], "found '4k'"),
        (["--operators", "ftt"], "unknown operator 'ftt'"),
        (["--add"], "--add needs --json FILE"),
        (["--json", "-"], "--json FILE names a file"),
        (["--plot", "-"], "--plot FILE names a file"),
        (["--device", "cuda"], "no cuda device"),
    ],
)
def test_wrong_usage(words, said, capsys):
    if words[-1] == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    assert main(["bench", "ops", *words]) == 2
    assert said in capsys.readouterr().err


def test_what_is_left_out_has_a_reason_and_no_figure(monkeypatch):
    def measured(task, **arguments):
        if task == "speeds":
            return dict.fromkeys(arguments["chosen"], 2.0)
        if arguments["operator"] == "fft":
            raise children.Stopped("the process was ended by signal 9")
        length = arguments["length"]
        return {"parameters": 5, "step_seconds": length / 4096, "peak_extra_bytes": length * 2**20, "peak_bytes": length * 2**20}

    monkeypatch.setattr(ops, "measured", measured)
    plan = small(lengths=(4096, 8192, 65_536, 131_072), operators=("attention", "fft"), limit=10.0, memory=2**50)
    rows = bench_ops(plan).figures["lengths"]
    found = {(row["operator"], row["length"]): row for row in rows}
    assert found["attention", 8192]["tokens_per_second"] == 4096
    assert found["attention", 65_536]["left_out"] == "beyond the limit of 10 s a step: 2.0 s at 8,192 positions"
    assert found["attention", 131_072]["left_out"] == found["attention", 65_536]["left_out"]
    assert found["fft", 4096]["left_out"] == "the process was ended by signal 9"
    assert all("tokens_per_second" not in row for row in rows if "left_out" in row)
    text = "\n".join(tables.ops_lines({"lengths": rows}))
    assert text.count("left out: beyond the limit of 10 s a step") == 2
    small_memory = bench_ops(small(lengths=(4096, 8192), operators=("attention",), memory=6 * 2**30)).figures["lengths"]
    assert small_memory[1]["left_out"] == "beyond the limit of 6.0 GiB a step: 4.0 GiB at 4,096 positions"


def test_bars_come_from_the_figures_alone():
    rows = [
        {"operator": "dna", "length": 16_384, "tokens_per_second": 100.0},
        {"operator": "dna", "length": 262_144, "tokens_per_second": 70.0, "part_of_base_speed": 0.5},
        {"operator": "dna", "length": 1_048_576, "tokens_per_second": 40.0},
        {"operator": "paramixer-cdil", "length": 16_384, "tokens_per_second": 120.0},
        {"operator": "fft", "length": 16_384, "tokens_per_second": 150.0, "paramixer_speedup": 1.2},
        {"operator": "rotation", "length": 16_384, "tokens_per_second": 50.0},
        {"operator": "attention", "length": 16_384, "left_out": "too slow"},
    ]
    found = bars.bars({"lengths": rows})
    assert [(bar["value"], bar["aim"], bar["met"]) for bar in found] == [(0.5, 0.6, False), (1.2, 1.3, False)]
    assert bars.bars({}) == []


def test_lengths_are_timed_in_turn_by_position(monkeypatch):
    """The shorter is repeated, so that both have as many positions."""
    steps = []
    monkeypatch.setattr("genomix.bench.operators.build", lambda _, length, **__: SimpleNamespace(train=lambda: steps.append(length)))
    clock = iter(np.cumsum([0, 1, 0, 1] * 2).tolist())  # each side takes a second
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    found = scaling(operator="dna", lengths=[64, 256], rounds=1, device="cpu", dtype="float32")
    assert steps == [64, 64, 64, 64, 256] * 2
    assert found == {"per_position": [1 / 256, 1 / 256]}


def test_longer_records_without_the_memory_for_all_lengths_get_no_part(monkeypatch, here):
    measured = ops.measured

    def stopped(task, **arguments):
        if task == "scaling":
            raise children.Stopped("the process was ended by signal 9")
        return measured(task, **arguments)

    monkeypatch.setattr(ops, "measured", stopped)
    monkeypatch.setattr(ops, "BASE", 64)
    said = []
    rows = bench_ops(small(operators=("dna",)), progress=said.append).figures["lengths"]
    assert all("part_of_base_speed" not in row for row in rows)
    assert said[-1] == "no figure: the process was ended by signal 9"


def test_a_plot_of_nothing_is_a_picture(tmp_path):
    plot.draw([], tmp_path / "none.svg", "cpu")
    assert (tmp_path / "none.svg").read_text().startswith("<svg")


def test_sides_are_timed_in_turn():
    calls = []
    seconds = timing.in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert seconds.keys() == {"a", "b"}


def test_the_peak_counts_what_was_given_back():
    timing.forget_peak()
    before = timing.peak_memory()
    np.ones(1 << 24)
    assert timing.peak_memory() - before > 100 * 2**20


def test_a_fresh_process_measures_and_a_failing_one_says_why():
    found = children.measured("step", operator="fft", length=64, batch=1, device="cpu", dtype="float32")
    assert found.keys() == {"parameters", "step_seconds", "peak_extra_bytes", "peak_bytes"}
    with pytest.raises(children.Stopped, match="KeyError"):
        children.measured("step", operator="none such", length=64, batch=1, device="cpu", dtype="float32")


def test_train_gives_the_share_of_loading(tmp_path, capsys):
    words = ["-q", "bench", "train", "--bases", "40000", "--length", "500", "--steps", "2", "--json", str(tmp_path / "train.json")]
    assert main(words) == 0
    found = json.loads((tmp_path / "train.json").read_text())
    assert found["updates"] == 2
    assert 0 < found["loading_share"] < 1
    assert found["tokens_per_second"] > 0
    assert "of an update" in capsys.readouterr().out


def test_figures_are_of_the_device_that_auto_takes(tmp_path, capsys):
    taken, file = require_device("auto").type, tmp_path / "figures.json"
    for words in (
        ["train", "--bases", "40000", "--length", "500", "--steps", "2"],
        ["predict", "--bases", "3000", "--length", "1500", "--rounds", "1"],
    ):
        assert main(["-q", "bench", *words, "--device", "auto", "--json", str(file)]) == 0
        assert json.loads(file.read_text())["device"] == taken
        said = capsys.readouterr().out
        assert f"on {taken}:" in said
        assert ("beside the one before" in said) == (words[0] == "train" and taken != "cpu")


def test_train_with_a_red_comparison_times_nothing(monkeypatch, capsys):
    monkeypatch.setattr("genomix.bench.train.difference", lambda *_: float("nan"))
    assert main(["-q", "bench", "train", "--bases", "40000", "--length", "500", "--steps", "2"]) == 1
    assert "tokens/s" not in capsys.readouterr().out


def test_predict_gives_shares_that_sum_to_one(tmp_path, capsys):
    words = ["bench", "predict", "--bases", "30000", "--length", "1500", "--rounds", "1", "--json", str(tmp_path / "predict.json")]
    assert main(words) == 0
    found = json.loads((tmp_path / "predict.json").read_text())
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert found["bases"] == 30_000
    assert "bases/s" in capsys.readouterr().out
    assert main(["bench", "predict", str(tmp_path / "absent.fa")]) == 66


def test_predict_with_a_red_comparison_times_nothing(monkeypatch, capsys):
    monkeypatch.setattr("genomix.bench.predict._distance", lambda *_: 1.0)
    assert main(["bench", "predict", "--bases", "3000", "--length", "1500"]) == 1
    assert "bases/s" not in capsys.readouterr().out


def test_predict_holds_the_records_that_it_compares_and_no_more(monkeypatch):
    read = []
    records = bench_predict._records

    def counted(files):
        read.append(0)
        for record in records(files):
            read[-1] += 1
            yield record

    monkeypatch.setattr(bench_predict, "_records", counted)
    assert main(["bench", "predict", "--bases", "30000", "--length", "200", "--rounds", "1"]) == 0
    assert read[:2] == [100, 150]


def test_what_can_be_read_only_once_is_not_measured(tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in ("-", str(pipe)):
        for words in (["predict", place], ["preprocess", f"A={place}"]):
            assert main(["bench", *words]) == 2
            said = capsys.readouterr().err
            assert f"{'standard input' if place == '-' else pipe} can be read only once" in said
            assert "save them to a file" in said


def test_preprocess_gives_plain_and_gzip(tmp_path, capsys):
    words = ["bench", "preprocess", "--megabytes", "1", "--rounds", "1", "--json", str(tmp_path / "preprocess.json")]
    assert main(words) == 0
    found = json.loads((tmp_path / "preprocess.json").read_text())
    for form in ("plain", "gzip"):
        assert found[form]["bytes"] == pytest.approx(1_000_000, rel=0.1)
        assert found[form]["times_decompression"] > 0
        assert found[form]["peak_bytes"] > 10 * 2**20
    assert "MB/s" in capsys.readouterr().out


def test_preprocess_with_a_red_comparison_times_nothing(monkeypatch, capsys):
    monkeypatch.setattr(bench_preprocess, "encode_bases", lambda _: b"")
    assert main(["bench", "preprocess", "--megabytes", "1"]) == 1
    assert "MB/s" not in capsys.readouterr().out


def test_preprocess_takes_pairs(tmp_path, capsys):
    assert main(["bench", "preprocess", "reads.fa"]) == 2
    assert main(["bench", "preprocess", f"A={tmp_path / 'absent.fa'}"]) == 66
    assert "expected NAME=file" in capsys.readouterr().err


def test_preprocess_measures_every_file_as_it_is_given(tmp_path, capsys):
    for seed, name in enumerate("abc"):
        write_fasta(tmp_path / f"{name}.fa", bases=20_000, length=500, seed=seed)
    words = [f"A={compressed(tmp_path / 'a.fa')}", f"A={tmp_path / 'c.fa'}", f"B={tmp_path / 'b.fa'}"]
    assert main(["bench", "preprocess", *words, "--rounds", "1", "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["as given"]["bytes"] == sum((tmp_path / f"{name}.fa").stat().st_size for name in "abc")
    assert not found.keys() & {"plain", "gzip"}
    said = capsys.readouterr().out
    assert "as given: records of 120 that" in said
    assert "\nas given " in said
