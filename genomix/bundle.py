"""A trained model as a folder: `model.safetensors`, `model.json`, and a card to read, `README.md`. No pickle; the folder checks itself.

`model.json` holds all that prediction needs: architecture, tokenizer, class names, how records were prepared; and where the model comes from: training
summary, data set, versions. It carries the checksum of the weights and its own.
"""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors
import torch
from pydantic import ValidationError
from safetensors.torch import load, save

from genomix import __version__
from genomix.card import model_card
from genomix.confidence import Confidence, Novelty
from genomix.data.augment import Strand
from genomix.devices import require_device
from genomix.errors import DataError, InputMissing
from genomix.nn.classifier import Classifier, ModelSettings
from genomix.outputs import atomic_folder
from genomix.tokenizers import Tokenizer, TokenizerSettings, build_tokenizer

FORMAT = "genomix-model"
SCHEMA_VERSION = 2
"""2 since composition may count shorter words than tokens; models of 1 are read."""
PRETRAINED = "pretrained"
"""The `kind` in `model.json` of a network without classes; a classifier has none."""

_WEIGHTS, DESCRIPTION_FILE, _CARD, _NOVELTY = "model.safetensors", "model.json", "README.md", "novelty.safetensors"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A network with all it needs to classify.

    Attributes:
        classes: names, in the order of the network's outputs.
        strand: `both` or `forward`, as trained.
        circular: whether the molecules are.
        provenance: `training`, `dataset` and `evaluation` summaries, and `created`, `versions` of a model that was read from a folder.
        confidence: what the validation split says of its probabilities; None in a model of an earlier genomix.
        novelty: how its training records lie among each other; None likewise, and without a validation split.
    """

    model: Classifier
    tokenizer_settings: TokenizerSettings
    classes: tuple[str, ...]
    strand: Strand
    circular: bool
    provenance: dict[str, Any] = field(default_factory=dict)
    confidence: Confidence | None = None
    novelty: Novelty | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        return build_tokenizer(self.tokenizer_settings)


def new_model(settings: ModelSettings, tokenizer: TokenizerSettings, classes: int) -> Classifier:
    """An untrained network for these tokens and so many classes."""
    return Classifier(settings, build_tokenizer(tokenizer).vocabulary, classes)


def save_bundle(bundle: Bundle, folder: Path, *, force: bool = False) -> None:
    """Write the folder, whole or not at all.

    Raises:
        OutputError: it exists and `force` is off, or it can't be written.
    """
    write_model(folder, bundle.model.state_dict(), _describe(bundle), novelty=bundle.novelty, force=force)


def write_model(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    description: dict[str, Any],
    *,
    novelty: Novelty | None = None,
    force: bool = False,
) -> None:
    """Write a model folder as `save_bundle` does; format, versions and checksums are added to the description."""
    with atomic_folder(folder, marker=DESCRIPTION_FILE, force=force) as temporary:
        (temporary / _WEIGHTS).write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}))
        if novelty is not None:
            (temporary / _NOVELTY).write_bytes(save({name: torch.from_numpy(part) for name, part in novelty.arrays().items()}))
            description = description | {"novelty": _file(temporary / _NOVELTY)}
        description = _signed(description, temporary / _WEIGHTS)
        (temporary / DESCRIPTION_FILE).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (temporary / _CARD).write_text(model_card(description), encoding="utf-8")


def load_bundle(folder: str | Path, *, device: str = "cpu") -> Bundle:
    """Read a model folder, checked; a run folder with a model in it will do.

    Args:
        device: where the network is put; `auto` takes an accelerator where there is one.

    Raises:
        InputMissing: there is no such folder, or no model in it.
        DataError: it is another program's, of a newer schema, damaged, or was changed; or it is pretrained only and has no classes.
        UsageError: this machine has no such device.
    """
    folder = model_folder(folder)
    description = read_description(folder)
    if is_pretrained(description):
        raise DataError(
            "a pretrained network, which knows no classes yet: it can't classify",
            where=str(folder),
            hint=f"genomix train LABELLED_SEQUENCES -o RUN --init {folder} makes a classifier of it",
        )
    weights = read_weights(folder, description)
    try:
        settings = ModelSettings.model_validate(description["architecture"])
        tokenizer = TokenizerSettings.model_validate(description["tokenizer"])
        classes = tuple(description["classes"])
        preparation = description["preprocessing"]
        strand, circular = preparation["strand"], preparation["circular"]
        stored = description.get("confidence")
        confidence = Confidence.model_validate(stored) if stored else None
        novelty = _read_novelty(folder, description)
    except (KeyError, TypeError, ValidationError) as error:
        raise DataError("not a complete description of a model", where=str(folder / DESCRIPTION_FILE), hint=_TRAIN_AGAIN) from error
    model = new_model(settings, tokenizer, len(classes))
    _require_same_tensors(model, weights, folder)
    model.load_state_dict(weights)
    model.to(require_device(device)).eval()
    provenance = {key: description.get(key) for key in ("training", "dataset", "evaluation", "created", "versions")}
    return Bundle(model, tokenizer, classes, strand, circular, provenance, confidence, novelty)


_TRAIN_AGAIN = "copy the folder again from where it was trained, or train the model again"


def read_description(folder: Path) -> dict[str, Any]:
    """`model.json` of a model folder, its checksum verified.

    Raises:
        InputMissing: there is none.
        DataError: it is another program's, of a newer schema, or was changed.
    """
    path = folder / DESCRIPTION_FILE
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        near = folder.parent
        hint = (
            f"name the folder: {near}"
            if (near / DESCRIPTION_FILE).is_file()
            else "genomix train writes one to RUN/model; the model comes first"
        )
        raise InputMissing("no model here: a model is a folder with model.json in it", where=str(folder), hint=hint) from error
    except OSError as error:
        raise InputMissing(f"can't be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise DataError("not JSON", where=str(path), hint=_TRAIN_AGAIN) from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise DataError(
            f'a model of another program: expected "format": "{FORMAT}"',
            where=str(path),
            hint="genomix reads the models that genomix train wrote",
        )
    schema = description.get("schema_version")
    if not isinstance(schema, int) or schema > SCHEMA_VERSION:
        raise DataError(f"schema version {schema}, and this genomix reads up to {SCHEMA_VERSION}", where=str(path), hint="update genomix")
    if description.get("checksum") != _checksum(description):
        raise DataError("the file was changed after the model was written", where=str(path), hint=_TRAIN_AGAIN)
    return description


def describe_folder(folder: str | Path) -> dict[str, Any]:
    """`model.json` of a model folder, or of the model in a run folder; raises as `read_description` does."""
    return read_description(model_folder(folder))


def is_pretrained(description: dict[str, Any]) -> bool:
    """Whether a model is the body of a network without classes, as `genomix pretrain` writes it."""
    return description.get("kind") == PRETRAINED


def find_models(folder: Path) -> Iterator[tuple[Path, str]]:
    """Model folders at or below `folder`, each with a line that says what it is; one that can't be read says why.

    Raises:
        InputMissing: there is no such folder.
    """
    if not folder.is_dir():
        raise InputMissing("no such folder", where=str(folder))
    for path in sorted(folder.rglob(DESCRIPTION_FILE)):
        try:
            description = read_description(path.parent)
        except (DataError, InputMissing) as error:
            yield path.parent, error.message
            continue
        if is_pretrained(description):
            yield path.parent, f"pretrained, no classes, {description['created']}"
            continue
        accuracy = (description["evaluation"] or {}).get("accuracy")
        scored = "not evaluated" if accuracy is None else f"accuracy {accuracy:.3f} on its test split"
        yield path.parent, f"{len(description['classes'])} classes, {scored}, {description['created']}"


def model_folder(path: str | Path) -> Path:
    """The folder itself, or the model inside a run folder."""
    path = Path(path)
    if not (path / DESCRIPTION_FILE).exists() and (path / "model" / DESCRIPTION_FILE).exists():
        return path / "model"
    return path


def _describe(bundle: Bundle) -> dict[str, Any]:
    return {
        "architecture": bundle.model.settings.model_dump(),
        "tokenizer": bundle.tokenizer_settings.model_dump(),
        "classes": list(bundle.classes),
        "preprocessing": {"strand": bundle.strand, "circular": bundle.circular},
        "training": bundle.provenance.get("training"),
        "dataset": bundle.provenance.get("dataset"),
        "evaluation": bundle.provenance.get("evaluation"),
        "weights": {"parameters": sum(parameter.numel() for parameter in bundle.model.parameters())},
        "confidence": bundle.confidence.model_dump() if bundle.confidence else None,
        "novelty": None,
    }


def _signed(description: dict[str, Any], weights: Path) -> dict[str, Any]:
    description = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **description,
        "versions": {"genomix": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "weights": {**_file(weights), **description["weights"]},
    }
    return description | {"checksum": _checksum(description)}


def _checksum(description: dict[str, Any]) -> str:
    rest = {key: value for key, value in description.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_weights(folder: Path, description: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of a model folder; raises InputMissing where they are not there, DataError where they are not those of the description."""
    return _read_tensors(folder / _WEIGHTS, description.get("weights"), "weights")


