from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.cohort.cells import CellReader, RefusedCell
from common.cohort.column_letters import column_letter
from common.cohort.outcome import Volumes
from common.cohort.schema import BY_NAME, VARIABLES
from common.cohort.table import read_table
from common.errors import CohortError, Level

HEADINGS = [variable.name for variable in VARIABLES if variable.group not in {"study", "repeated readings"}]


def violations(path: Path, **arguments) -> list[str]:
    """Why the table is refused, or why its rows are."""
    try:
        table = read_table(path, **arguments)
    except CohortError as refusal:
        text, findings = str(refusal), refusal.findings
    else:
        findings = tuple(finding for row in table.rejected for finding in row.findings)
        text = "\n".join(map(str, findings))
    assert findings
    assert text == "\n".join(map(str, findings))
    assert {finding.level for finding in findings} == {Level.REFUSED}
    return [str(finding) for finding in findings]


# What a table gives when nothing is wrong


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_every_value_arrives(tables, form):
    path = getattr(tables, form)(tables.row(), tables.row(patient="p2", sex="male", age=None, ivh=None))

    first, second = read_table(path).patients

    assert (first.identifier, first.row, second.identifier, second.row) == ("p1", 2, "p2", 3)
    assert first.baseline_ct == tables.folder / "ct/p1"
    assert first.followup_mask == tables.folder / "masks/p1-later.nii.gz"
    assert (first.number("age"), first.flag("smoking"), first.flag("sah")) == (63.5, True, False)
    assert (first.level("location"), second.level("sex")) == ("deep", "male")
    assert (second.number("age"), second.flag("ivh")) == (None, None)
    assert first.baseline_volumes == Volumes(12.45, 1.5)
    assert first.followup_volumes == Volumes(13, 1.5)


def test_a_workbook_and_a_csv_give_the_same(tables):
    rows = [tables.row(patient=f"p{i}", age=20 + i / 4, inr=None if i % 3 else 1.1) for i in range(7)]

    from_csv, from_xlsx = read_table(tables.csv(*rows)), read_table(tables.xlsx(*rows))

    assert from_csv.patients == from_xlsx.patients


def test_the_values_equal_what_pandas_reads_by_itself(tables):
    rows = [
        tables.row(patient=f"p{i}", age=20 + i / 7, sah=i % 2, location=["deep", "lobar", None][i % 3])
        | {"split": ["train", None, "test"][i % 3]}
        for i in range(9)
    ]
    again = [v.name for v in VARIABLES if v.group == "repeated readings" and v.kind == "binary"]
    path = tables.csv(*rows, headings=[*HEADINGS, "split", *again])

    patients = read_table(path).patients

    other = pd.read_csv(path).set_index("patient")
    for variable in VARIABLES:
        cells = [patient.value(variable.name) for patient in patients]
        if variable.kind == "categorical":
            assert {cell for cell in cells if cell is not None} <= set(variable.levels)
            assert [cell or "" for cell in cells] == list(other[variable.name].fillna(""))
        elif variable.kind in {"binary", "continuous"}:
            assert all(cell is None or type(cell) is float for cell in cells)
            np.testing.assert_array_equal(np.array(cells, float), other[variable.name].to_numpy(float))
    assert [patient.identifier for patient in patients] == list(other.index)


def test_half_given_volumes_are_no_volumes(tables):
    patient = read_table(tables.csv(tables.row(ivh_volume_ml=None))).patients[0]

    assert patient.baseline_volumes is None
    assert patient.number("ich_volume_ml") == 12.45


def test_asking_for_what_the_schema_has_not_is_an_error(tables):
    patient = read_table(tables.csv(tables.row())).patients[0]

    for question in (
        lambda: patient.number("agee"),
        lambda: patient.flag("age"),
        lambda: patient.level("sah"),
        lambda: patient.number("sex"),
    ):
        with pytest.raises(KeyError, match="the schema has no"):
            question()


def test_optional_columns_may_be_absent_and_own_columns_are_not_looked_at(tables):
    required = [v.name for v in VARIABLES if v.required]
    path = tables.csv(
        tables.row(ward="12b", comment="x, y"), headings=["comment", *reversed(required), "ward"]
    )

    table = read_table(path)

    assert table.patients[0].followup_ct is None
    assert all(patient.number("followup_ich_volume_ml") is None for patient in table.patients)


