"""Data manifests: one TOML file that says where a data set lies, what it is, and how it is labelled and split.

name = "bacteria_strains"
title = "Species of a bacterial contig, unseen strains"
licence = "BSD-3-Clause"
source = "where it comes from"
split = "column"                             # left out: by cluster
circular = false                             # this and the next may be left out too
strand = "both"

[[sources]]                                  # any number of files; each with path or url
path = "bacteria_strains/sequences.fasta.gz" # relative to the manifest
sha256 = "..."

[labels]                                     # left out where each source has a `label`
path = "bacteria_strains/labels.tsv"
sha256 = "..."
"""

import hashlib
import logging
import os
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from genomix.data.label_text import tidy
from genomix.data.labels import LabelSettings
from genomix.data.source_files import SourceFile
from genomix.data.splits import SplitMethod
from genomix.errors import DataError, InputMissing, SettingsError
from genomix.outputs import atomic_file
from genomix.resources import resource_folder

_log = logging.getLogger(__name__)

CACHE_VARIABLE = "GENOMIX_CACHE"

_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60


class ManifestFile(BaseModel):
    """A file of a data set: where it lies and what its content must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = None
    """Relative to the manifest."""
    url: str | None = Field(default=None, pattern=r"^https?://")
    """Downloaded once, into the cache folder."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _one_place(self) -> "ManifestFile":
        if (self.path is None) == (self.url is None):
            raise ValueError("give either path or url")
        urlsplit(self.url or "")  # raises ValueError for what is none
        return self


class ManifestSource(ManifestFile):
    """A sequence file."""

    label: str | None = None
    """Of all its records."""


class ManifestLabels(ManifestFile):
    """The label table."""

    id_column: str = "id"
    label_column: str = "label"
    group_column: str | None = None
    split_column: str | None = None


class Manifest(BaseModel):
    """A data set's description."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    licence: str
    source: str
    """Where the data come from, in words."""
    sources: tuple[ManifestSource, ...] = Field(min_length=1)
    labels: ManifestLabels | None = None
    split: SplitMethod = "cluster"
    circular: bool = False
    strand: Literal["both", "forward"] = "both"

    _folder: Path = PrivateAttr(default=Path())
    """Where the manifest lies."""

    def source_files(self) -> list[SourceFile]:
        """Its sequence files, downloaded where needed and verified.

        Raises:
            InputMissing: a file is not there, or can't be downloaded.
            DataError: a file's content is not what the manifest says.
        """
        return [SourceFile(str(self.verified(source)), None if source.label is None else tidy(source.label)) for source in self.sources]

    def verified_files(self) -> list[Path]:
        """Local paths of all its files, each verified. Raises what `source_files` raises."""
        return [self.verified(file) for file in (*self.sources, *([self.labels] if self.labels else []))]

    def label_settings(self, given: LabelSettings, *, read_split: bool) -> LabelSettings:
        """The label settings given, with the manifest's table and columns where they name none. Raises what `source_files` raises."""
        if self.labels is None or given.table is not None:
            return given
        columns = self.labels.model_dump(exclude={"path", "url", "sha256"} | ({"split_column"} if not read_split else set()))
        ours = {name: column for name, column in columns.items() if getattr(given, name) == LabelSettings.model_fields[name].default}
        return given.model_copy(update={"table": str(self.verified(self.labels)), **ours})

    def verified(self, file: ManifestFile) -> Path:
        """A local path of a file whose content is the manifest's. Raises what `source_files` raises."""
        if file.url is not None:
            return _downloaded(file.url, file.sha256)
        path = self._folder / str(file.path)
        if not path.is_file():
            raise InputMissing("named by a data manifest, but not there", where=str(path))
        found = _sha256(path)
        if found != file.sha256:
            raise DataError(
                f"sha256 {found}, its data manifest expects {file.sha256}", where=str(path), hint="the file was changed or damaged"
            )
        return path


def bundled_manifests() -> list[Path]:
    """The manifests that come with genomix."""
    return sorted(resource_folder("data_manifests").glob("*.toml"))


def load_manifest(name: str) -> Manifest:
    """Read a manifest by its path, or by the name of a bundled one.

    Raises:
        InputMissing: neither a file nor a bundled name.
        SettingsError: not a manifest.
    """
    path = find_manifest(name)
    try:
        manifest = Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"not a TOML file: {error}", where=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SettingsError(f"{place}: {first['msg']}" if place else first["msg"], where=str(path)) from error
    manifest._folder = path.parent  # noqa: SLF001 - its own module's; pydantic does not let the constructor take it
    return manifest


def find_manifest(name: str) -> Path:
    """The file of a manifest: a path, or the name of a bundled one. Raises InputMissing."""
    if Path(name).is_file():
        return Path(name)
    bundled = {path.stem: path for path in bundled_manifests()}
    if name not in bundled:
        raise InputMissing("no such data manifest", where=name, hint=f"a path, or a bundled one: {', '.join(bundled)}")
    return bundled[name]


def cache_folder() -> Path:
    """Where downloads are kept: GENOMIX_CACHE, or the platform's cache folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("genomix", appauthor=False))


def _downloaded(url: str, sha256: str) -> Path:
    name = Path(urlsplit(url).path).name or "download"
    path = cache_folder() / f"{sha256[:16]}-{name}"
    if path.is_file() and _sha256(path) == sha256:
        return path
    _log.info("downloading %s", url)
    digest = hashlib.sha256()
    with atomic_file(path, "wb") as file:
        for block in _download(url):
            digest.update(block)
            file.write(block)
        if digest.hexdigest() != sha256:
            message = f"sha256 {digest.hexdigest()}, its data manifest expects {sha256}"
            raise DataError(message, where=url, hint="the file was replaced there, or the download damaged: try once more")
    return path


def _download(url: str) -> Iterator[bytes]:
    from http.client import HTTPException  # here, as few runs need them
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - a manifest admits http and https only
            while block := response.read(_BLOCK_BYTES):
                yield block
    except (OSError, HTTPException) as error:  # URLError, HTTPError and time-outs are kinds of OSError
        raise InputMissing(f"can't be downloaded: {error}", where=url) from error


def _sha256(path: Path) -> str:
    status = path.stat()
    return _read_sha256(path, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _read_sha256(path: Path, *_status: int) -> str:
    """Of a file in one state: a run asks several times, and the files may be large."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
