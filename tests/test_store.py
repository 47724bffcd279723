"""The dataset folder: what is written is what is read, and what was changed is refused."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_data import small_dataset

from genomix.data.labels import Label, LabelledRecord
from genomix.data.record_table import RecordTable, write_records
from genomix.data.store import BASES_FILE, INFO_FILE, RECORD_COLUMNS, RECORDS_FILE, SCHEMA_VERSION, SIMILARITY_FILE, BasesWriter, Dataset
from genomix.errors import DataError, InputMissing
from genomix.records import SequenceRecord

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
AWKWARD = [
    "NA",
    "None",
    "nan",
    "",
    "null",
    "1e5",
    "007",
    " x ",
    "x\ty",
    'say "x"',
    '"',
    "two\nlines",
    "old\rMac",
    "both\r\n",
    "É. coli",
    "#x",
    "'",
    "\\",
    ",",
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("data"))


def rewrite(dataset: Dataset, folder: Path, **changes) -> Path:
    """A copy of a dataset with other facts in its `dataset.json`."""
    folder.mkdir()
    for name in (BASES_FILE, RECORDS_FILE, SIMILARITY_FILE):
        (folder / name).write_bytes((dataset.folder / name).read_bytes())
    (folder / INFO_FILE).write_text(json.dumps({**dataset.info, **changes}))
    return folder


def written_and_read(folder: Path, texts: list[str]) -> list[str]:
    """Labels after a round through `records.tsv`."""
    table = RecordTable()
    for ordinal, text in enumerate(texts, start=1):
        record = SequenceRecord("id", "", b"", "x.fa", ordinal)
        table.add(LabelledRecord(record, Label(text, text), "id"), 4, 0)
    write_records(folder / RECORDS_FILE, table, np.arange(len(texts)), [""] * len(texts), [""] * len(texts))
    records = Dataset(folder, {}).records
    assert list(records.columns) == list(RECORD_COLUMNS)
    assert records["length"].tolist() == [4] * len(texts)
    assert records["group"].tolist() == records["label"].tolist()
    return records["label"].tolist()


def test_class_names_may_hold_any_text(tmp_path):
    assert written_and_read(tmp_path, AWKWARD) == AWKWARD
    for text in AWKWARD:
        assert written_and_read(tmp_path, [text]) == [text]


@given(texts=st.lists(TEXT, min_size=1, max_size=5))
def test_any_text_survives(tmp_path_factory, texts):
    assert written_and_read(tmp_path_factory.mktemp("any"), texts) == texts


@given(pieces=st.lists(st.binary(max_size=20)), other=st.integers(0, 10))
def test_bases_are_an_array_that_numpy_reads(tmp_path_factory, pieces, other):
    path = tmp_path_factory.mktemp("bases") / BASES_FILE
    with path.open("w+b") as file:
        writer = BasesWriter(file)
        places = [(writer.add(piece), piece) for piece in pieces]
        assert all(writer.read(offset, len(piece)) == piece for offset, piece in places)
        writer.finish()
    assert np.load(path).tobytes() == b"".join(pieces)


def test_what_a_dataset_gives(dataset):
    assert len(dataset) == 80
    assert dataset.classes == ("poor", "rich")
    assert dataset.label_ids.tolist() == [0] * 40 + [1] * 40
    assert not dataset.circular
    together = np.concatenate([dataset.indices(split) for split in ("train", "validation", "test")])
    assert sorted(together.tolist()) == list(range(80))
    for record in (0, 79):
        codes = dataset.codes(record)
        assert (codes.dtype, len(codes), codes.flags.writeable) == (np.uint8, dataset.lengths[record], False)


def test_a_dataset_pickles_as_its_path(dataset):
    dataset.codes(0)
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 500
    assert np.array_equal(pickle.loads(pickled).codes(5), dataset.codes(5))


def test_the_digest_names_the_content(dataset, tmp_path):
    assert Dataset.open(rewrite(dataset, tmp_path / "later", created="2001-01-01")).digest == dataset.digest
    assert Dataset.open(rewrite(dataset, tmp_path / "ring", circular=True)).digest != dataset.digest


def test_no_folder_and_no_dataset(tmp_path):
    with pytest.raises(InputMissing, match="no such dataset folder"):
        Dataset.open(tmp_path / "absent")
    with pytest.raises(DataError, match=r"no dataset: it holds no dataset\.json") as caught:
        Dataset.open(tmp_path)
    assert caught.value.hint == "genomix preprocess makes one"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": "x"}'])
def test_a_foreign_description(dataset, tmp_path, text):
    folder = rewrite(dataset, tmp_path / "d")
    (folder / INFO_FILE).write_text(text)
    with pytest.raises(DataError, match="not written by genomix preprocess"):
        Dataset.open(folder)


def test_a_newer_schema_is_refused(dataset, tmp_path):
    with pytest.raises(DataError, match=f"schema version {SCHEMA_VERSION + 1}, this genomix reads up to {SCHEMA_VERSION}"):
        Dataset.open(rewrite(dataset, tmp_path / "d", schema_version=SCHEMA_VERSION + 1))


def test_a_description_that_lacks_something(dataset, tmp_path):
    folder = rewrite(dataset, tmp_path / "d")
    (folder / INFO_FILE).write_text('{"schema_version": 1, "counts": {}, "split": null, "circular": false, "strand": "both"}')
    with pytest.raises(DataError, match="it lacks files"):
        Dataset.open(folder)


@pytest.mark.parametrize("name", [BASES_FILE, RECORDS_FILE, SIMILARITY_FILE])
def test_a_changed_file_is_refused(dataset, tmp_path, name):
    path = rewrite(dataset, tmp_path / "d") / name
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"changed since it was written: {size - 1} bytes, expected {size}") as caught:
        Dataset.open(tmp_path / "d")
    assert caught.value.where == str(path)
    path.unlink()
    with pytest.raises(DataError, match="missing from the dataset"):
        Dataset.open(tmp_path / "d")


def test_an_edited_table_of_the_same_size_is_refused(dataset, tmp_path):
    path = rewrite(dataset, tmp_path / "d") / RECORDS_FILE
    path.write_text(path.read_text().replace("poor", "rich"))
    with pytest.raises(DataError, match="another content than was written"):
        Dataset.open(tmp_path / "d")
