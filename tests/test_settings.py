"""Settings come from five places in a fixed order, a wrong name is named, and what was resolved can be read back."""

from itertools import combinations
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from genomix import settings
from genomix.errors import InputMissing, SettingsError, UsageError
from genomix.settings import known_presets, load_preset, resolve, to_toml
from genomix.settings.schema import TABLES


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(Table):
    mutation: float = Field(default=0.0, ge=0, lt=1)
    rotate: bool = False


class Train(Table):
    learning_rate: float = Field(default=3e-3, gt=0)
    steps: int = Field(default=0, ge=0)
    limit: int | None = 5
    device: Literal["auto", "cpu"] = "auto"
    weights: Literal["balanced", "none"] = "balanced"
    widths: tuple[int, ...] = (1, 2)
    change: Change = Change(mutation=0.25)

    @model_validator(mode="after")
    def _agree(self) -> "Train":
        if self.steps == 13:
            raise ValueError("steps of 13 bring bad luck")
        return self


class Model(Table):
    channels: int = Field(default=64, ge=1)
    note: str = ""


class Run(Table):
    model: Model = Model()
    train: Train = Train()


def resolved(**places) -> Run:
    return resolve(Run, **{"environment": {}, **places})


def refused(**places) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        resolved(**places)
    return caught.value


@pytest.fixture
def toml(tmp_path):
    def write(text: str, name: str = "run.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def _places(toml) -> dict[str, dict]:
    """From weak to strong, each saying another value for the same setting."""
    return {
        "preset": {"preset": str(toml("[train]\nsteps = 1", "preset.toml"))},
        "file": {"config": toml("[train]\nsteps = 2")},
        "environment": {"environment": {"GENOMIX_TRAIN_STEPS": "3"}},
        "assignment": {"assignments": ["train.steps=4"]},
        "option": {"options": {"train.steps": 5}},
    }


def test_the_stronger_place_wins(toml):
    places = _places(toml)
    strength = list(places)
    for size in range(1, len(places) + 1):
        for names in combinations(strength, size):
            merged = {key: value for name in names for key, value in places[name].items()}
            assert resolved(**merged).train.steps == strength.index(names[-1]) + 1, names


def test_places_are_laid_over_each_other_key_by_key(toml):
    run = resolved(
        preset=str(toml("[train.change]\nmutation = 0.1\n[model]\nchannels = 8", "preset.toml")),
        config=toml("[train.change]\nrotate = true"),
        environment={"GENOMIX_TRAIN_LEARNING_RATE": "1e-3", "HOME": "x"},
        options={"train.steps": None},
    )
    assert run == Run(model=Model(channels=8), train=Train(learning_rate=1e-3, change=Change(mutation=0.1, rotate=True)))


def test_what_the_environment_and_the_command_line_say_is_told_from_what_files_say(toml):
    run = resolved(
        preset=str(toml("[model]\nchannels = 8", "preset.toml")),
        config=toml("[train]\nsteps = 2\nlimit = 7\n[train.change]\nrotate = true"),
        environment={"GENOMIX_TRAIN_STEPS": "0"},
        assignments=["train.change.mutation=0.0"],
        options={"train.learning_rate": 1e-3, "train.device": None},
    )
    assert run.model_dump(exclude_unset=True) == {"train": {"steps": 0, "learning_rate": 1e-3, "change": {"mutation": 0.0}}}
    assert (run.model.channels, run.train.limit, run.train.change.rotate) == (8, 7, True)
    assert resolved().model_dump(exclude_unset=True) == {}


def test_nothing_said_is_the_defaults():
    assert resolved() == Run()
    assert resolved(assignments=["train.change.rotate=true"]).train.change == Change(mutation=0.25, rotate=True)


@pytest.mark.parametrize(
    ("assignment", "table", "key", "value"),
    [
        ("train.learning_rate=1e-3", "train", "learning_rate", 1e-3),
        ("train.device=cpu", "train", "device", "cpu"),
        ('train.device="cpu"', "train", "device", "cpu"),
        ("train.widths=[4, 5]", "train", "widths", (4, 5)),
        ("train.limit=none", "train", "limit", None),
        ("train.weights=none", "train", "weights", "none"),
        ("train.change={rotate = true}", "train", "change", Change(mutation=0.25, rotate=True)),
        ("model.note=7", "model", "note", "7"),
        ("model.note=2024-01-01", "model", "note", "2024-01-01"),
        ("model.note=a = b", "model", "note", "a = b"),
        ("model.note=1\nx = 2", "model", "note", "1\nx = 2"),
        ("model.note=", "model", "note", ""),
    ],
)
def test_values_typed_by_hand(assignment, table, key, value):
    assert getattr(getattr(resolved(assignments=[assignment]), table), key) == value


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("[trian]\nsteps = 1", "unknown table 'trian'", "did you mean train?"),
        ("[train]\nlearning_rat = 1", "unknown setting 'learning_rat' in [train]", "did you mean learning_rate?"),
        ("[train.change]\nmutatoin = 1", "unknown setting 'mutatoin' in [train.change]", "did you mean mutation?"),
        ("[model]\nlearning_rate = 1", "unknown setting 'learning_rate' in [model]", "did you mean train.learning_rate?"),
        ("[model]\nzzz = 1", "unknown setting 'zzz' in [model]", "known: channels, note"),
        ("train = 3", "expected a table [train], found 3", None),
        ("preset = 3", "expected the name of a preset, found preset = 3", None),
    ],
)
def test_unknown_names_in_a_file(toml, text, said, hint):
    path = toml(text)
    error = refused(config=path)
    assert (error.message, error.where, error.hint) == (said, str(path), hint)
    assert error.exit_code == 78