def _file(path: Path) -> dict[str, Any]:
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _read_novelty(folder: Path, description: dict[str, Any]) -> Novelty | None:
    listed = description.get("novelty")
    if not listed:
        return None
    tensors = _read_tensors(folder / _NOVELTY, listed, "novelty statistics")
    return Novelty(**{name: tensor.numpy() for name, tensor in tensors.items()})


def _read_tensors(path: Path, listed: dict[str, Any] | None, what: str) -> dict[str, torch.Tensor]:
    """A safetensors file, which must still be the one that model.json lists."""
    try:
        content = path.read_bytes()
    except OSError as error:
        found = "are missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise InputMissing(f"the model's {what} {found}", where=str(path), hint=_TRAIN_AGAIN) from error
    if hashlib.sha256(content).hexdigest() != (listed or {}).get("sha256"):
        raise DataError(f"the {what} are not those that model.json was written with", where=str(path), hint=_TRAIN_AGAIN)
    try:
        return load(content)
    except safetensors.SafetensorError as error:
        raise DataError(f"not a safetensors file ({error})", where=str(path), hint=_TRAIN_AGAIN) from error


def _require_same_tensors(model: Classifier, weights: dict[str, torch.Tensor], folder: Path) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name in weights or name not in Classifier.LATER}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected == found:
        return
    name = min(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    raise DataError(
        f"tensor '{name}' has shape {found.get(name, 'none: it is missing')}, and the architecture asks for {expected.get(name, 'no such tensor')}",
        where=str(folder / _WEIGHTS),
        hint=_TRAIN_AGAIN,
    )
