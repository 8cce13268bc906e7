from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.cohort.eligibility import CRITERIA, apply_exclusions
from common.cohort.table import read_table

INELIGIBLE = {
    "age": 17.9,
    "onset_to_ct_h": 24.1,
    "ct_to_followup_h": 72.1,
    "primary_ivh": 1,
    "prior_surgery": 1,
    "artefacts": 1,
}
ON_THE_BOUND = {"age": 18, "onset_to_ct_h": 24, "ct_to_followup_h": 72}


def flow_of(tables, *rows):
    return apply_exclusions(read_table(tables.csv(*rows)))


def test_the_papers_criteria_in_its_order():
    assert [criterion.variable for criterion in CRITERIA] == list(INELIGIBLE)


@pytest.mark.parametrize("column", INELIGIBLE)
def test_each_criterion_excludes(tables, column):
    # a primary IVH has no ICH volume, or the table would contradict itself
    row = tables.row(**{column: INELIGIBLE[column]}, ich_volume_ml=None)

    flow = flow_of(tables, row, tables.row(patient="kept"))

    assert flow.excluded == tuple(int(criterion.variable == column) for criterion in CRITERIA)
    assert [patient.identifier for patient in flow.included] == ["kept"]
    assert flow.screened == 2


@pytest.mark.parametrize("column", ON_THE_BOUND)
def test_the_bound_is_eligible(tables, column):
    assert len(flow_of(tables, tables.row(**{column: ON_THE_BOUND[column]})).included) == 1


def test_a_patient_counts_once_under_the_first_reason(tables):
    columns = list(INELIGIBLE)
    rows = [
        tables.row(patient=f"p{i}", ich_volume_ml=None) | {c: INELIGIBLE[c] for c in columns[i:]}
        for i in range(6)
    ]

    flow = flow_of(tables, *rows)

    assert flow.excluded == (1, 1, 1, 1, 1, 1)
    assert [exclusion.patients[0].identifier for exclusion in flow.exclusions] == [f"p{i}" for i in range(6)]
    assert flow.included == ()


def test_a_blank_leaves_a_patient_undecided_unless_another_criterion_fails(tables):
    flow = flow_of(
        tables,
        tables.row(patient="unknown", age=None, artefacts=None),
        tables.row(patient="child or not", age=None, artefacts=1),
        tables.row(patient="fine"),
    )

    assert [(u.patient.identifier, u.missing) for u in flow.undecided] == [("unknown", ("age", "artefacts"))]
    assert flow.excluded == (0, 0, 0, 0, 0, 1)
    assert [patient.identifier for patient in flow.included] == ["fine"]


def test_a_rejected_row_is_screened_and_nowhere_else(tables):
    rows = tables.row(), tables.row(patient="old", age="x"), tables.row(patient="child", age=8)
    flow = flow_of(tables, *rows)

    assert (flow.screened, sum(flow.excluded), len(flow.included), len(flow.undecided)) == (3, 1, 1, 0)
    assert [row.identifier for row in flow.rejected] == ["old"]


ANY = st.fixed_dictionaries(
    {
        column: st.sampled_from([None, value, ON_THE_BOUND.get(column, 0)])
        for column, value in INELIGIBLE.items()
    }
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(ANY, min_size=1, max_size=8))
def test_everybody_is_somewhere_once(tables, changes):
    rows = [tables.row(patient=f"p{i}", ich_volume_ml=None) | change for i, change in enumerate(changes)]

    flow = flow_of(tables, *rows)

    everybody = (
        [patient.identifier for exclusion in flow.exclusions for patient in exclusion.patients]
        + [undecided.patient.identifier for undecided in flow.undecided]
        + [patient.identifier for patient in flow.included]
    )
    assert sorted(everybody) == sorted(row["patient"] for row in rows)
    assert flow.screened == len(rows) == sum(flow.excluded) + len(flow.undecided) + len(flow.included)
    fates = [
        "out" if any(change[c] == INELIGIBLE[c] for c in change) else "?" if None in change.values() else "in"
        for change in changes
    ]
    included, unknown = ([i for i, fate in enumerate(fates) if fate == of] for of in ("in", "?"))
    assert [patient.row - 2 for patient in flow.included] == included
    assert [one.patient.row - 2 for one in flow.undecided] == unknown