def test_unknown_names_elsewhere():
    assert str(refused(environment={"GENOMIX_TRAIN_LEARNING_RAT": "1"})) == (
        "environment variable GENOMIX_TRAIN_LEARNING_RAT: names no setting\n  hint: did you mean GENOMIX_TRAIN_LEARNING_RATE?"
    )
    assert refused(environment={"GENOMIX_WWWWWWWWWWWWW": "1"}).hint == "unset it"
    error = refused(assignments=["train.stps=1"])
    assert (error.message, error.where, error.hint) == ("unknown setting 'stps' in [train]", "--set train.stps", "did you mean steps?")
    assert refused(assignments=["steps=1"]).hint == "did you mean train.steps?"
    assert refused(assignments=["train.steps.x=1"]).message == "train.steps takes a value and has no keys of its own"
    assert refused(options={"nothing.at.all": 1}).message == "unknown table 'nothing'"
    with pytest.raises(UsageError, match=r"expected --set table\.key=value, found 'train\.steps'"):
        resolved(assignments=["train.steps"])


def test_tables_of_other_commands_are_passed_over_but_not_on_the_command_line(toml):
    assert resolved(config=toml("[data]\nx = 1\n[tokenizer]\nk = 3"), environment={"GENOMIX_DATA_X": "1", "GENOMIX_CACHE": "x"}) == Run()
    assert refused(assignments=["data.x=1"]).message == "unknown table 'data'"


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (["train.learning_rate=-1"], "train.learning_rate should be greater than 0, found -1"),
        (["train.steps=many"], "train.steps should be a valid integer, unable to parse string as an integer, found 'many'"),
        (["train.device=gpu"], "train.device should be 'auto' or 'cpu', found 'gpu'"),
        (["train.widths=[1, 'x']"], "train.widths.1 should be a valid integer, unable to parse string as an integer, found 'x'"),
        (["train.steps=13"], "train: steps of 13 bring bad luck"),
        (["model.channels=0", "train.steps=-1"], "model.channels should be greater than or equal to 1, found 0 (and 1 more)"),
    ],
)
def test_values_out_of_range(assignments, said):
    error = refused(assignments=assignments)
    assert (error.message, error.where) == (said, f"--set {assignments[0].partition('=')[0]}")


def test_a_bad_value_is_blamed_on_the_place_that_won(toml):
    path = toml("[train]\nsteps = -1")
    assert refused(config=path, environment={"GENOMIX_TRAIN_LEARNING_RATE": "1"}).where == str(path)
    assert refused(config=path, environment={"GENOMIX_TRAIN_STEPS": "-2"}).where == "GENOMIX_TRAIN_STEPS"


def test_a_setting_without_a_default_must_be_set():
    class Needy(Table):
        class Inner(Table):
            key: int

        train: Inner

    with pytest.raises(SettingsError, match=r"train\.key has no default and must be set|train has no default and must be set"):
        resolve(Needy, environment={})


def test_a_byte_order_mark_is_passed_over(toml):
    assert resolved(config=toml("\ufeff[train]\nsteps = 7")).train.steps == 7


def test_a_file_that_is_not_toml(toml, tmp_path):
    error = refused(config=toml("[train]\nsteps = \n"))
    assert error.where == f"{tmp_path / 'run.toml'}, line 2"
    assert error.message.startswith("not TOML: ")
    assert refused(config=toml('note = "')).where.startswith(str(tmp_path / "run.toml"))
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    assert "not UTF-8" in refused(config=tmp_path / "latin.toml").message
    with pytest.raises(InputMissing, match=r"absent\.toml: cannot open"):
        resolved(config=tmp_path / "absent.toml")
    with pytest.raises(InputMissing, match="cannot open"):
        resolved(config=tmp_path)


