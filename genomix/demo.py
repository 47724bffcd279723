"""The whole way on bundled data: train the `tiny` preset on contigs of four bacterial species, judge it on strains it never saw, classify their contigs."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from genomix.beginning import SETTINGS_FILE
from genomix.data.manifest import load_manifest
from genomix.errors import Interrupted
from genomix.formats import open_records
from genomix.outputs import require_free
from genomix.predict import predict
from genomix.records import SequenceRecord
from genomix.report.predictions import write_predictions
from genomix.runs import FinishedRun, run
from genomix.scorer import PredictSettings
from genomix.settings import resolve
from genomix.settings.run import RunSettings

DATA = "bacteria_strains"
PRESET = "tiny"
PREDICTIONS_FILE = "predictions.tsv"


def demo(folder: Path, *, force: bool = False) -> FinishedRun:
    """Fill `folder` with a run and the predictions for its held-out contigs.

    Raises:
        OutputError: the folder exists and `force` is off, or it can't be written.
        Interrupted: stopped on request; the training goes on as that of any run folder does.
    """
    require_free(folder, force=force, marker=SETTINGS_FILE)
    settings = resolve(RunSettings, preset=PRESET, options={"data.labels.manifest": DATA}, environment={})
    on = f"genomix train -o {shlex.quote(str(folder))} --resume goes on; genomix demo --force begins anew"
    try:
        finished = run([], settings, folder, force=force)
    except Interrupted as stopped:
        raise Interrupted(stopped.message, hint=on) from stopped
    except KeyboardInterrupt as interrupt:  # with words where there is a run to go on with
        raise KeyboardInterrupt(f"interrupted\n  hint: {on}" if str(interrupt) else "") from interrupt
    bundle = finished.result.bundle
    write_predictions(predict(bundle, _held_out(finished), PredictSettings()), bundle.classes, str(folder / PREDICTIONS_FILE))
    return finished


def _held_out(finished: FinishedRun) -> Iterator[SequenceRecord]:
    """The records of the test split, from the bundled file itself, as `genomix predict` would read them."""
    wanted = set(finished.dataset.records["id"].iloc[finished.dataset.indices("test")])
    for file in load_manifest(DATA).source_files():
        yield from (record for record in open_records(file.path) if record.id in wanted)
