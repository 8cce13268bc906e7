"""A plan with variables, eligibility and an outcome of its own: from files, the numbers of R and pROC."""

import csv
import json
import re
from functools import cache
from pathlib import Path

import pytest
from rich.progress import Progress

from common.plan.study import load_plan
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parents[2] / "reference/own"
CENTRES = {1: "a", 2: "ab", 3: "abc", 5: "abcde"}
HIDDEN = (2,)
"""Over so many sites sums are masked; over the others they are open, which is faster."""


@cache
def read_expected():
    with (REFERENCE / "expected.csv").open(newline="") as file:
        return {row["name"]: float(row["value"]) for row in csv.DictReader(file)}


def write_files(root, number):
    """A plan and a folder a site, as people write them."""
    names = CENTRES[number]
    sites = [f'[[sites]]\nname = "{name}"\nrole = "train"\nmodel_release = true\n' for name in names]
    privacy = f"[privacy]\nsecure = {str(number in HIDDEN).lower()}\n"
    plan = root / "study.toml"
    plan.write_text("\n".join([(REFERENCE / "study.toml").read_text(), privacy, *sites]))
    heading, *rows = (REFERENCE / "patients.csv").read_text().splitlines()
    for place, name in enumerate(names):
        folder = root / name
        folder.mkdir()
        (folder / "cohort.csv").write_text("\n".join([heading, *rows[place::number]]) + "\n")
        (folder / "site.toml").write_text(
            f'name = "{name}"\ntable = "cohort.csv"\nsynthetic = true\ndevice = "cpu"\n'
            '[policy]\nprofiles = ["simulation"]\nmodel_release = true\n'
        )
        (folder / "SYNTHETIC.json").write_text(json.dumps({"made_by": "tests"}))
    return plan, {name: root / name for name in names}


@pytest.fixture(scope="module", params=CENTRES)
def study(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    path, folders = write_files(root, request.param)
    plan = load_plan(path)
    run = StudyRun(plan, root / "out", derive_simulated_key(plan))
    return run_in_process(run, folders, Progress(disable=True)), root / "out"


@pytest.fixture(scope="module")
def results(study):
    return study[0]


def expect(association, name):
    """That odds ratio, limits and p are R's."""
    expected, ratio = read_expected(), association.odds_ratio
    assert ratio.value == pytest.approx(expected[f"{name}.or"], rel=1e-8)
    assert (ratio.low, ratio.high) == pytest.approx(
        (expected[f"{name}.low"], expected[f"{name}.high"]), rel=1e-8
    )
    assert association.p_value == pytest.approx(expected[f"{name}.p"], rel=1e-8)


def test_table_2_is_r_s(results):
    table, expected = results.regression, read_expected()
    alone = [row for row in table.rows if not row.reference]
    assert [f"{row.variable}{row.level}" for row in alone] == [
        *("age", "gcs", "nihss", "glucose", "platelets", "spot_sign", "etiologyCAA", "etiologyother")
    ]
    for row in alone:
        expect(row.univariate, f"univariate.{row.variable}{row.level}")
        if row.multivariable is not None:
            expect(row.multivariable, f"multivariable.{row.variable}{row.level}")
    together = {name.split(".")[1] for name in expected if name.startswith("multivariable")} - {"(Intercept)"}
    assert {f"{row.variable}{row.level}" for row in alone if row.multivariable} == together
    labels = {row.variable: (row.label, row.unit) for row in table.rows}
    assert labels["gcs"] == ("Glasgow Coma Scale", "point")


def test_models_of_own_variables_are_r_s(results):
    """Of the joint training; where there is one site, of that site alone."""
    fitted = {fit.model: fit for fit in results.fitted if fit.kind == "federated" or len(results.sites) == 1}
    for row in fitted["Clinical"].rows:
        if not row.reference:
            expect(row.multivariable, f"clinical.{row.variable}{row.level}")
    assert [row.variable for row in fitted["Radiomics"].rows] == ["gcs", "rad_1", "rad_2"]
    for row in fitted["Radiomics"].rows:
        expect(row.multivariable, f"radiomics.{row.variable}")


@pytest.mark.parametrize("part", ["test", "whole"])
def test_aucs_are_proc_s(results, part):
    expected, everybody = read_expected(), tuple(site.name for site in results.sites)
    cells = {
        cell.model: cell
        for cell in results.evaluation
        if (cell.cohort_sites, cell.part) == (everybody, part)
        and (cell.kind in {"given", "federated"} or len(everybody) == 1)
    }
    names = [name.removesuffix(".auc") for name in expected if name.endswith(".auc")]
    wanted = [name for name in names if name.startswith(part) and name.count(".") == 1]
    assert wanted
    for name in wanted:
        auc = cells[name.removeprefix(f"{part}.")].auc
        found = (auc.value, auc.low, auc.high)
        assert found == pytest.approx(
            tuple(expected[f"{name}.{end}"] for end in ("auc", "low", "high")), abs=1e-12
        )


def test_subgroups_are_proc_s(results):
    expected, everybody = read_expected(), tuple(site.name for site in results.sites)
    found = {
        group.level: group.auc.value
        for group in results.subgroups
        if (group.model, group.cohort_sites, group.part) == ("GCS", everybody, "test")
    }
    assert found == pytest.approx(
        {level: expected[f"test.GCS.spot_sign.{number}.auc"] for number, level in enumerate(("no", "yes"))},
        abs=1e-12,
    )


def test_table_1_and_the_flow_chart_are_of_the_plan_s_own(results):
    expected, last = read_expected(), results.flow[-1]
    assert last.included == expected["included"]
    assert {name for reason in last.excluded for name in reason.reasons} >= {"Age < 18 years", "GCS below 4"}
    whole = [row for row in results.cohort if row.part == "whole" and (row.site is None or len(CENTRES) == 1)]
    whole = whole or [row for row in results.cohort if row.part == "whole"]
    assert list(dict.fromkeys(row.label for row in whole)) == [
        *("Age", "Glasgow Coma Scale", "NIHSS", "Glucose", "Platelets", "Spot sign", "Etiology")
    ]
    rows = {(row.label, row.level): row for row in whole}
    assert rows["Spot sign", ""].positive.patients == expected["described.spot_sign.1"]
    assert rows["Etiology", "CAA"].positive.patients == expected["described.CAA.1"]
    assert rows["Etiology", "hypertensive"].p_value == pytest.approx(
        expected["described.etiology.p"], rel=1e-8
    )


def test_nothing_is_said_of_images_or_of_features_that_are_none(results):
    assert not [note for note in results.notes if "kept none" in note or "volume" in note]


def test_the_page_and_the_tables_name_the_plan_s_outcome_and_no_other(study):
    results, out = study
    page = re.sub("<[^>]+>", " ", (out / "report.html").read_text())
    flow = (out / "tables/flow.csv").read_text()

    assert results.study.endpoint == "Poor outcome"
    assert results.study.outcome_meaning in page
    assert "Poor outcome / no Poor outcome" in page
    assert "with Poor outcome" in flow
    assert not re.search("rHE|expansion", f"{page} {flow}")