@pytest.fixture
def presets(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    for steps, name in enumerate(("tiny", "base", "long"), start=1):
        (tmp_path / "models" / f"{name}.toml").write_text(f'description = "the {name} one"\n[train]\nsteps = {steps}\n')
    monkeypatch.setattr(settings.presets, "resource_folder", lambda name: tmp_path / name)


def test_presets_by_name(presets):
    assert list(known_presets()) == ["base", "long", "tiny"]
    assert load_preset("tiny") == {"description": "the tiny one", "train": {"steps": 1}}
    error = refused(preset="tinny")
    assert str(error) == "unknown preset 'tinny'\n  hint: did you mean tiny? presets: base, long, tiny; or the path of a .toml file"


def test_who_names_the_preset(presets, toml):
    file = toml('preset = "base"')
    chosen = {"preset": "tiny", "environment": {"GENOMIX_PRESET": "long"}, "config": file, "default_preset": "long"}
    assert resolved(**chosen).train.steps == 1
    del chosen["preset"]
    assert resolved(**chosen).train.steps == 3
    del chosen["environment"]
    assert resolved(**chosen).train.steps == 2
    del chosen["config"]
    assert resolved(**chosen).train.steps == 3
    assert resolved().train.steps == 0


def test_a_preset_that_a_file_says_all_of_is_warned_of(presets, toml, caplog):
    path = toml("[train]\nsteps = 9")
    assert resolved(preset="long", config=path).train.steps == 9
    assert caplog.messages == [f"--preset long has no effect: {path} sets all that it says"]
    caplog.clear()
    for places in (
        {"preset": "tiny", "config": toml("[train]\nsteps = 1", "same.toml")},
        {"preset": "long", "config": toml("[train]\nlimit = 1", "other.toml")},
        {"preset": "long", "assignments": ["train.steps=9"]},
        {"default_preset": "long", "environment": {"GENOMIX_PRESET": "base"}, "config": path},
        {"config": toml('preset = "long"\n[train]\nsteps = 9', "named.toml")},
    ):
        resolved(**places)
    assert caplog.messages == []


def test_a_preset_that_builds_on_another_is_refused(presets, toml):
    file = toml('preset = "base"\n[train]\nlimit = 7')
    for places in ({"preset": str(file)}, {"environment": {"GENOMIX_PRESET": str(file)}}):
        error = refused(**places)
        assert "found a file that builds on one: preset = 'base'" in error.message
        assert (error.where, error.hint) == (str(file), f"--config {file} reads both")
    assert (resolved(config=file).train.steps, resolved(config=file).train.limit) == (2, 7)


def test_every_table_of_a_command_is_passed_over_by_the_others(toml):
    from genomix.data.preprocess import PreprocessTables
    from genomix.explain import ExplainTables
    from genomix.predict import PredictTables
    from genomix.settings.run import PretrainRunSettings, RunSettings

    commands = (PreprocessTables, RunSettings, PretrainRunSettings, PredictTables, ExplainTables)
    assert {table for model in commands for table in model.model_fields} == TABLES
    file = toml("[explain]\nstretch = 200\n[train]\nsteps = 7")
    for model in commands:
        resolve(model, config=file, environment={"GENOMIX_EXPLAIN_STRETCH": "200", "GENOMIX_MASKING_SHARE": "0.2"})


@pytest.mark.parametrize("name", known_presets())
def test_the_presets_that_ship_are_sound_described_and_read_back_the_same(name, tmp_path):
    from genomix.settings.run import RunSettings

    shipped = resolve(RunSettings, preset=name, environment={})
    (tmp_path / "run.toml").write_text(to_toml(shipped))
    other = "tiny" if name == "cvpr22" else "cvpr22"
    assert resolve(RunSettings, preset=other, config=tmp_path / "run.toml", environment={}) == shipped
    assert dict(settings.presets.describe_presets())[name]
    assert resolve(RunSettings, preset=name, assignments=["tokenizer.kind=nucleotide"], environment={}).tokenizer.k == 1


@given(
    run=st.builds(
        Run,
        model=st.builds(Model, channels=st.integers(1, 2**40), note=st.text(st.characters(exclude_categories=["Cs"]))),
        train=st.builds(
            Train,
            learning_rate=st.floats(min_value=0, exclude_min=True),
            steps=st.integers(14, 99),
            limit=st.none() | st.integers(),
            widths=st.lists(st.integers()).map(tuple),
            change=st.builds(Change, mutation=st.floats(0, 0.9), rotate=st.booleans()),
        ),
    )
)
def test_resolved_settings_read_back_the_same(tmp_path_factory, run):
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.toml").write_text(to_toml(run), encoding="utf-8")
    (folder / "other.toml").write_text("[train]\nlimit = 77\nchange.rotate = true\n")
    assert resolved(config=folder / "run.toml", preset=str(folder / "other.toml")) == run
