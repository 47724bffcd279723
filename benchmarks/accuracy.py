"""Test-split accuracy of the default recipe, its ablations and their k-mer rivals on the development sets; see README.md.

accuracy.py rivals      preprocess, and fit the rivals
accuracy.py run         train and predict what is not done yet; several processes may share the work
accuracy.py collect     figures, intervals and bars of all that is done
"""

import argparse
import os
from pathlib import Path

import surroundings
from accuracy_rivals import fitted
from accuracy_runs import carry_out, prepared, require_checkout
from accuracy_sets import DATA, DEFAULT, RESULTS, SETS, VARIANTS, Places, Run
from accuracy_table import collected, markdown


def main() -> None:
    given = _arguments()
    require_checkout()
    places = Places(given.work.resolve(), given.data)
    {"rivals": _rivals, "run": _run, "collect": _collect}[given.what](places, given)


def _rivals(places: Places, given: argparse.Namespace) -> None:
    for name in places.available(given.sets):
        fitted(places, name, prepared(places, name, SETS[name]))


def _run(places: Places, given: argparse.Namespace) -> None:
    """Seed by seed and variant by variant, so that every set has something early."""
    variants = list(VARIANTS) if given.variants == ["all"] else given.variants
    names = places.available(given.sets)
    runs = [Run(name, variant, seed, tuple(given.set)) for seed in given.seeds for variant in variants for name in names]
    for run in runs:
        if not run.redundant:
            dataset = prepared(places, run.set, SETS[run.set])
            line = carry_out(places, run, dataset, threads=given.threads, limit=given.limit, retry=given.retry)
            print(f"{run.set}, {run.name}, seed {run.seed}: {line}", flush=True)


def _collect(places: Places, given: argparse.Namespace) -> None:
    figures = collected(places, places.available(given.sets), given.seeds, list(VARIANTS), given.split)
    surroundings.write(given.json or (RESULTS if given.split == "test" else None), figures)
    print(markdown(figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rivals", "run", "collect"])
    parser.add_argument("--work", type=Path, required=True, help="folder for datasets, runs and fitted rivals, outside of the checkout")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the development sets [%(default)s]")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET", help=", ".join(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=[*VARIANTS, "all"], default=[DEFAULT], help="of run")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a further setting, for trials: named in the variant"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each training [%(default)s]")
    parser.add_argument(
        "--limit", type=float, default=7200, help="seconds after which a training is stopped and counts as failed [%(default)s]"
    )
    parser.add_argument("--retry", action="store_true", help="run again what crashed or took too long")
    parser.add_argument(
        "--split", choices=["validation", "test"], default="test", help="what collect reads: validation while choosing [%(default)s]"
    )
    parser.add_argument("--json", type=Path, help="what collect writes [benchmarks/results/accuracy.json for the test split, else nothing]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
