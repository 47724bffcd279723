"""The body of a network (embedding, stem, reading frames, motifs, blocks) as a model folder of its own, and as the start of another network.

`genomix pretrain` writes a body; `train --init` takes one from there or out of a trained model. Head and composition branch never come along: they say
how a classifier's own classes look, and start afresh also where these are the same.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ValidationError

from genomix.bundle import PRETRAINED, model_folder, read_description, read_weights, write_model
from genomix.data.augment import Strand
from genomix.data.store import Dataset
from genomix.errors import DataError, SettingsError
from genomix.nn.classifier import Classifier, ModelSettings
from genomix.nn.settings import MixerSettings
from genomix.tokenizers import TokenizerSettings
from genomix.train.settings import TrainSettings
from genomix.train.start import LONGEST_SPECTRAL_K, start_embedding

_log = logging.getLogger(__name__)

_TOKENIZER = ("kind", "k", "stride", "canonical")
_BODY = ("patch", "embedding", "channels", "stem_kernel", "codon", "frame_channels", "frame_layers", "position_table", "blocks")
_MOTIFS = ("motifs", "motif_width")
"""Of two networks that both look for motifs; where one does not, the branch starts afresh or is left out."""
_BLOCK = ("mixer", "norm", "residual", "gate", "feed_forward")
"""Settings that two networks must share for one to take the other's body; the rest concerns the head, or dropout."""


@dataclass(frozen=True, slots=True)
class Body:
    """The body in a model folder.

    Attributes:
        folder: where it lies.
        weights: name -> tensor, as in the state of a `Classifier`.
        sha256: of the weights' file.
        labelled: digest of the dataset whose labels it was trained on; None of a pretrained one, which saw none, empty where that was not written down.
    """

    folder: Path
    settings: ModelSettings
    tokenizer: TokenizerSettings
    weights: dict[str, torch.Tensor]
    sha256: str
    labelled: str | None


def body_weights(model: Classifier) -> dict[str, torch.Tensor]:
    """The part of a network's state that is its body."""
    return _of_body(model.state_dict())


def _of_body(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if name.partition(".")[0] in Classifier.BODY}


def save_body(folder: Path, model: Classifier, tokenizer: TokenizerSettings, description: dict[str, Any]) -> None:
    """Write the body of `model` as a model folder without classes.

    Args:
        description: `preprocessing`, `training`, `dataset` and `pretraining` of `model.json`.
    """
    weights = body_weights(model)
    content = {
        "kind": PRETRAINED,
        "architecture": model.settings.model_dump(),
        "tokenizer": tokenizer.model_dump(),
        "classes": [],
        **description,
        "evaluation": None,
        "weights": {"parameters": sum(tensor.numel() for tensor in weights.values())},
    }
    write_model(folder, weights, content, force=True)


def read_body(folder: str | Path) -> Body:
    """The body of a pretrained or a trained model, from its folder or the run folder that it is in.

    Raises:
        InputMissing: there is no model.
        DataError: it is another program's, of a newer schema, damaged, or was changed.
    """
    folder = model_folder(folder)
    description = read_description(folder)
    try:
        settings = ModelSettings.model_validate(description["architecture"])
        tokenizer = TokenizerSettings.model_validate(description["tokenizer"])
    except (KeyError, ValidationError) as error:
        raise DataError("not a complete description of a model", where=str(folder)) from error
    labelled = (description.get("dataset") or {}).get("dataset_sha256", "") if description["classes"] else None
    return Body(folder, settings, tokenizer, _of_body(read_weights(folder, description)), description["weights"]["sha256"], labelled)


def start_body(
    model: Classifier, dataset: Dataset, records: np.ndarray, tokenizer: TokenizerSettings, settings: TrainSettings, *, strand: Strand
) -> dict[str, Any]:
    """Start the body from the model of `train.init`, or the embedding from the k-mers of these records.

    Returns:
        What the run writes down of a start from another model; empty otherwise.
    """
    if settings.init is not None:
        body = read_body(settings.init)
        require_fitting(body, model.settings, tokenizer)
        if body.labelled not in (None, dataset.digest):
            _log.warning(
                "the model of --init was trained on labelled records of another dataset: of those that are in this one's validation or test split "
                "it knows the labels, and the figures flatter then"
            )
        return take_body(model, body)
    if settings.embedding_start == "spectral" and not start_embedding(
        model, dataset, records, tokenizer, strand=strand, seed=settings.seed
    ):
        plain = tokenizer.kind == "kmer" and not tokenizer.canonical and tokenizer.k <= LONGEST_SPECTRAL_K
        needs = "two records of different k-mers" if plain else "tokenizer.kind kmer, not canonical, of k up to 7"
        _log.warning("embedding_start is spectral, which needs %s: starting at random", needs)
    return {}


