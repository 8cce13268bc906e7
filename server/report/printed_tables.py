"""Tables 1 to 3 and S3 as CSV files, laid out as the page prints them."""

from __future__ import annotations

from collections.abc import Mapping

from server.report.characteristics import build_centre_table, build_table_one
from server.report.journal_style import JournalStyle
from server.report.performance import build_table_three
from server.report.printed import write_spreadsheet_rows
from server.report.regression_tables import build_table_two
from server.report.selections import build_selection_table
from server.report.subject import subject_of
from server.results.file import Results


def build_printed_tables(
    results: Results, style: JournalStyle = JournalStyle.PAPER
) -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """The rows of each file by its name; tables of phases that the study did not run are left out."""
    subject = subject_of(results)
    named = subject.results
    tables = {
        "table1": build_table_one(subject) or build_centre_table(subject),
        "table2": None if named.regression is None else build_table_two(subject, named.regression),
        "table3": build_table_three(subject),
        "table_s3": build_selection_table(named.selections) if named.selections else None,
    }
    return {
        name: tuple(write_spreadsheet_rows(table, style))
        for name, table in tables.items()
        if table is not None
    }
