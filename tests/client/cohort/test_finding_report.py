"""How findings are counted, ranked and said, without a site."""

from __future__ import annotations

import pytest

from client.cohort.finding_report import (
    ReportSubject,
    describe_counts,
    list_lines,
    load_report,
    make_report,
)
from common.errors import Finding, Level, StorageError


def on(row: int, what: str, level: Level = Level.LOOK, patient: str | None = None) -> Finding:
    named = patient if patient is not None else f"P{row}"
    return Finding(f"cohort.csv, row {row}, patient {named!r}", what, "look", level)


def report(*findings: Finding):
    return make_report(ReportSubject("north", "cohort.csv", 3), findings, "a study")


def test_every_level_is_counted_and_the_worst_comes_first():
    made = report(on(2, "a", Level.KNOW), on(3, "b", Level.REFUSED), on(4, "c"), on(4, "c"))

    assert [one.what for one in made.findings] == ["b", "c", "a"]
    assert describe_counts(made.levels) == "1 refused, 1 look at this, 1 for information"
    assert made.summary == (
        "north: 0 patients, 3 usable for the study 'a study'; 1 refused, 1 look at this, 1 for information"
    )
    assert made.has_refusals
    assert not report(on(4, "c")).has_refusals


def test_row_and_patient_are_told_whatever_the_identifier_holds():
    for name in ("O'Neill, row 9", 'a "b"', "x\\y", "ä"):
        (one,) = report(on(7, "a", patient=name)).findings
        assert (one.row, one.patient) == (7, name)
    (one,) = report(Finding("cohort.csv, row 12, column 'age' (C)", "660 is impossible")).findings
    assert (one.row, one.patient) == (12, None)
    (one,) = report(Finding("site.toml", "row 3 is no row of the table")).findings
    assert (one.row, one.patient) == (None, None)


def test_many_alike_are_one_line_with_the_first_rows_and_few_are_not():
    few = list(list_lines(report(*(on(row, f"median {row} HU") for row in (2, 3, 4)))))
    assert len(few) == 3
    many = report(*(on(row, f"median {row} HU") for row in range(2, 22)), on(30, "contrast"))

    first, second = list_lines(many)

    assert first == (
        "north: look at this: cohort.csv, row 2, patient 'P2': median 2 HU -> look (and 19 more like this, "
        "rows 3, 4, 5, 6, 7, 8, 9, 10, …; all with --json and on the page)"
    )
    assert second.endswith("row 30, patient 'P30': contrast -> look")
    assert len(many.findings) == 21


def test_levels_are_never_mixed_in_one_line():
    lines = list(
        list_lines(report(*(on(row, "a", Level.LOOK if row % 2 else Level.KNOW) for row in range(10))))
    )
    assert [line.split(": ")[1] for line in lines] == ["look at this", "for information"]


def test_a_report_is_read_back_as_it_was_saved(tmp_path):
    made = report(on(2, "a"), Finding("site.toml", "b"))
    made.save(tmp_path / "findings.json")

    assert load_report(tmp_path / "findings.json") == made
    assert (tmp_path / "findings.json").stat().st_mode & 0o077 == 0
    assert load_report(tmp_path / "none.json") is None
    (tmp_path / "findings.json").write_text("{")
    with pytest.raises(StorageError, match="it is made anew"):
        load_report(tmp_path / "findings.json")
