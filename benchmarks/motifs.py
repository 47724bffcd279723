"""What is learnt of many short records: a motif somewhere in half of them, on either strand.

The other bases are a Markov chain of second order, the same for both classes; at each of the motif's twelve places one base stands in .85 of the records that have it. Nobody can do better than to know
chain and motif and to add up the odds of all places, which is done here (`known`; that the motif changes the odds of the two bases behind it is left out).

Trains preset base with each seed, and the same without motifs, with updates of sixteen records, and with both.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from surroundings import arguments, write

from genomix.cli.main import main as genomix

LENGTH, USUAL = 300, 0.85
PLACES = 12
WAYS: dict[str, tuple[str, ...]] = {
    "default": (),
    "no_motifs": ("--set", "model.motifs=0"),
    "sixteen": ("--set", "train.max_records=16"),
    "neither": ("--set", "model.motifs=0", "--set", "train.max_records=16"),
}


class Source:
    """Draws records of the two classes.

    Attributes:
        chain: probability of a base behind two others, float [4 a + b, base].
        motif: probability of a base, float [place, base].
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.chain = self.rng.dirichlet(np.full(4, 4.0), size=16)
        self.motif = np.stack([self.rng.permutation([USUAL, *[(1 - USUAL) / 3] * 3]) for _ in range(PLACES)])

    def background(self, records: int) -> np.ndarray:
        """uint8 [record, base]."""
        bases = np.zeros((records, LENGTH), dtype=np.uint8)
        bases[:, :2] = self.rng.integers(0, 4, (records, 2))
        for place in range(2, LENGTH):
            steps = self.chain[4 * bases[:, place - 2] + bases[:, place - 1]].cumsum(1)
            bases[:, place] = (self.rng.random(records)[:, None] > steps[:, :3]).sum(1)
        return bases

    def with_motif(self, records: int) -> np.ndarray:
        bases = self.background(records)
        for row in bases:
            found = np.array([self.rng.choice(4, p=place) for place in self.motif])
            start = self.rng.integers(LENGTH - PLACES + 1)
            row[start : start + PLACES] = found if self.rng.random() < 0.5 else 3 - found[::-1]
        return bases

    def log_odds(self, bases: np.ndarray) -> np.ndarray:
        """Of a motif somewhere against none, float [record]."""
        usual = np.full(bases.shape, np.log(0.25))
        usual[:, 2:] = np.log(self.chain[4 * bases[:, :-2] + bases[:, 1:-1], bases[:, 2:]])
        before = np.concatenate([np.zeros((len(bases), 1)), usual.cumsum(1)], axis=1)
        total = np.full(len(bases), -np.inf)
        for motif in (np.log(self.motif), np.log(self.motif)[::-1, ::-1]):
            for start in range(LENGTH - PLACES + 1):
                found = motif[np.arange(PLACES), bases[:, start : start + PLACES]].sum(1)
                total = np.logaddexp(total, found - before[:, start + PLACES] + before[:, start])
        return total - np.log(2 * (LENGTH - PLACES + 1))


def written(source: Source, folder: Path, records: int) -> tuple[list[str], float]:
    """`NAME=file` pairs of so many records a class, and the accuracy of who knows chain and motif."""
    classes = {"with": source.with_motif(records), "without": source.background(records)}
    for name, bases in classes.items():
        letters = np.array(list("ACGT"))[bases]
        (folder / f"{name}.fa").write_text("".join(f">{name}{number}\n{''.join(row)}\n" for number, row in enumerate(letters)))
    known = np.mean([(source.log_odds(bases) > 0) == (name == "with") for name, bases in classes.items()])
    return [f"{name}={folder / name}.fa" for name in classes], float(known)


def trained(words: list[str], folder: Path, seed: int) -> dict[str, Any]:
    """Figures on the test split."""
    code = genomix(["--quiet", "train", *words, "-o", str(folder), "--seed", str(seed), "--set", "train.checks=false"])
    if code:
        raise SystemExit(code)
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    training = json.loads((folder / "provenance.json").read_text())["training"]
    return {
        "seed": seed,
        "accuracy": metrics["accuracy"],
        "log_loss": metrics["log_loss"],
        "composition": metrics["composition"]["accuracy"],
        "kmer6": metrics["baselines"]["kmer6"]["accuracy"],
        "seconds": training["seconds"],
    }


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=15_000, help="of a class")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources, known = written(Source(0), folder, asked.records)
        figures: dict[str, Any] = {"records": 2 * asked.records, "length": LENGTH, "known": known, "runs": {}}
        print(f"who knows chain and motif: accuracy {known:.3f}")
        for way in asked.ways:
            runs = [trained([*sources, *WAYS[way]], folder / f"{way}{seed}", seed) for seed in range(asked.seeds)]
            figures["runs"][way] = runs
            told = ", ".join(f"{run['accuracy']:.3f} ({run['seconds']:.0f} s)" for run in runs)
            print(f"{way}: {told}; composition alone {runs[0]['composition']:.3f}, 6-mers {runs[0]['kmer6']:.3f}")
    write(asked.json, figures)


if __name__ == "__main__":
    main()