def test_what_cannot_be_misread_is_accepted(tables):
    path = tables.xlsx(
        tables.row(patient=17, sex="Female", location=" DEEP ", sah=True, ivh=1.0, baseline_ct="ct\\p1\\one")
    )

    patient = read_table(path).patients[0]

    assert patient.identifier == "17"
    assert (patient.level("sex"), patient.level("location"), patient.flag("sah")) == ("female", "deep", True)
    assert patient.baseline_ct == tables.folder / "ct/p1/one"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ends", ["\r\n", "\n", "\r"])
def test_byte_order_mark_and_line_ends_do_not_matter(tables, encoding, ends):
    path = tables.csv(tables.row(patient="M\u00fcller-7"), encoding=encoding)
    path.write_bytes(path.read_bytes().replace(b"\r\n", ends.encode()))

    assert read_table(path).patients[0].identifier == "M\u00fcller-7"


def test_rows_are_counted_as_a_spreadsheet_shows_them(tables):
    path = tables.csv(tables.row(patient="a", baseline_ct="with\nbreak"), {}, tables.row(patient="b", age=-4))
    text = path.read_text().replace("with\nbreak", "ct/a")
    path.write_text(text.replace(HEADINGS[0] + ",", HEADINGS[0] + ",", 1))

    assert violations(path)[0].startswith("cohort.csv, row 4, column 'age' (G): -4 year is impossible")


def test_a_line_break_within_a_cell_does_not_shift_the_rows(tables):
    headings = [*HEADINGS, "comment"]
    path = tables.csv(tables.row(comment="two\nlines"), tables.row(patient="p2", age="x"), headings=headings)

    assert [line.split(":")[0] for line in violations(path)] == ["cohort.csv, row 3, column 'age' (G)"]


# Single cells

CELLS = [
    ("age", "63,5", "has a decimal comma -> write 63.5"),
    ("ich_volume_ml", "1,245", "has a decimal comma -> write it with a decimal point"),
    ("ich_volume_ml", "1.234,5", "it has a thousands separator -> write 1234.5"),
    ("ich_volume_ml", "1,234.5", "it has a thousands separator -> write 1234.5"),
    ("ich_volume_ml", "1\u00a0234,5", "it has a thousands separator -> write 1234.5"),
    ("ich_volume_ml", "1'234", "it has a thousands separator -> write 1234"),
    ("age", "1-May", "but a date: Excel turns numbers such as 1.5 or 3-4 into dates"),
    ("age", "May-63", "but a date: Excel"),
    ("age", "01.05.2024", "but a date: Excel"),
    ("age", "2024-05-01", "but a date: Excel"),
    ("age", "6\u200b3", "is not a number"),
    ("ivh_volume_ml", "12400", "(possible: 0 to 400 ml) -> check value and unit: mm³ would be 12.4 ml?"),
    ("inr", "85", "check value and unit: a prothrombin time in %? it is no INR"),
    ("age", "1961", "check value and unit: a year of birth?"),
    ("age", "763", "check value and unit: months would be 63.6 year?"),
    ("sbp_mmhg", "16", "kPa would be 120 mm Hg and cm Hg would be 160 mm Hg?"),
    ("patient", "Mean:", "'Mean:' is a line of totals, no patient -> delete the line"),
    ("patient", "patient", "the headings stand here again"),
    ("patient", "p\u200b1", "holds control characters -> type the pseudonym again"),
    ("age", "63 y", "is not a number"),
    ("age", "1_0", "is not a number"),
    ("age", "\uff16\uff13", "its digits are not the usual ones -> write 63"),
    ("age", "0x10", "is not a number"),
    ("age", "inf", "is not a number"),
    ("age", "1e999", "is not a finite number"),
    ("age", "nan", "leave the cell blank"),
    ("age", "NA", "leave the cell blank"),
    ("age", "-", "leave the cell blank"),
    ("age", "999", "999 year is impossible (possible: 0 to 120 year) -> check value and unit"),
    ("age", "#DIV/0!", "Excel's error #DIV/0!"),
    ("inr", "<1", "is not a number"),
    ("sbp_mmhg", "22.1", "22.1 mm Hg is impossible"),
    ("sah", "2", "2 is neither 0 nor 1 -> write 1 for yes"),
    ("sah", "yes", "'yes' is neither 0 nor 1 -> write 1 for yes, 0 for no"),
    ("sah", "1 (yes)", "'1 (yes)' is not a number"),
    ("sah", "0.5", "is neither 0 nor 1"),
    ("sex", "femal", "did you mean 'female'?"),
    ("sex", "F", "'F' is none of: male, female -> did you mean 'female'?"),
    ("sex", "1", "'1' is none of: male, female -> write one of them"),
    ("location", "thalamus", "is none of: lobar, deep, infratentorial"),
    ("baseline_ct", "../other/p1", "leads out of the site's folder"),
    ("baseline_ct", "ct/../../p1", "leads out of the site's folder"),
    ("baseline_ct", "/etc/passwd", "leads out of the site's folder"),
    ("baseline_ct", "ct/..", "leads out of the site's folder"),
    ("baseline_ct", "C:\\scans\\p1", "names a Windows drive"),
    ("baseline_ct", "..\\p1", "leads out of the site's folder"),
    ("baseline_ct", "ct/\x07p1", "holds control characters"),
    ("patient", "", "the patient has no identifier"),
    ("patient", "p\x071", "holds control characters -> type the pseudonym again"),
]


