"""Columns of repeated readings: optional, checked like the first, and no part of Table 1."""

from __future__ import annotations

import pytest

from common.cohort.repeated_readings import MARKERS, MASK_COLUMN, READINGS, column_of_reading
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
