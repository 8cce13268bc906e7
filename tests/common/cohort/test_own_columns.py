"""A table with columns that a plan declares: each cell is one of the variable's values, or a finding."""

import pytest

from common.cohort.columns import WantedColumns
from common.cohort.eligibility import Bounds, Criterion, apply_exclusions
from common.cohort.table import read_faulty_table, read_table
from common.cohort.variable import Range, Variable
from common.errors import CohortError

OWN = (
    Variable("gcs", "continuous", "own", "GCS", "Coma scale", possible=Range(3, 15), whole=True),
    Variable("cause", "categorical", "own", "Cause", "Why it bled", levels=("hypertensive", "CAA", "2")),
    Variable("spot", "binary", "own", "Spot sign", "On CTA"),
)
WANTED = WantedColumns(images=False, own=OWN, needed=frozenset({"age"}))


@pytest.fixture
def read(tmp_path):
    def read_cells(*rows, heading="patient,age,gcs,cause,spot"):
        path = tmp_path / "cohort.csv"
        path.write_text("\n".join([heading, *rows]) + "\n")
        return read_faulty_table(path, wanted=WANTED)

    return read_cells


def test_own_values_are_read_by_their_kind(read):
    first, second = read("P1,60,14,caa,1", "P2,61,,2,").patients

    assert (first.number("gcs"), first.level("cause"), first.flag("spot")) == (14, "CAA", True)
    assert (second.number("gcs"), second.level("cause"), second.flag("spot")) == (None, "2", None)
    assert first.score("gcs") == 14
    with pytest.raises(KeyError, match="no binary variable 'gcs'"):
        first.flag("gcs")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("2,caa,1", "column 'gcs' (C): 2 is impossible (possible: a whole number, 3 to 15)"),
        ("14.5,caa,1", "column 'gcs' (C): 14.5 is no whole number"),
        ("14,cao,1", "column 'cause' (D): 'cao' is none of: hypertensive, CAA, 2 -> did you mean 'CAA'?"),
        ("14,CAA,2", "column 'spot' (E): 2 is neither 0 nor 1"),
    ],
)
def test_a_cell_outside_its_variable_refuses_its_row(read, cells, said):
    table = read("P1,60,14,CAA,1", f"P2,61,{cells}", "P3,62,13,CAA,0")

    assert [patient.identifier for patient in table.patients] == ["P1", "P3"]
    (finding,) = table.rejected[0].findings
    assert said in str(finding)


def test_own_columns_must_be_there_and_of_the_paper_s_only_those_that_the_plan_names(read):
    stops = "\n".join(map(str, read("P1,60,14", heading="patient,age,GCS").stops))

    assert "column 'cause' is missing: Why it bled" in stops
    assert "column 'spot' is missing" in stops
    assert "did you mean 'gcs'?" in stops
    assert "smoking" not in stops
    assert "age" not in stops


def test_without_a_list_the_paper_s_columns_are_needed(tmp_path):
    path = tmp_path / "cohort.csv"
    path.write_text("patient,age,gcs,cause,spot\nP1,60,14,CAA,1\n")

    with pytest.raises(CohortError, match="column 'smoking' is missing"):
        read_table(path, wanted=WantedColumns(images=False, own=OWN))


def test_rules_of_a_plan_exclude_by_numbers_and_levels(read):
    table = read("P1,60,14,CAA,1", "P2,61,3,CAA,1", "P3,62,13,2,0", "P4,63,13,,0", "P5,17,3,2,0")
    criteria = (
        Criterion("age", "Young", "age", Bounds(below=18)),
        Criterion("coma", "Coma", "gcs", Bounds(below=4)),
        Criterion("cause", "Secondary", "cause", Bounds(among=frozenset({"2"}))),
    )

    flow = apply_exclusions(table, criteria)

    assert flow.excluded == (1, 1, 1)
    assert [patient.identifier for patient in flow.included] == ["P1"]
    assert [(one.patient.identifier, one.missing) for one in flow.undecided] == [("P4", ("cause",))]