@pytest.mark.parametrize(("column", "cell", "message"), CELLS)
def test_a_wrong_cell_is_named(tables, column, cell, message):
    found = violations(tables.csv(tables.row(**{column: cell}), tables.row(patient="other")))

    letter = column_letter(HEADINGS.index(column))
    assert len(found) == 1
    assert found[0].startswith(f"cohort.csv, row 2, column {column!r} ({letter}): ")
    assert message in found[0]
    assert " -> " in found[0]


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (
            "age",
            "63",
            'number kept as text, which Excel may have misread -> in Excel: mark the column, then "Conv',
        ),
        ("age", "63,5", "has a decimal comma"),
        ("age", dt.date(2024, 5, 1), "a date (2024-05-01"),
        ("age", dt.time(3, 15), "a date (03:15"),
        ("ct_to_followup_h", dt.timedelta(hours=25), "'1 day, 1:00:00' is not a number"),
        ("sah", "1", "number kept as text"),
        ("age", True, "True is not a number"),
        ("patient", dt.datetime(2024, 5, 1), "a date"),  # noqa: DTZ001 - Excel knows no time zones
        ("patient", 1.5, "1.5 is not an identifier"),
        ("patient", True, "True is not an identifier"),
        ("baseline_ct", 7, "7 is not a path"),
        ("age", "#N/A", "Excel's error #N/A"),
        ("sex", 1, "1 is none of: male, female"),
    ],
)
def test_a_wrong_cell_of_a_workbook_is_named(tables, column, cell, message):
    found = violations(tables.xlsx(tables.row(**{column: cell}), tables.row(patient="other")))

    letter = column_letter(HEADINGS.index(column))
    assert [line.startswith(f"cohort.xlsx, row 2, column {column!r} ({letter}): ") for line in found] == [
        True
    ]
    assert message in found[0]


PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@given(st.one_of(st.text(max_size=8), st.from_regex(r"[-+.,0-9eE_ ]{1,8}", fullmatch=True)))
@settings(max_examples=400)
def test_text_is_a_number_only_if_it_is_written_like_one(text):
    reader = CellReader(typed=False, folder=Path("/site"), root=Path("/site"))

    value = reader.read(BY_NAME["sbp_mmhg"], text)

    if PLAIN_NUMBER.fullmatch(text) and 40 <= float(text) <= 350:
        assert value == float(text)
    else:
        assert isinstance(value, RefusedCell)


@given(
    st.lists(st.sampled_from(["..", "a", ".", "b c", "", "\u00e9", "~"]), min_size=1, max_size=8),
    st.booleans(),
)
def test_no_path_leaves_the_folder(parts, absolute):
    reader = CellReader(typed=False, folder=Path("/data/site/tables"), root=Path("/data/site"))
    text = ("/data/site/" if absolute else "") + "/".join(parts)

    value = reader.read(BY_NAME["baseline_ct"], text or None)

    if isinstance(value, Path):
        assert ".." not in value.parts
        assert value.is_relative_to("/data/site")
        assert value != Path("/data/site")


def test_paths_start_from_the_tables_folder_and_may_not_leave_the_sites(tables):
    (tables.folder / "tables").mkdir()
    path = tables.csv(tables.row(baseline_ct="../ct/p1"), name="tables/cohort.csv")

    assert read_table(path, root=tables.folder).patients[0].baseline_ct == tables.folder / "ct/p1"
    assert "leads out of the site's folder" in violations(path)[0]


