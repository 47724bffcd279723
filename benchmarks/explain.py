"""Does `genomix explain` point at what the class rests on?

Planted: random records of 6 to 10 kb, in each an element of its class and one that both classes have, of 300 bases each, a tenth of them changed, at random
places on either strand. A network is trained on them for each seed; then the stretches of test records are explained. What counts is how often the strongest
stretch touches the class's element, and the ROC AUC of effects for stretches that lie half within it, against the same for the element that says nothing.

Real: on the bundled data sets nobody knows the place. There a tenth of each test record is hidden at once: the stretches of greatest effect, a random tenth, and
those of least effect. Effects that mean something cost the class most in the first case and least in the last.
"""

import random
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from surroundings import arguments, write

from genomix.bundle import Bundle, load_bundle
from genomix.cli.main import main as genomix
from genomix.data.store import Dataset
from genomix.explain import ExplainSettings, ExplainTables, Explanation, explain, log_odds
from genomix.records import OTHER, SequenceRecord, decode_bases
from genomix.scorer import PredictSettings, build_scorer

RECORDS, SHORTEST, LONGEST = 200, 6_000, 10_000
ELEMENT, CHANGED, STRETCH = 300, 0.1, 150
HIDDEN = 0.1
MOST = 60
COMPLEMENT = str.maketrans("ACGT", "TGCA")

Places = dict[str, dict[str, int]]
"""Record id -> where its own element and the common one begin."""


def letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("ACGT", k=count))


def planted(folder: Path, seed: int) -> tuple[list[str], Places]:
    """`NAME=file` pairs, and the places of the elements."""
    rng, places, sources = random.Random(seed), Places(), []
    elements = {name: letters(rng, ELEMENT) for name in ("a", "b", "common")}
    for name in ("a", "b"):
        path = folder / f"{name}.fa"
        with path.open("w") as file:
            for number in range(RECORDS):
                identifier, sequence = f"{name}{number}", letters(rng, rng.randint(SHORTEST, LONGEST))
                spots = rng.sample(range(0, len(sequence) - ELEMENT, ELEMENT), 2)
                for kind, start in zip((name, "common"), spots, strict=True):
                    sequence = sequence[:start] + altered(rng, elements[kind]) + sequence[start + ELEMENT :]
                places[identifier] = {"own": spots[0], "common": spots[1]}
                file.write(f">{identifier}\n{sequence}\n")
        sources.append(f"{name}={path}")
    return sources, places


def altered(rng: random.Random, element: str) -> str:
    changed = "".join(rng.choice("ACGT") if rng.random() < CHANGED else letter for letter in element)
    return changed[::-1].translate(COMPLEMENT) if rng.random() < 0.5 else changed


def trained(words: Sequence[str], folder: Path, seed: int) -> tuple[Bundle, list[SequenceRecord]]:
    """A network, and at most `MOST` records of its test split."""
    code = genomix(["--quiet", "train", *words, "-o", str(folder), "--preset", "tiny", "--seed", str(seed)])
    if code:
        raise SystemExit(code)
    dataset = Dataset.open(folder / "dataset")
    chosen = np.random.default_rng(0).permutation(dataset.indices("test"))[:MOST]
    ids = dataset.records["id"]
    records = [SequenceRecord(ids[i], "", decode_bases(dataset.codes(i).tobytes()).encode(), "", 1) for i in chosen.tolist()]
    return load_bundle(folder, device="cpu"), records


def located(explanations: Iterable[Explanation], places: Places) -> dict[str, float]:
    """How well effects tell where the elements are."""
    hits, areas = [], {"own": [], "common": []}
    for found in explanations:
        effects = np.array([each.effect for each in found.stretches])
        for kind, start in places[found.record.id].items():
            inside = np.array([min(each.stop, start + ELEMENT) - max(each.start, start) for each in found.stretches])
            areas[kind].append(roc_auc_score(inside >= STRETCH / 2, effects))
            if kind == "own":
                hits.append(inside[effects.argmax()] > 0)
    return {
        "records": len(hits),
        "strongest_touches": float(np.mean(hits)),
        **{f"auc_{kind}": float(np.mean(area)) for kind, area in areas.items()},
    }


def hidden_together(bundle: Bundle, explanations: Iterable[Explanation]) -> dict[str, float]:
    """Log odds that a tenth of the record costs its class: the strongest stretches, random ones, the weakest."""
    scorer, rng = build_scorer(bundle, PredictSettings()), np.random.default_rng(0)
    costs = []
    for found in explanations:
        order = np.argsort([-each.effect for each in found.stretches])
        count = max(1, round(HIDDEN * len(order)))
        codes = np.frombuffer(found.record.codes, dtype=np.uint8)
        variants = [codes, *(without(codes, found, some[:count]) for some in (order, rng.permutation(order), order[::-1]))]
        odds = [log_odds(scores.probabilities, bundle.classes.index(found.label)) for scores in scorer.score(variants)]
        costs.append([odds[0] - each for each in odds[1:]])
    means = np.mean(costs, axis=0).tolist()
    return {"records": len(costs), **dict(zip(("strongest", "random", "weakest"), means, strict=True))}


def without(codes: np.ndarray, found: Explanation, chosen: np.ndarray) -> np.ndarray:
    hidden = codes.copy()
    for i in chosen:
        hidden[found.stretches[i].start : found.stretches[i].stop] = OTHER
    return hidden


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    figures: dict[str, Any] = {"element": ELEMENT, "stretch": STRETCH, "planted": [], "hidden_together": {}}
    tables = ExplainTables(explain=ExplainSettings(stretch=STRETCH))
    with tempfile.TemporaryDirectory() as name:
        for seed in range(asked.seeds):
            folder = Path(name) / str(seed)
            folder.mkdir()
            sources, places = planted(folder, seed)
            bundle, records = trained(sources, folder / "run", seed)
            row = {"seed": seed, **located(explain(bundle, records, tables), places)}
            figures["planted"].append(row)
            print(row)
        for manifest in ("bacteria_strains", "hiv1_crf_parents"):
            bundle, records = trained(["--manifest", manifest], Path(name) / manifest, 0)
            row = hidden_together(bundle, explain(bundle, records, ExplainTables()))
            figures["hidden_together"][manifest] = row
            print(manifest, row)
    write(asked.json, figures)


if __name__ == "__main__":
    main()
