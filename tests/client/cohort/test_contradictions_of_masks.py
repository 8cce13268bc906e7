"""Flags of the table held against the mask of the baseline CT."""

from __future__ import annotations

import pytest

from client.cohort.contradictions_of_masks import find_contradicted_flags
from common.cohort.outcome import Volumes
from common.cohort.patient import Patient
from common.errors import Level


def find(measured: Volumes, **values: float) -> list[str]:
    patient = Patient("P1", 2, None, None, None, None, values)
    findings = list(find_contradicted_flags("cohort.csv, row 2", patient, measured))
    assert all(finding.level is Level.LOOK and finding.where == "cohort.csv, row 2" for finding in findings)
    return [finding.what for finding in findings]


@pytest.mark.parametrize(
    ("measured", "values", "what"),
    [
        (Volumes(20, 3.14159), {"ivh": 0.0}, "ivh is no in the table, the mask marks 3.14 ml of IVH"),
        (Volumes(20, 0), {"ivh": 1.0}, "ivh is yes in the table, the mask marks no IVH"),
        (
            Volumes(20, 9),
            {"primary_ivh": 1.0},
            "primary_ivh is yes in the table, the mask marks 20.00 ml of ICH",
        ),
        (Volumes(0, 9), {"primary_ivh": 0.0}, "primary_ivh is no in the table, the mask marks no ICH"),
    ],
)
def test_a_flag_that_the_mask_contradicts_is_to_be_looked_at(measured, values, what):
    assert find(measured, **values) == [what]


def test_what_agrees_or_is_blank_contradicts_nothing():
    assert find(Volumes(20, 0)) == []
    assert find(Volumes(20, 0), ivh=0.0, primary_ivh=0.0) == []
    assert find(Volumes(0, 5), ivh=1.0, primary_ivh=1.0) == []