def test_an_absolute_path_inside_and_a_relative_table_are_fine(tables, monkeypatch):
    tables.csv(tables.row(baseline_ct=str(tables.folder / "ct/p1")))
    monkeypatch.chdir(tables.folder)

    patient = read_table(Path("cohort.csv")).patients[0]

    assert patient.baseline_ct == tables.folder / "ct/p1"
    assert patient.baseline_mask == tables.folder / "masks/p1.nii.gz"


# Values that contradict each other


@pytest.mark.parametrize(
    ("changes", "columns", "message"),
    [
        ({"ivh": 0}, ("ivh", "ivh_volume_ml"), "ivh = 0, ivh_volume_ml = 1.5: no IVH, but a volume of it"),
        ({"ivh_volume_ml": 0}, ("ivh", "ivh_volume_ml"), "IVH without volume"),
        ({"primary_ivh": 1}, ("primary_ivh", "ich_volume_ml"), "confined to the ventricles"),
        (
            {"primary_ivh": 1, "ich_volume_ml": 0, "ivh": 0, "ivh_volume_ml": None},
            ("primary_ivh", "ivh"),
            "a primary IVH without IVH",
        ),
        (
            {"ich_volume_ml": 0},
            ("primary_ivh", "ich_volume_ml"),
            "an intracerebral hemorrhage without volume",
        ),
        ({"sbp_mmhg": 98, "dbp_mmhg": 166}, ("sbp_mmhg", "dbp_mmhg"), "were the two swapped?"),
        ({"sbp_mmhg": 98}, ("sbp_mmhg", "dbp_mmhg"), "not below"),
        ({"anticoagulation": 0}, ("warfarin", "anticoagulation"), "warfarin is an anticoagulant"),
        (
            {"followup_ivh_volume_ml": None},
            ("followup_ich_volume_ml", "followup_ivh_volume_ml"),
            "followup_ich_volume_ml = 13, the other is blank",
        ),
        (
            {"followup_ich_volume_ml": None},
            ("followup_ich_volume_ml", "followup_ivh_volume_ml"),
            "followup_ivh_volume_ml = 1.5, the other is blank",
        ),
    ],
)
def test_contradictions_are_named(tables, changes, columns, message):
    found = violations(tables.csv(tables.row(**changes)))

    assert len(found) == 1
    assert found[0].startswith(f"cohort.csv, row 2, columns {columns[0]!r} and {columns[1]!r}: ")
    assert message in found[0]


@pytest.mark.parametrize(
    "blank", ["ivh", "ivh_volume_ml", "warfarin", "anticoagulation", "sbp_mmhg", "primary_ivh"]
)
def test_a_blank_contradicts_nothing(tables, blank):
    changes = {"warfarin": 1, "anticoagulation": 1} | {blank: None}

    assert read_table(tables.csv(tables.row(**changes))).patients[0].value(blank) is None


# Headings


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Age", "age"),
        ("hypertention", "hypertension"),
        ("ich_volume", "ich_volume_ml"),
        ("SAH", "sah"),
        ("Black hole sign", "black_hole_sign"),
        ("baseline-ct", "baseline_ct"),
        ("Admission SBP", "sbp_mmhg"),
        ("\uff21\uff47\uff45", "age"),
        ("followup\uff3fct", "followup_ct"),
    ],
)
def test_a_misspelt_column_is_named_with_what_was_meant(tables, written, meant):
    headings = [written if h == meant else h for h in HEADINGS]

    found = violations(tables.csv(tables.row(**{written: tables.row()[meant]}), headings=headings))

    letter = column_letter(HEADINGS.index(meant))
    expected = f"cohort.csv, row 1, column {letter}: unknown column {written!r} -> did you mean {meant!r}?"
    assert found[0].startswith(expected)
    assert not any("is missing" in line for line in found)


@pytest.mark.parametrize("form", ["csv", "xlsx"])
@pytest.mark.parametrize("written", ["age\u200b", "\ufeffage", "\u00a0age\u00a0", "a\u00adge", "age\n"])
def test_what_nobody_can_see_in_a_heading_or_at_a_cell_s_ends_does_not_count(tables, form, written):
    headings = [written if h == "age" else h for h in HEADINGS]
    rows = [tables.row(sex="\u00a0female\u200b", patient="\ufeffp1") | {written: 63.5}]
    patient = read_table(getattr(tables, form)(*rows, headings=headings)).patients[0]

    assert (patient.identifier, patient.number("age"), patient.level("sex")) == ("p1", 63.5, "female")


