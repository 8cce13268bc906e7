"""Columns of repeated readings: optional, checked like the first, and no part of Table 1."""

from __future__ import annotations

import pytest

from common.cohort.repeated_readings import (
    MARKERS,
    MASK_COLUMN,
    MOST,
    READINGS,
    column_of_reading,
    find_reading,
    name_reading,
    place_of_reading,
)
from common.cohort.schema import BY_NAME, TABLE_ONE
from common.cohort.table import read_table
from common.errors import CohortError


def test_both_readings_repeat_the_mask_and_the_nine_markers():
    repeated = {column_of_reading(name, reading) for name in (MASK_COLUMN, *MARKERS) for reading in READINGS}

    assert len(repeated) == 20
    assert not any(BY_NAME[name].required for name in repeated)
    assert not repeated & {variable.name for variable in TABLE_ONE}


def test_masks_and_markers_of_a_second_reader_are_read(tables):
    row = tables.row(
        baseline_mask_second_reader="p1/again.nii.gz",
        hypodensity_second_reader=0,
        hypodensity_second_session=1,
    )
    headings = [
        *row,
        "baseline_mask_second_session",
    ]

    (patient,) = read_table(tables.csv(row, headings=headings)).patients

    assert patient.repeated_masks == {"inter": tables.folder / "p1/again.nii.gz"}
    assert patient.flag("hypodensity_second_reader") is False
    assert patient.flag("hypodensity_second_session") is True
    assert patient.flag("swirl_sign_second_reader") is None


def test_masks_and_markers_of_any_reader_and_session_are_read(tables):
    row = tables.row(
        baseline_mask_third_reader="p1/third.nii.gz",
        baseline_mask_third_session="p1/later.nii.gz",
        baseline_mask_second_reader_second_session="p1/again.nii.gz",
        hypodensity_third_reader=0,
        swirl_sign_12th_reader_second_session=1,
    )

    (patient,) = read_table(tables.csv(row, headings=list(row))).patients

    assert list(patient.repeated_masks) == ["reader1-session3", "reader2-session2", "reader3-session1"]
    assert patient.repeated_masks["reader3-session1"] == tables.folder / "p1/third.nii.gz"
    assert patient.flag("hypodensity_third_reader") is False
    assert patient.flag("swirl_sign_12th_reader_second_session") is True
    assert patient.flag("swirl_sign_third_reader") is None


def test_a_third_reading_is_checked_like_the_first(tables):
    row = tables.row(baseline_mask_third_reader="../elsewhere.nii.gz", swirl_sign_third_reader=2)

    with pytest.raises(CohortError) as refusal:
        read_table(tables.csv(row, headings=list(row)))

    assert "leads out of the site's folder" in str(refusal.value)
    assert "'swirl_sign_third_reader'" in str(refusal.value)


def test_every_reading_has_a_name_and_columns_of_its_own():
    names = [name_reading(reader, session) for reader in range(1, MOST + 1) for session in range(1, MOST + 1)]

    assert len(set(names)) == MOST**2
    for name in names[1:]:
        assert name_reading(*place_of_reading(name)) == name
        for column in (MASK_COLUMN, *MARKERS):
            assert find_reading(column_of_reading(column, name)) == (column, name)
    assert [column_of_reading(MASK_COLUMN, name) for name in ("first", *READINGS)] == [
        "baseline_mask",
        "baseline_mask_second_session",
        "baseline_mask_second_reader",
    ]


@pytest.mark.parametrize("name", ["reader2-session1", "reader1-session1", "reader21-session1", "third", ""])
def test_each_reading_has_one_name(name):
    with pytest.raises(ValueError, match="is no reading"):
        place_of_reading(name)


@pytest.mark.parametrize("column", ["hypodensity", "hypodensity_first_reader", "age_second_reader", "sex"])
def test_other_columns_hold_no_reading(column):
    assert find_reading(column) is None


def test_a_second_reading_is_checked_like_the_first(tables):
    row = tables.row(baseline_mask_second_reader="../elsewhere.nii.gz", swirl_sign_second_reader=2)

    with pytest.raises(CohortError) as refusal:
        read_table(tables.csv(row, headings=list(row)))

    first, second = (str(finding) for finding in refusal.value.findings)
    assert "leads out of the site's folder" in first
    assert "'swirl_sign_second_reader'" in second
    assert "neither 0 nor 1" in second


def test_a_misspelt_reading_is_no_column_of_the_hospital_s_own(tables):
    row = tables.row(hypodensity_secondreader=1)

    with pytest.raises(CohortError, match="did you mean 'hypodensity_second_reader'"):
        read_table(tables.csv(row, headings=list(row)))
