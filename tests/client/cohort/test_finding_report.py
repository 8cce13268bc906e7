"""How findings are counted, ranked and said, without a site."""

from __future__ import annotations

import pytest

from client.cohort.finding_report import (
    ReportSubject,
    describe_counts,
    list_lines,
    list_table_lines,
    load_report,
    make_report,
)
from common.cohort.eligibility import CRITERIA, Exclusion, Flow
from common.cohort.patient import Patient
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


def test_remarks_on_identity_stand_behind_all_else_of_their_level():
    """They are said of every patient where files bear names, and must not bury what is wrong with a scan."""
    named = "'baseline_ct': headers identify the patient: PatientName"
    others = (on(3, "contrast"), on(4, "interval"), on(5, "tilt", Level.KNOW), on(6, "no", Level.REFUSED))

    made = report(on(2, named), on(3, named), *others)

    assert [one.what for one in made.findings] == ["no", "contrast", "interval", named, named, "tilt"]


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
        "rows 3-21; all with --json and on the page)"
    )
    assert second.endswith("row 30, patient 'P30': contrast -> look")
    assert len(many.findings) == 21


def test_whom_a_criterion_excludes_is_told_with_row_and_value():
    onset = next(criterion for criterion in CRITERIA if criterion.name == "onset")
    artefacts = next(criterion for criterion in CRITERIA if criterion.name == "artefacts")
    late = tuple(
        Patient(f"P{row}", row, None, None, None, None, {"onset_to_ct_h": 30.0 * row}) for row in range(2, 7)
    )
    blurred = (Patient("P9", 9, None, None, None, None, {"artefacts": 1.0}),)
    flow = Flow(8, (Exclusion(onset, late), Exclusion(artefacts, blurred)), (), ())

    made = make_report(ReportSubject("north", "cohort.csv", 0, flow), ())

    line = made.flow.exclusions[0]
    assert next((one.row, one.patient, one.value) for one in line.rows) == (2, "P2", 60.0)
    assert (line.patients, len(line.rows), line.column) == (5, 5, "onset_to_ct_h")
    (said,) = list_table_lines(made)
    assert "5 by Baseline CT > 24 h after onset (row 2: 60, row 3: 90, row 4: 120, …)" in said
    assert "1 by Obvious artifacts (row 9)" in said


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