def test_a_missing_column_is_named_with_its_meaning(tables):
    headings = [h for h in HEADINGS if h not in {"primary_ivh", "sbp_mmhg"}] + ["sbp"]

    found = violations(tables.csv(tables.row(), headings=headings))

    blank = "-> add the column; leave cells blank where the value is unknown"
    primary = f"Hemorrhage confined to the ventricles; 0 or 1 {blank}"
    systolic = f"Systolic blood pressure at admission; 40 to 350 mm Hg {blank}"
    assert found == [
        f"cohort.csv, row 1: column 'sbp_mmhg' is missing (is 'sbp' meant?): {systolic}",
        f"cohort.csv, row 1: column 'primary_ivh' is missing: {primary}",
    ]


def test_a_table_without_identifiers_is_refused_by_its_headings_alone(tables):
    rows = [tables.row(patient=f"p{i}") for i in range(4)]

    (found,) = violations(tables.csv(*rows, headings=["pat", *HEADINGS[1:]]))

    assert found.startswith("cohort.csv, row 1: column 'patient' is missing (is 'pat' meant?): ")


@pytest.mark.parametrize("form", ["csv", "xlsx"])
@pytest.mark.parametrize("above", [1, 3])
def test_a_title_above_the_headings_is_one_finding(tables, form, above):
    """Not one for each column that seems to be missing, and for each row."""
    titles = [dict(zip(HEADINGS, (f"Title {i}", None, "age"), strict=False)) for i in range(1, above)]
    rows = [
        *titles,
        dict(zip(HEADINGS, HEADINGS, strict=True)),
        *(tables.row(patient=f"p{i}") for i in range(4)),
    ]
    top = ["Stroke unit, 2019-2024", *[""] * (len(HEADINGS) - 1)]

    path = write_below(tables, form, top, rows)

    row = f"row {above + 1}"
    remedy = "delete the rows above: headings belong into row 1"
    assert violations(path) == [f"cohort.{form}, {row}: the headings stand in {row} -> {remedy}"]


def write_below(tables, form: str, top: list[str], rows: list[dict[str, object]]) -> Path:
    """A table whose first row is `top`, whatever the headings are."""
    cells = [top, *([row.get(heading) for heading in HEADINGS] for row in rows)]
    if form == "csv":
        path = tables.folder / "cohort.csv"
        pd.DataFrame(cells).to_csv(path, header=False, index=False)
        return path
    workbook = openpyxl.Workbook()
    for row in cells:
        workbook.active.append(row)
    workbook.save(tables.folder / "cohort.xlsx")
    return tables.folder / "cohort.xlsx"


def test_headings_that_are_repeated_below_are_no_title(tables):
    """Row 1 still holds them; the second line of headings is a bad row, as a line of totals is."""
    again = dict(zip(HEADINGS, HEADINGS, strict=True))

    found = violations(tables.csv(*(tables.row(patient=f"p{i}") for i in range(4)), again))

    assert {line.split(",")[1] for line in found} == {" row 6"}


def test_duplicate_columns_are_named(tables):
    found = violations(tables.csv(tables.row(), headings=[*HEADINGS, "age", "note", "Note"]))

    assert [line.split(" -> ")[0] for line in found] == [
        "cohort.csv, row 1, columns G and AN: the heading 'age' stands 2 times",
        "cohort.csv, row 1, columns AO and AP: the heading 'note' stands 2 times",
    ]


def test_a_column_without_heading_is_named_if_it_holds_anything(tables):
    blank_below = tables.csv(tables.row(), headings=[*HEADINGS, ""])
    assert len(read_table(blank_below).patients) == 1

    filled = tables.csv({**tables.row(), "": "stray"}, headings=[*HEADINGS, ""])
    assert violations(filled)[0].startswith("cohort.csv, column AN: the column has cells but no heading")


# Patients


@pytest.mark.parametrize(("one", "other"), [("p1", "p1"), ("p1", " P1 "), ("\u00e9", "e\u0301"), ("7", "7")])
def test_a_patient_on_two_rows_is_found(tables, one, other):
    path = tables.csv(tables.row(patient=one), tables.row(patient="x"), tables.row(patient=other))

    table = read_table(path)

    assert [patient.identifier for patient in table.patients] == ["x"]
    assert [row.row for row in table.rejected] == [2, 4]
    for row, twin in zip(table.rejected, (4, 2), strict=True):
        (finding,) = row.findings
        assert finding.where == f"cohort.csv, row {row.row}, column 'patient'"
        assert f"stands in row {twin} too: none of these rows is used" in finding.what


