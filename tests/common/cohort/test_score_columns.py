from __future__ import annotations

import pytest

from common.cohort.columns import WantedColumns
from common.cohort.schema import Range
from common.cohort.score_columns import find_score_columns
from common.cohort.table import read_table
from common.errors import CohortError


def test_own_columns_are_continuous_and_stand_once():
    (column,) = find_score_columns([("vendor", -1, 9), ("vendor", -1, 9), ("age", 0, 120)])

    assert (column.name, column.kind, column.group, column.required) == (
        "vendor",
        "continuous",
        "scores",
        True,
    )
    assert column.possible == Range(-1, 9)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ([("v", 0, 1), ("v", 0, 2)], "take the column 'v' with the ranges 0 to 1 and 0 to 2"),
        ([("age", 0, 120), ("age", 0, 100)], "take the column 'age'"),
        ([("v", 0, 1), ("V", 0, 1)], "'v' and 'V' differ in capitals only"),
        ([("Age", 0, 1)], "'Age' and 'age' differ in capitals only"),
    ],
)
def test_what_no_table_could_hold_is_refused(declared, said):
    with pytest.raises(ValueError, match=said):
        find_score_columns(declared)


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_scores_arrive_beside_the_schemas_values(tables, form):
    wanted = WantedColumns(find_score_columns([("vendor", -10, 10), ("age", 0, 120)]))
    rows = [tables.row(vendor=value, patient=f"p{i}") for i, value in enumerate((-2.5, None))]
    path = getattr(tables, form)(*rows, headings=list(rows[0]))

    first, second = read_table(path, wanted=wanted).patients

    assert (first.score("vendor"), second.score("vendor")) == (-2.5, None)
    assert (first.score("age"), first.score("ich_volume_ml")) == (63.5, 12.45)
    assert "vendor" not in first.values
    assert not read_table(path).patients[0].scores


def test_a_column_that_was_not_read_is_no_missing_score(tables):
    (patient,) = read_table(tables.csv(tables.row())).patients

    with pytest.raises(KeyError):
        patient.score("vendor")
    with pytest.raises(KeyError, match="no continuous variable 'sex'"):
        patient.score("sex")


def test_a_score_that_resembles_a_variable_is_none_of_its_misspellings(tables):
    """'smoker' alone would be taken for 'smoking'."""
    headings = [*(name for name in tables.row() if name != "recurrent_ich"), "recurrent_ic"]
    path = tables.csv(tables.row(recurrent_ic=0.5), headings=headings)

    with pytest.raises(CohortError, match="did you mean 'recurrent_ich'"):
        read_table(path)
    wanted = WantedColumns(find_score_columns([("recurrent_ic", 0, 1)]))
    assert read_table(path, wanted=wanted).patients[0].score("recurrent_ic") == 0.5


# Images


def without(tables, *names):
    return tables.csv(tables.row(), headings=[name for name in tables.row() if name not in names])


FOLLOWUP = ("followup_ct", "followup_mask")
ALL = ("baseline_ct", "baseline_mask", *FOLLOWUP)


@pytest.mark.parametrize(
    ("absent", "wanted", "expected"), [(ALL, False, False), (ALL, None, False), ((), None, True)]
)
def test_images_are_needed_as_asked_or_as_the_columns_say(tables, absent, wanted, expected):
    table = read_table(without(tables, *absent), wanted=WantedColumns(images=wanted))

    assert table.images is expected
    assert (table.patients[0].baseline_ct is None) == bool(absent)


@pytest.mark.parametrize("absent", [ALL, ALL[:2]])
def test_both_columns_of_images_are_missed_in_one_finding(tables, absent):
    with pytest.raises(CohortError, match="columns 'baseline_ct' and 'baseline_mask' are missing") as caught:
        read_table(without(tables, *absent))
    assert len(caught.value.findings) == 1


@pytest.mark.parametrize("wanted", [True, None])
@pytest.mark.parametrize("absent", ["baseline_ct", "baseline_mask"])
def test_one_missing_column_of_images_is_missed_by_name(tables, absent, wanted):
    with pytest.raises(CohortError, match=f"column '{absent}' is missing") as caught:
        read_table(without(tables, absent), wanted=WantedColumns(images=wanted))
    assert len(caught.value.findings) == 1
