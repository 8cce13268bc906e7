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