def test_a_patient_is_found_twice_even_beside_other_violations(tables):
    found = violations(tables.csv(tables.row(age="x"), tables.row(sex="y")))

    assert len(found) == 4


def test_all_violations_are_reported_at_once_in_the_tables_order(tables):
    rows = [tables.row(patient=f"p{i}", age="old", sex="m", ivh=0) for i in range(50)]

    whole, *found = violations(tables.csv(*rows))

    assert whole == (
        "cohort.csv: 50 of 50 rows are refused, 50 of them in column 'sex' (F): the table as a whole looks "
        "shifted or misread -> look at headings, units and decimal signs of the whole table first"
    )
    assert len(found) == 150
    assert [int(re.search(r"row (\d+)", line)[1]) for line in found] == [2 + i // 3 for i in range(150)]


# Rows that cost themselves alone


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_bad_cell_costs_its_row_alone(tables, form):
    rows = [tables.row(patient=f"p{i}") for i in range(2, 8)]
    rows[1] |= {"age": "old", "sex": "m"}
    rows[4] |= {"patient": None}

    table = read_table(getattr(tables, form)(*rows))

    assert [patient.identifier for patient in table.patients] == ["p2", "p4", "p5", "p7"]
    assert [(row.row, row.identifier, len(row.findings)) for row in table.rejected] == [
        (3, "p3", 2),
        (6, "", 1),
    ]
    assert table.size == 6


@pytest.mark.parametrize(
    ("bad", "size", "refused"), [(3, 6, False), (3, 5, True), (2, 3, False), (2, 2, True)]
)
def test_a_table_of_which_most_rows_are_bad_is_refused_as_a_whole(tables, bad, size, refused):
    rows = [tables.row(patient=f"p{i}", age="x" if i < bad else 60) for i in range(size)]
    path = tables.csv(*rows)

    if not refused:
        assert len(read_table(path).patients) == size - bad
        return
    found = violations(path)
    assert len(found) == bad + (bad > 2)
    whole = f"{bad} of {size} rows are refused, {bad} of them in column 'age' (G): the table as a whole looks"
    assert bad <= 2 or whole in found[0]


def test_a_second_table_below_and_a_line_of_totals_are_no_patients(tables):
    rows = [*(tables.row(patient=f"p{i}") for i in range(6)), {"patient": "Mean", "age": 63.5}]
    table = read_table(tables.csv(*rows, {}, dict(zip(HEADINGS, HEADINGS, strict=True))))

    assert [row.row for row in table.rejected] == [8, 10]
    assert "is a line of totals" in str(table.rejected[0].findings[0])
    assert any("the headings stand here again" in finding.what for finding in table.rejected[1].findings)


# Files


@pytest.mark.parametrize(
    ("delimiter", "name"), [(";", "semicolons"), ("\t", "tabulators"), ("|", "vertical bars")]
)
def test_another_delimiter_is_named(tables, delimiter, name):
    found = violations(tables.csv(tables.row(), delimiter=delimiter))

    assert len(found) == 1
    assert f"separated by {name}, not by commas -> save it as .xlsx" in found[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "the file is empty"),
        ("t.csv", b"\n\n", "the first row has no headings"),
        ("t.csv", b"\xef\xbb\xbf", "the first row has no headings"),
        ("t.csv", "patient,age\n\u00e9".encode("utf-16"), "is not UTF-8 text"),
        ("t.csv", b"patient,age\np1,6\x000\n", "is not UTF-8 text"),
        (
            "t.csv",
            "patient\np1\nM\u00fcller\n".encode("latin-1"),
            "line 3 holds a byte that is not UTF-8 (0xfc)",
        ),
        ("t.csv", b"PK\x03\x04rest", "is an Excel workbook with the extension .csv"),
        ("t.csv", b'patient,age\n"p1,60\n', "is not valid CSV"),
        ("t.xlsx", b"\xd0\xcf\x11\xe0rest", "old or a password-protected workbook"),
        ("t.xlsx", b"patient,age\n", "is not a readable workbook"),
        ("t.xls", b"x", ".xls extension -> save the table as .xlsx"),
        ("t", b"x", "no extension"),
    ],
)
def test_an_unreadable_file_is_refused_with_the_reason(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)

    found = violations(tmp_path / name)

    assert len(found) == 1
    assert found[0].startswith(f"{name}: ")
    assert message in found[0]


