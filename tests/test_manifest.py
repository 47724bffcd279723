"""Data manifests: the bundled ones are whole, a changed file is noticed, a download is kept and checked."""

import hashlib
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from genomix.cli.main import main
from genomix.data.labels import LabelSettings
from genomix.data.manifest import bundled_manifests, cache_folder, load_manifest
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.source_files import SourceFile
from genomix.data.splits import SplitSettings
from genomix.errors import DataError, InputMissing, OutputError, SettingsError

FASTA = b">a\nACGTACGTACGTACGTACGTACGT\n"
HEAD = 'name = "n"\ntitle = "t"\nlicence = "l"\nsource = "s"\n'


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def manifest(folder: Path, body: str) -> str:
    (folder / "m.toml").write_text(HEAD + body)
    return str(folder / "m.toml")


def one_source(place: str, content: bytes = FASTA) -> str:
    return f'[[sources]]\n{place}\nsha256 = "{sha256(content)}"\n'


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves the folder `served`; yields its address, and the paths asked for so far."""
    monkeypatch.setenv("GENOMIX_CACHE", str(tmp_path / "cache"))
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_words):
            asked.append(self.path)

    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "x.fa").write_bytes(FASTA)
    with HTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "served"))) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}", asked
        web.shutdown()
        thread.join()


@pytest.mark.parametrize("path", bundled_manifests(), ids=lambda path: path.stem)
def test_a_bundled_data_set_is_whole_and_says_where_it_comes_from(path):
    found = load_manifest(path.stem)
    assert found.name == path.stem
    assert len(found.verified_files()) == 2
    assert "icence" in (path.parent / path.stem / "SOURCE.txt").read_text()


def test_the_two_bundled_data_sets():
    assert [path.stem for path in bundled_manifests()] == ["bacteria_strains", "hiv1_crf_parents"]


def test_a_bundled_data_set_becomes_a_dataset(tmp_path):
    dataset = preprocess([], PreprocessSettings(labels=LabelSettings(manifest="hiv1_crf_parents")), tmp_path / "d")
    assert dataset.info["counts"]["splits"] == {"train": 211, "validation": 31, "test": 79}
    assert dataset.classes == ("BxC", "BxF1", "CRF01xB", "CRF01xCRF07")
    assert dataset.info["split"]["method"] == "column"


def test_what_the_user_says_goes_before_the_manifest(tmp_path):
    settings = PreprocessSettings(labels=LabelSettings(manifest="hiv1_crf_parents"), split=SplitSettings(method="cluster"))
    assert preprocess([], settings, tmp_path / "d").info["split"]["method"] == "cluster"


def test_hints_on_the_molecules_and_labels_of_whole_files(tmp_path):
    for name, letters in (("x", "ACGG"), ("y", "TTCA")):
        (tmp_path / f"{name}.fa").write_text("".join(f">{name}{i}\n{letters * (9 + i)}\n" for i in range(4)))
    body = 'circular = true\nstrand = "forward"\nsplit = "stratified"\n' + "".join(
        f'[[sources]]\npath = "{name}.fa"\nlabel = "{name} = {name}"\nsha256 = "{sha256((tmp_path / f"{name}.fa").read_bytes())}"\n'
        for name in "xy"
    )
    settings = PreprocessSettings(labels=LabelSettings(manifest=manifest(tmp_path, body)))
    dataset = preprocess([], settings, tmp_path / "d")
    assert (dataset.circular, dataset.strand, dataset.info["split"]["method"]) == (True, "forward", "stratified")
    assert dataset.classes == ("x = x", "y = y")


def test_a_changed_file_is_noticed(tmp_path):
    (tmp_path / "x.fa").write_bytes(FASTA + b"A\n")
    with pytest.raises(DataError, match=f"its data manifest expects {sha256(FASTA)}") as caught:
        load_manifest(manifest(tmp_path, one_source('path = "x.fa"'))).source_files()
    assert caught.value.where == str(tmp_path / "x.fa")


def test_a_file_is_read_for_its_checksum_once_until_it_changes(tmp_path, monkeypatch):
    read, digest = [], hashlib.file_digest

    def counted(*words):
        read.append(words)
        return digest(*words)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    (tmp_path / "x.fa").write_bytes(FASTA)
    found = load_manifest(manifest(tmp_path, one_source('path = "x.fa"')))
    found.source_files()
    found.verified_files()
    assert len(read) == 1
    (tmp_path / "x.fa").write_bytes(FASTA + b"A\n")
    with pytest.raises(DataError, match="sha256"):
        found.source_files()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputMissing, match="named by a data manifest, but not there"):
        load_manifest(manifest(tmp_path, one_source('path = "x.fa"'))).source_files()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "sources: Field required"),
        ("colour = 1\n" + one_source('path = "x"'), "colour: Extra inputs are not permitted"),
        (one_source('path = "x"\nurl = "http://x/y"'), r"sources\.0: Value error, give either path or url"),
        (one_source('url = "file:///x"'), r"sources\.0\.url: String should match pattern"),
        (one_source('url = "http://[bad/x"'), r"sources\.0: Value error, Invalid IPv6 URL"),
        ('[[sources]]\npath = "x"\nsha256 = "ab"\n', r"sources\.0\.sha256: String should match pattern"),
        ("[[sources", "not a TOML file"),
    ],
)
def test_manifests_that_are_none(tmp_path, body, message):
    with pytest.raises(SettingsError, match=message) as caught:
        load_manifest(manifest(tmp_path, body))
    assert caught.value.where == str(tmp_path / "m.toml")


def test_a_name_that_no_bundled_manifest_has():
    with pytest.raises(InputMissing, match="no such data manifest") as caught:
        load_manifest("absent")
    assert "bacteria_strains" in caught.value.hint


def test_a_download_is_kept_and_asked_for_once(tmp_path, server):
    address, asked = server
    path = manifest(tmp_path, one_source(f'url = "{address}/x.fa"'))
    for _ in range(2):
        [file] = load_manifest(path).source_files()
    assert asked == ["/x.fa"]
    assert file == SourceFile(str(tmp_path / "cache" / f"{sha256(FASTA)[:16]}-x.fa"))
    assert Path(file.path).read_bytes() == FASTA


def test_a_damaged_download_is_fetched_again(tmp_path, server):
    address, asked = server
    path = manifest(tmp_path, one_source(f'url = "{address}/x.fa"'))
    Path(load_manifest(path).source_files()[0].path).write_bytes(b"cut off")
    assert Path(load_manifest(path).source_files()[0].path).read_bytes() == FASTA
    assert len(asked) == 2


def test_a_download_of_another_content_is_refused_and_not_kept(tmp_path, server):
    address, _ = server
    with pytest.raises(DataError, match="its data manifest expects") as caught:
        load_manifest(manifest(tmp_path, one_source(f'url = "{address}/x.fa"', b"other"))).source_files()
    assert caught.value.where == f"{address}/x.fa"
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_download_that_is_not_there(tmp_path, server):
    address, _ = server
    with pytest.raises(InputMissing, match="can't be downloaded: HTTP Error 404"):
        load_manifest(manifest(tmp_path, one_source(f'url = "{address}/absent.fa"'))).source_files()
    with pytest.raises(InputMissing, match="can't be downloaded"):
        load_manifest(manifest(tmp_path, one_source('url = "http://127.0.0.1:9/x.fa"'))).source_files()


def test_a_cache_that_cannot_be_written(tmp_path, server):
    (tmp_path / "cache").write_text("a file stands in the way")
    with pytest.raises(OutputError, match="cannot write"):
        load_manifest(manifest(tmp_path, one_source(f'url = "{server[0]}/x.fa"'))).source_files()


def test_the_cache_lies_where_the_platform_keeps_caches(monkeypatch):
    assert cache_folder().name == "genomix"
    monkeypatch.setenv("GENOMIX_CACHE", "elsewhere")
    assert cache_folder() == Path("elsewhere")


def test_the_data_command(capsys):
    assert main(["data", "list"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["bacteria_strains", "hiv1_crf_parents"]
    assert main(["data", "show", "hiv1_crf_parents"]) == 0
    assert 'licence = "MIT"' in capsys.readouterr().out
    assert main(["data", "verify", "hiv1_crf_parents"]) == 0
    assert capsys.readouterr().out.count("\n") == 2
    assert main(["data", "verify", "absent"]) == 66
