"""The report of a run: one HTML file that needs nothing else, neither the network nor JavaScript."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from genomix import __version__
from genomix.outputs import atomic_file
from genomix.report import checks, classes, confidence, content, similarity
from genomix.report.caveats import caveats, verdict
from genomix.report.inputs import ReportInputs

REPORT = "report.html"


def write_report(folder: Path, inputs: ReportInputs) -> Path:
    """Write `report.html` into the folder and return its path.

    Raises:
        OutputError: it can't be written.
    """
    path = folder / REPORT
    with atomic_file(path) as file:
        file.write(render(inputs))
    return path


def render(inputs: ReportInputs) -> str:
    """The report as HTML."""
    template = _environment().get_template("report.html.j2")
    return template.render(
        inputs=inputs,
        metrics=inputs.metrics,
        data=inputs.data,
        content=content,
        classes=classes,
        confidence=confidence,
        checks=checks,
        similarity=similarity,
        caveats=caveats(inputs),
        verdict=verdict(inputs.metrics),
        version=__version__,
    )


@cache
def _environment() -> Environment:
    # Class names and file names hold any text, so every value is escaped: autoescape is on for all templates, whatever their names end in.
    return Environment(
        loader=PackageLoader("genomix.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
