"""Data with a planted leak: half of the test records have mutated, reverse-complemented copies in training, and the labels are drawn by lot.

So a classifier that looks for the nearest training record is right on the copied half and at chance on the other.
"""

import random
from pathlib import Path

from small_data import random_sequence, write_fasta

from genomix.data.cleaning import CleaningSettings
from genomix.data.labels import LabelSettings
from genomix.data.preprocess import PreprocessSettings, preprocess
from genomix.data.splits import SplitSettings
from genomix.data.store import Dataset

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def mutated_copy(rng: random.Random, sequence: str, rate: float) -> str:
    """The other strand of a sequence, with substitutions."""
    changed = [rng.choice([base for base in "ACGT" if base != letter]) if rng.random() < rate else letter for letter in sequence]
    return "".join(changed)[::-1].translate(COMPLEMENT)


def planted_leak(folder: Path, *, length: int = 1000, others: int = 60, leaked: int = 30, rate: float = 0.02, seed: int = 0) -> Dataset:
    """Test records `leaked0 ...`, whose copies `copy0 ...` train, and `new0 ...`, which have none; random sequences, labels by lot."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    tests = {f"{kind}{i}": random_sequence(rng, length, gc=0.5) for kind in ("leaked", "new") for i in range(leaked)}
    split = dict.fromkeys(tests, "test")
    label = {name: rng.choice("xy") for name in tests}
    for name in [name for name in tests if name.startswith("leaked")]:
        copy = name.replace("leaked", "copy")
        tests[copy], split[copy], label[copy] = mutated_copy(rng, tests[name], rate), "train", label[name]
    for i in range(others):
        name = f"other{i}"
        tests[name], split[name], label[name] = random_sequence(rng, length, gc=0.5), "validation" if i % 3 == 0 else "train", "xy"[i % 2]
    rows = "".join(f"{name}\t{label[name]}\t{split[name]}\n" for name in tests)
    (folder / "labels.tsv").write_text("id\tlabel\tsplit\n" + rows)
    fasta = write_fasta(folder / "records.fa", tests)
    settings = PreprocessSettings(
        labels=LabelSettings(table=str(folder / "labels.tsv"), split_column="split"),
        split=SplitSettings(method="column"),
        cleaning=CleaningSettings(min_length=20),
    )
    return preprocess([str(fasta)], settings, folder / "dataset")