def test_a_missing_file_is_refused(tmp_path):
    assert violations(tmp_path / "t.csv") == ["t.csv: no such file -> correct `table` in site.toml"]
    (tmp_path / "d.csv").mkdir()
    assert "cannot be read" in violations(tmp_path / "d.csv")[0]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_file_larger_than_any_cohort_is_refused_unread(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    with path.open("wb") as file:
        file.truncate(3_000_000_000)  # without a byte on the disk

    assert violations(path)[0].startswith(f"t{suffix}: has 3,000,000,000 bytes, more than 100,000,000 ->")


def test_a_csv_of_more_cells_rows_or_columns_than_a_cohort_has_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    for content, message in (
        (b"patient\n" + b"," * 4_000_001, "holds more than 4,000,000 commas"),
        (b"patient\n" + b"p\n" * 100_001, "reaches over 100,001 rows, more than 100,000"),
        (b"patient" + b",a" * 2_000 + b"\n", "reaches over 2,001 columns, more than 2,000"),
        (b"patient,age\n" + b"p" * 200_000 + b",1\n", "is not valid CSV: field larger than field limit"),
    ):
        path.write_bytes(content)
        assert message in violations(path)[0]


@pytest.mark.parametrize("name", ["t\0.csv", "x" * 5000 + ".csv"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, name):
    said = r"is no name of a file|cannot be read \(File name too long\)"

    assert re.search(said, violations(tmp_path / name)[0])


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "t.csv")

    assert violations(tmp_path / "t.csv") == [
        "t.csv: cannot be read (it is no file) -> correct `table` in site.toml"
    ]


def test_a_name_that_is_no_text_can_be_printed(tables):
    odd = tables.folder / os.fsdecode(b"caf\xe9.csv")
    tables.csv(tables.row(age="x"), tables.row(patient="p2")).rename(odd)

    (finding,) = violations(odd)

    assert finding.encode().startswith(b"caf\\udce9.csv, row 2, column 'age' (G): 'x' is not a number")


def test_a_table_without_patients_is_refused(tables):
    assert "no patients" in violations(tables.csv())[0]
    assert "no patients" in violations(tables.csv({}, {}))[0]


def test_rows_of_another_length_are_named(tables):
    path = tables.csv(tables.row(), tables.row(patient="p2"), tables.row(patient="p3"))
    lines = path.read_text().splitlines()
    lines[1] += ",,"
    lines[2] += ",surplus"
    lines[3] = lines[3].rsplit(",", 3)[0]
    path.write_text("\n".join(lines))

    whole, *found = violations(path)

    assert whole.startswith("cohort.csv: the last row (4) ends too early: rows after it may be lost")
    assert found[0].startswith("cohort.csv, row 3: 40 cells for 39 headings -> put cells that hold a comma")
    assert found[1].startswith("cohort.csv, row 4: 36 cells for 39 headings -> was the file cut off?")
    assert len(found) == 2


def outcome_of(path: Path):
    """Patients of a table without any finding, else None."""
    try:
        table = read_table(path)
    except CohortError as refusal:
        return None if refusal.findings else ()
    return None if table.rejected else table.patients


def test_a_csv_cut_anywhere_is_refused_unless_only_digits_of_its_last_cell_are_lost(tables):
    path = tables.csv(tables.row(), tables.row(patient="p2"))
    content, whole = path.read_bytes(), read_table(path).patients
    cut = {}
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if (patients := outcome_of(path)) is not None:
            cut[length] = patients

    # A row ends in ...,13,1.5: it still reads when cut behind 1, 1. or 1.5, which no reader can notice,
    # and behind either byte of the line end
    first = content.index(b"1.5\r\n", content.index(b"13,")) + 1
    second = content.index(b"1.5\r\n", first + 4) + 1
    assert sorted(cut) == [*range(first, first + 5), *range(second, second + 4)]
    assert all(patients[:-1] == whole[: len(patients) - 1] for patients in cut.values())
    assert cut[first + 4] == whole[:1]
    assert cut[second + 3] == whole


# Workbooks


def test_the_sheet_called_patients_is_read_among_several(tables):
    path = tables.xlsx(tables.row(), sheets=("notes", "Patients"))
    assert len(read_table(path).patients) == 1

    found = violations(tables.xlsx(tables.row(), sheets=("2023", "2024")))
    assert found == ["cohort.xlsx: several sheets hold data: '2023', '2024' -> name the right one 'patients'"]


def test_empty_sheets_do_not_count(tables):
    path = tables.xlsx(tables.row())
    workbook = openpyxl.load_workbook(path)
    workbook.create_sheet("Sheet2", 0)
    workbook.save(path)
    assert len(read_table(path).patients) == 1

    empty = openpyxl.Workbook()
    empty.save(path)
    assert "the workbook is empty" in violations(path)[0]


def test_a_formula_without_result_is_not_taken_for_a_blank(tables):
    path = tables.xlsx(tables.row(age="=60+3"))

    (found,) = violations(path)
    assert found.startswith(
        "cohort.xlsx, row 2, column 'age' (G): the formula =60+3 has no stored result -> open the workbook"
    )


def test_a_formula_without_result_costs_its_row_alone(tables):
    changes = [{}, {"age": "=60+3"}, {"patient": '="p"&2'}, {}, {}]
    table = read_table(
        tables.xlsx(*(tables.row(**{"patient": f"p{i}", **one}) for i, one in enumerate(changes)))
    )

    assert [patient.identifier for patient in table.patients] == ["p0", "p3", "p4"]
    (age,), (identifier,) = (row.findings for row in table.rejected)
    assert age.what == "the formula =60+3 has no stored result"
    assert identifier.where.startswith("cohort.xlsx, row 4, column 'patient'")


def test_a_row_of_formulas_alone_is_not_taken_for_a_blank_one(tables):
    rows = [tables.row(patient=f"p{i}") for i in range(3)]
    path = tables.xlsx(*rows, dict.fromkeys(rows[0], "=1"))

    table = read_table(path)

    assert [row.row for row in table.rejected] == [5]


def test_a_heading_that_is_a_formula_without_result_is_refused(tables):
    path = tables.xlsx(tables.row())
    workbook = openpyxl.load_workbook(path)
    workbook.worksheets[0]["G1"] = '="a"&"ge"'
    workbook.save(path)

    (found,) = violations(path)
    assert found.startswith("cohort.xlsx, row 1, column G: the formula =")


def test_a_workbook_cut_or_tampered_is_refused_or_the_same(tables):
    path = tables.xlsx(*[tables.row(patient=f"p{i}") for i in range(5)])
    whole, content = read_table(path).patients, path.read_bytes()
    refused = 0
    for position in range(0, len(content), 61):
        flipped = bytearray(content)
        flipped[position] ^= 0x5A
        for damaged in (content[:position], bytes(flipped)):
            path.write_bytes(damaged)
            patients = outcome_of(path)
            assert patients in (None, whole)
            refused += patients is None
    assert refused > len(content) / 61


def test_a_workbook_with_an_encrypted_member_is_refused(tables):
    path = tables.xlsx(tables.row())
    content = bytearray(path.read_bytes())
    for entry in re.finditer(rb"PK\x01\x02", bytes(content)):
        content[entry.start() + 8] |= 1  # general purpose bit 0 (APPNOTE 4.4.4)
    path.write_bytes(content)

    assert "is not a readable workbook" in violations(path)[0]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(tmp_path, content):
    for name in ("fuzz.csv", "fuzz.xlsx"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CohortError):
            read_table(tmp_path / name)


def test_reading_needs_pandas_only_for_the_frame(tables):
    path = tables.csv(tables.row())
    code = (
        "import sys; from pathlib import Path; from common.cohort.table import read_table;"
        f"read_table(Path({str(path)!r})); assert not {{'pandas', 'openpyxl'}} & set(sys.modules)"
    )
    project = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=project, check=False).returncode == 0


def test_columns_are_lettered_as_in_a_spreadsheet():
    from openpyxl.utils import get_column_letter

    assert [column_letter(i) for i in range(2000)] == [get_column_letter(i + 1) for i in range(2000)]


@pytest.mark.parametrize("title", ["Cohort; export of 2024", "Cohort | 2024", "Cohort"])
@pytest.mark.parametrize(
    ("delimiter", "found"),
    [
        (",", "the headings stand in row 2"),
        (";", "separated by semicolons"),
        ("\t", "separated by tabulators"),
    ],
)
def test_a_title_above_the_headings_says_nothing_of_what_separates_columns(tables, title, delimiter, found):
    path = tables.csv(tables.row(), tables.row(patient="p2"))
    text = path.read_text().replace(",", delimiter)
    path.write_text(f"{title}\n{text}")

    assert len(violations(path)) == 1
    assert found in violations(path)[0]
