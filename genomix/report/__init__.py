"""What a person reads: the report of a run, `report.html`, and the tables of predictions (`predictions`)."""

from genomix.report.inputs import DataSummary, ReportInputs
from genomix.report.page import render, write_report

__all__ = ["DataSummary", "ReportInputs", "render", "write_report"]
