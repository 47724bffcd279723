"""What `accuracy.py` measures: the sets, the variants of the network, and where each result lies."""

from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DATA = CHECKOUT.parent / "shared" / "data"
RESULTS = CHECKOUT / "benchmarks" / "results" / "accuracy.json"

DEFAULT = "default"

SETS: dict[str, tuple[str, ...]] = {
    "bacteria_strains": (),
    "hiv1_crf_parents": (),
    "insect_mito_orders": ("--circular",),
    "vertebrate_mito_classes": ("--circular",),
    "plasmid_host_genus": ("--circular",),
    "mito_kingdoms": ("--circular",),
    "mouse_coding_vs_lncrna_2kb": ("--strand", "forward"),
    "mito_order_24kb": ("--strand", "forward"),
}
"""What `preprocess` is told about each set, beside its label table and that the split column holds."""

VARIANTS: dict[str, tuple[str, ...]] = {
    DEFAULT: (),
    "mixing_off": ("--set", "model.block.mixer.kind=none"),
    "static_links": ("--set", "model.block.mixer.weights=static"),
    "chord": ("--set", "model.block.mixer.protocol=chord"),
    "one_strand": ("--strand", "forward"),
    "no_composition": ("--set", "model.composition=false"),
    "no_frames": ("--set", "model.codon=0"),
    "k1": ("--set", "tokenizer.k=1"),
    "k3": ("--set", "tokenizer.k=3"),
    "convolution": ("--set", "model.block.mixer.kind=convolution"),
    "attention": ("--set", "model.block.mixer.kind=attention"),
}
"""What `train` is told, beside the dataset, the output and the seed. k = 6 is the default."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training: a set, a variant and a seed.

    Args:
        extra: further `NAME=VALUE` settings, for trials; they become part of the variant's name, so that a trial is never taken for the real thing.
    """

    set: str
    variant: str
    seed: int
    extra: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The variant's name in folders and tables."""
        return "+".join((self.variant, *self.extra))

    @property
    def arguments(self) -> list[str]:
        """Of `train`, beside the dataset and the output."""
        extra = [part for setting in self.extra for part in ("--set", setting)]
        return ["--set", f"train.seed={self.seed}", *VARIANTS[self.variant], *extra]

    @property
    def redundant(self) -> bool:
        """Whether the variant is the default on this set."""
        return self.variant == "one_strand" and "forward" in SETS[self.set]


@dataclass(frozen=True, slots=True)
class Places:
    """The work folder, outside of the checkout, and the data."""

    work: Path
    data: Path

    def available(self, names: list[str]) -> list[str]:
        """The sets whose data is here; says which are skipped."""
        for name in names:
            if not (self.data / name / "labels.tsv").is_file():
                print(f"{name}: skipped, no data in {self.data / name}")
        return [name for name in names if (self.data / name / "labels.tsv").is_file()]

    def sequences(self, name: str) -> Path:
        return self.data / name / "sequences.fasta.gz"

    def labels(self, name: str) -> Path:
        return self.data / name / "labels.tsv"

    def dataset(self, name: str) -> Path:
        return self.work / "datasets" / name

    def held_out(self, name: str) -> Path:
        """The validation and test records as a user would hand them to `predict`."""
        return self.work / "datasets" / f"{name}.held_out.fasta"

    def rivals(self, name: str) -> Path:
        return self.work / "rivals" / f"{name}.npz"

    def run(self, run: Run) -> Path:
        return self.work / "runs" / run.set / run.name / f"seed_{run.seed}"
