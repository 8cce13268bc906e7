"""Columns of the BRAIN score that are blank for everybody are found where a plan takes the score."""

from __future__ import annotations

import pytest
from sites.plans import plan_of
from sites.tables import read_cohort, table_only_hospital, write_cohort

from client.cohort.check import check_site
from common.errors import Level


@pytest.fixture
def folder(tmp_path):
    return table_only_hospital(tmp_path / "north", "north", 30)


@pytest.fixture
def found(folder, progress):
    """The notes for a plan with one logistic model, after these columns were blanked."""

    def check(*covariates, blank=(), **cohort):
        write_cohort(folder, [row | dict.fromkeys(blank, "") for row in read_cohort(folder)])
        model = {"kind": "logistic", "name": "M", "covariates": list(covariates)}
        plan = plan_of({"north": "train", "south": "train"}, model, cohort=cohort)
        checkup = check_site(folder, progress, pixels=False, plan=plan)
        return [str(note) for note in checkup.notes if note.level is Level.LOOK]

    return check


@pytest.mark.parametrize(
    ("brain_a", "blank", "told"),
    [
        ("warfarin", ("warfarin",), ["column 'warfarin'"]),
        ("warfarin", ("anticoagulation",), []),
        ("anticoagulation", ("warfarin",), []),
        ("anticoagulation", ("anticoagulation",), ["column 'anticoagulation'"]),
        ("warfarin", ("recurrent_ich", "ivh"), ["column 'recurrent_ich'", "column 'ivh'"]),
        ("warfarin", ("sex", "smoking"), []),
    ],
)
def test_a_column_that_is_blank_for_all_is_found(found, brain_a, blank, told):
    findings = found("brain_score", blank=blank, brain_a=brain_a)

    assert [finding.partition(": ")[0] for finding in findings] == [
        f"cohort.csv, {column}" for column in told
    ]
    assert all("blank for all 30 patients" in finding for finding in findings)


def test_a_blank_a_points_at_one_definition_for_all(found):
    (finding,) = found("brain_score", blank=("warfarin",))

    assert finding.endswith(
        "It is A by cohort.brain_a = 'warfarin'; if no hospital can fill it in, agree on a plan with "
        "'anticoagulation': one definition for all"
    )


def test_a_column_that_the_table_lacks_is_blank_and_one_filled_cell_is_enough(folder, found):
    rows = read_cohort(folder)
    write_cohort(folder, [{name: row[name] for name in row if name != "recurrent_ich"} for row in rows])
    (finding,) = found("brain_score")
    assert "column 'recurrent_ich'" in finding

    write_cohort(
        folder, [row | {"warfarin": row["warfarin"] if n == 3 else ""} for n, row in enumerate(rows)]
    )
    assert found("brain_score") == []


@pytest.mark.parametrize("covariates", [("age",), ("age", "independent")])
def test_plans_without_the_score_need_none_of_its_columns(found, covariates):
    assert found(*covariates, blank=("warfarin", "recurrent_ich")) == []
