"""Generated sequences of two classes that differ in composition, and a small network that learns them in seconds."""

import random
from pathlib import Path

from genomix.data.cleaning import CleaningSettings
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.data.store import Dataset
from genomix.nn.blocks import BlockSettings
from genomix.nn.classifier import ModelSettings
from genomix.nn.mixers import MixerSettings
from genomix.tokenizers import TokenizerSettings
from genomix.train.settings import TrainSettings

TOKENIZER = TokenizerSettings(k=3)
MODEL = ModelSettings(
    max_tokens=4096,
    patch=3,
    embedding=16,
    channels=8,
    pooled=16,
    block=BlockSettings(mixer=MixerSettings(heads=2, hidden=8), feed_forward=16),
)
TRAINING = TrainSettings(steps=40, max_records=8, validations=4, checkpoint_steps=10)


def random_sequence(rng: random.Random, length: int, *, gc: float) -> str:
    return "".join(rng.choices("ACGT", weights=[1 - gc, gc, gc, 1 - gc], k=length))


def write_fasta(path: Path, sequences: dict[str, str]) -> Path:
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in sequences.items()))
    return path


def two_classes(folder: Path, *, records: int = 40, shortest: int = 60, longest: int = 300, seed: int = 0) -> list[str]:
    """`NAME=file` pairs of a GC-poor and a GC-rich class."""
    rng = random.Random(seed)
    sources = []
    for name, gc in (("poor", 0.3), ("rich", 0.7)):
        sequences = {f"{name}{i}": random_sequence(rng, rng.randint(shortest, longest), gc=gc) for i in range(records)}
        sources.append(f"{name}={write_fasta(folder / f'{name}.fa', sequences)}")
    return sources


def small_dataset(folder: Path, *, min_length: int = 20, **changes: int) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    settings = PreprocessSettings(split=SplitSettings(method="stratified"), cleaning=CleaningSettings(min_length=min_length))
    return preprocess(two_classes(folder, **changes), settings, folder / "dataset")