def require_fitting(body: Body, model: ModelSettings, tokenizer: TokenizerSettings) -> None:
    """Raises SettingsError, naming the first such setting and how to set all of them, where a network of these settings can't take the body."""
    made = _named(body.settings, body.tokenizer)
    for name, value in _named(model, tokenizer).items():
        if made.get(name, value) != value:
            length = name == "model.max_tokens" and not model.position_table
            raise SettingsError(
                f"{name} is {value}, and the model of --init has {made[name]}",
                where=str(body.folder),
                hint="with CHORD links or a position table both need records of one length"
                if length
                else " ".join(fitting_options(body, model, tokenizer)),
            )


def fitting_options(body: Body, model: ModelSettings, tokenizer: TokenizerSettings) -> list[str]:
    """What a command line with these settings has to add for its network to take the body."""
    made, wanted = _named(body.settings, body.tokenizer), _named(model, tokenizer)
    if not body.settings.position_table:
        made.pop("model.max_tokens", None)  # follows from the records
    if not model.motifs:
        made = {name: value for name, value in made.items() if name.removeprefix("model.") not in _MOTIFS}
    for name, field in MixerSettings.model_fields.items():
        full = f"model.block.mixer.{name}"
        if full in wanted:
            made.setdefault(full, field.default)  # what the body's mixer has no use for must not be set
    return [f"--set {name}={_word(value)}" for name, value in made.items() if wanted.get(name) != value]


def _word(value: Any) -> str:
    """As `--set` reads it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _named(model: ModelSettings, tokenizer: TokenizerSettings) -> dict[str, Any]:
    """Full name -> value of each setting that shapes the body, in the words of `--set`."""
    values = {f"tokenizer.{name}": getattr(tokenizer, name) for name in _TOKENIZER}
    values |= {f"model.{name}": getattr(model, name) for name in (*_BODY, *(_MOTIFS if model.motifs else ()))}
    for name in _BLOCK:
        value = getattr(model.block, name)
        inner = (
            {f".{key}": each for key, each in value.model_dump().items() if key != "start"} if isinstance(value, BaseModel) else {"": value}
        )
        values |= {f"model.block.{name}{key}": each for key, each in inner.items()}
    if model.position_table or model.block.mixer.protocol == "chord":  # its shapes depend on the longest record
        values["model.max_tokens"] = model.max_tokens
    return values


def take_body(model: Classifier, body: Body) -> dict[str, Any]:
    """Copy the body's weights into a network; parts that only the network has start as they are.

    Returns:
        What the run writes down of its start: `init`, `init_sha256`, `init_tensors`.

    Raises:
        SettingsError: a tensor has another shape.
    """
    own = body_weights(model)
    taken = own.keys() & body.weights.keys()
    for name in sorted(taken):
        if own[name].shape != body.weights[name].shape:
            raise SettingsError(
                f"tensor '{name}' has shape {tuple(body.weights[name].shape)}, and the network asks for {tuple(own[name].shape)}",
                where=str(body.folder),
                hint="train with the settings that the model of --init was made with",
            )
    model.load_state_dict({name: body.weights[name] for name in taken}, strict=False)
    _log.info("started from %s: %d of %d tensors of the body taken, head afresh", body.folder, len(taken), len(own))
    _mention("start afresh", own.keys() - taken)
    _mention("have no place in this network", body.weights.keys() - taken)
    return {"init": str(body.folder), "init_sha256": body.sha256, "init_tensors": len(taken)}


def _mention(what: str, names: set[str]) -> None:
    if names:
        parts = sorted({name.rpartition(".")[0] for name in names})
        _log.info("%d tensors %s: %s", len(names), what, ", ".join(parts[:3]) + (", ..." if len(parts) > 3 else ""))
