from __future__ import annotations

import pytest

from common.cohort.eligibility import apply_exclusions, note_exclusions
from common.cohort.table import read_table
from common.errors import Level

SOUND = {
    "age": [45, 58, 63, 71, 84],
    "onset_to_ct_h": [1, 2, 3, 6, 20],
    "ct_to_followup_h": [6, 18, 24, 25, 48],
    "ich_volume_ml": [0.8, 5, 12, 24, 80],
    "sbp_mmhg": [140, 160, 166, 180, 220],
    "inr": [0.9, 1, 1.1, 1.2, 3.4],
}


def notes(tables, column, values):
    rows = [tables.row(patient=f"p{i}", **{column: value}) for i, value in enumerate(values)]
    return list(read_table(tables.csv(*rows)).notes)


@pytest.mark.parametrize("column", SOUND)
def test_usual_values_are_no_doubt(tables, column):
    assert notes(tables, column, SOUND[column]) == []


def test_large_and_slow_but_right_columns_are_no_doubt(tables):
    assert notes(tables, "onset_to_ct_h", [20.5, 30, 40, 50, 80]) == []
    assert notes(tables, "ct_to_followup_h", [168, 200, 230, 300, 168]) == []
    assert notes(tables, "ich_volume_ml", [1, 2, 3, 4, 5]) == []


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "onset_to_ct_h",
            [60, 90, 180, 400, 1200],
            "the median is 180 hour; if these are minutes, it is 3 hour",
        ),
        (
            "onset_to_ct_h",
            [0.04, 0.1, 0.125, 0.2, 0.9],
            "median is 0.125 hour; if these are days, it is 3 hour",
        ),
        ("ct_to_followup_h", [360, 720, 1440, 1500, 4000], "1440 hour; if these are minutes, it is 24 hour"),
        ("ct_to_followup_h", [0.5, 1, 1, 1, 2], "the median is 1 hour; if these are days, it is 24 hour"),
        ("ich_volume_ml", [0.002, 0.005, 0.012, 0.02, 0.08], "if these are litres, it is 12 ml"),
        ("age", [4, 5.5, 6, 7, 8], "the median is 6 year; if these are decades, it is 60 year"),
        ("inr", [11, 12, 12.5, 13, 14], "the median is 12.5; if these are prothrombin times in seconds"),
        ("ich_volume_ml", [2, 3, 4, 5] * 5, "the largest of 20 is 5; are these diameters in cm?"),
    ],
)
def test_a_column_in_another_unit_is_to_be_looked_at(tables, column, values, message):
    (note,) = notes(tables, column, values)

    assert note.level == Level.LOOK
    assert note.where.startswith(f"cohort.csv, column {column!r} (")
    assert message in note.what
    assert "the column's unit is " in note.remedy


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "onset_to_ct_h",
            [1.5, 90, 3, 400, 2.2, 126, 5],
            "3 of 7 values are 90 to 400 hour (rows 3, 5, 7); if these are minutes, they are 1.5 to 6.67 h",
        ),
        ("onset_to_ct_h", [1.5, 0.06, 3, 0.125, 2.2, 9], "0.06 to 0.125 hour (rows 3, 5); if these are days"),
        ("ct_to_followup_h", [24, 1440, 6.5, 360, 20, 1500], "if these are minutes, they are 6 to 25 hour"),
        ("ct_to_followup_h", [24, 1, 26, 1.2, 20, 30], "1 to 1.2 hour (rows 3, 5); if these are days"),
        ("ich_volume_ml", [12, 0.012, 30, 0.02, 8, 41], "if these are litres, they are 12 to 20 ml"),
        (
            "age",
            [61, 5.5, 72, 7, 48, 80],
            "2 of 6 values are 5.5 to 7 year (rows 3, 5); if these are decades",
        ),
        ("inr", [1, 12.5, 1.1, 12.5, 1, 1.2], "these are prothrombin times in seconds, they are no INR"),
    ],
)
def test_some_of_a_columns_values_in_another_unit_are_to_be_looked_at(tables, column, values, message):
    (note,) = notes(tables, column, values)

    assert note.level == Level.LOOK
    assert note.where.startswith(f"cohort.csv, column {column!r} (")
    assert message in note.what


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("onset_to_ct_h", [1, 2, 3, 6, 90, 120, 200]),  # late, but within ten days
        ("onset_to_ct_h", [1, 2, 3, 0.1, 5, 6]),  # one patient bled in front of the scanner
        ("ct_to_followup_h", [24, 20, 100, 400, 24, 1000]),  # follow-ups at any time
        ("ct_to_followup_h", [24, 168, 200, 168, 300]),  # after a week
        ("ct_to_followup_h", [24, 2, 26, 28, 20, 30]),
        ("age", [61, 5, 72, 66, 48, 80]),
        ("age", [61, 17, 72, 14, 48, 80]),
        ("inr", [1, 12.5, 1.1, 1, 1, 1.2]),
        ("inr", [1] * 58 + [9, 12]),
    ],
)
def test_what_few_sound_patients_have_is_no_doubt(tables, column, values):
    assert notes(tables, column, values) == []


def test_a_single_cell_in_minutes_that_excludes_its_patient_is_to_be_looked_at(tables):
    def note(hours):
        rows = [tables.row(patient=f"p{i}", onset_to_ct_h=value) for i, value in enumerate(hours)]
        table = read_table(tables.csv(*rows))
        return note_exclusions(table, apply_exclusions(table))

    (found,) = note([3, 540, 5, 6, 7])
    assert found.level == Level.LOOK
    assert str(found).startswith(
        "cohort.csv, row 3, column 'onset_to_ct_h': 540 hour excludes the patient by 'Baseline CT > 24 h "
        "after onset'; if it is minutes, it is 9 hour -> find out"
    )
    assert note([3, 240, 5, 6, 7]) == ()  # ten days
    assert note([3, 300.5, 5, 6, 48, 4, 8]) == ()  # no whole minutes
    assert note([3, 1500, 5, 6, 7]) == ()  # late in minutes, too
    assert len(note([540, 600, 660, 5, 6])) == 1  # the criterion's own remark says it
    assert note([3, 540, 5, 600, 7, 8]) == ()  # so does the column's


def test_a_criterion_that_excludes_most_is_to_be_looked_at(tables):
    def note(hours):
        rows = [tables.row(patient=f"p{i}", onset_to_ct_h=value) for i, value in enumerate(hours)]
        table = read_table(tables.csv(*rows))
        return note_exclusions(table, apply_exclusions(table))

    (found,) = note([3, 30.5, 36, 40, 50])
    assert found.level == Level.LOOK
    assert str(found).startswith(
        "cohort.csv, column 'onset_to_ct_h': 'Baseline CT > 24 h after onset' excludes 4 of 5 patients; the "
        "column holds 3 to 50, median 36 -> check the column's unit"
    )
    assert note([3, 4, 5, 40, 50]) == ()
    assert note([30, 40, 50, 60]) == ()
