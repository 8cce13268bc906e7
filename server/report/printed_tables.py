"""Tables 1 to 3 and S3 as CSV files, laid out as the page prints them."""

from __future__ import annotations

from collections.abc import Mapping

from server.report.characteristics import centre_table, table_one
from server.report.performance import table_three
from server.report.predictors import table_two
from server.report.printed import spreadsheet
from server.report.selections import selection_table
from server.report.subject import subject_of
from server.results import Results


def printed_tables(results: Results) -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """The rows of each file by its name; what the study did not do is left out."""
    subject = subject_of(results)
    regression = results.regression
    tables = {
        "table1": table_one(subject) or centre_table(subject),
        "table2": None if regression is None else table_two(subject, regression),
        "table3": table_three(subject),
        "table_s3": selection_table(results.selections) if results.selections else None,
    }
    return {name: tuple(spreadsheet(table)) for name, table in tables.items() if table is not None}
