"""`rhe-server plan check`: what somebody sees who writes a plan."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sites.commands import run_command
from sites.earlier import first_plan, write_logistic

from common.plan.sections import Phase
from server.planning.plan_words import PHASES

PLAN = """\
name = "A study"
seed = 1

[[sites]]
name = "north"
role = "train"

[[sites]]
name = "south"
role = "train"

[[sites]]
name = "west"
role = "external"

[[models]]
kind = "logistic"
name = "Clinical"
covariates = ["age", "independent"]

[[models]]
kind = "scores"
name = "Vendor X"
column = "vendor_x"
"""


def check(path, *arguments):
    return run_command("rhe-server", "plan", "check", path, *arguments)


@pytest.fixture
def plan(tmp_path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def test_a_valid_plan_is_explained(plan):
    done = check(plan)
    assert done.returncode == 0, done.stderr
    for said in (
        "the plan is valid",
        "- north: its patients train and test models",
        "- west: its patients only test models",
        "- clinical: sex, age, alcohol",
        "- declared by the plan: vendor_x",
        "- follow-up: followup_mask with followup_ct, or followup_ich_volume_ml",
        "- rHE: ICH grows by 6 mL or by 33 %, IVH grows by 1 mL, or IVH appears",
        "- Clinical: logistic regression on variables of the cohort table, of age, the variables that",
        "- Vendor X (in files: Vendor-X): score in the cohort table, vendor_x, from 0 to 1, the risk",
        "- federated (trained over the sites, which exchange sums and weights): patients of north, south",
        "- local-north (trained at one site alone): patients of north train Clinical; tested beyond",
        "- a number of patients is shown if it is 0 or at least 5",
        "What leaves a site whose patients train, as north:",
        "What leaves a site that only tests, as west:",
        "  - regressions of 26 variables",
        "What never leaves a site:",
        f"then: rhe-server init FOLDER --plan {plan}",
    ):
        assert said in done.stdout
    assert done.stdout.index("cohort: the patients'") < done.stdout.index("evaluation: every model")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("gcs", "gcs, from 3 to 15, the risk falls with it\n"),
        ("gsc", 'the risk falls with it; hospitals add this column for it alone (or is "gcs" meant?)\n'),
        ("vendor_risk", "the risk falls with it; hospitals add this column for it alone\n"),
    ],
)
def test_a_score_whose_column_nobody_declares_is_told(plan, column, said):
    gcs = '[[variables]]\nname = "gcs"\nkind = "count"\nrange = [3, 15]\n'
    score = f'[[models]]\nkind = "scores"\nname = "GCS"\ncolumn = "{column}"\nrisk = "falls"\n'
    plan.write_text(f"{PLAN}\n{gcs}{score}", encoding="utf-8")
    told = check(plan).stdout

    assert said in told
    assert f"try it on simulated patients: rhe-simulate centres --plan {plan} --out FOLDER" in told


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("", "what the LASSO selects among 851 features that rhe computes of every lesion's CT and mask"),
        (
            '[[variables]]\nname = "rad_a"\nkind = "count"\nrange = [0, 9]\nrole = "radiomics"\n',
            "what the LASSO selects among rad_a",
        ),
    ],
)
def test_it_is_told_among_what_the_lasso_selects(plan, own, said):
    model = '[[models]]\nkind = "logistic"\nname = "R"\ncovariates = ["age", "radiomics"]\n'
    plan.write_text(f"{PLAN}\n{own}{model}", encoding="utf-8")

    assert f"of age, {said}" in check(plan).stdout


def test_all_faults_are_told_at_once_with_what_was_meant(plan):
    text = PLAN.replace("seed = 1", 'sede = 1\nphases = ["cohrt"]').replace('"train"', '"training"', 1)
    plan.write_text(text.replace('"age"', '"agee"'), encoding="utf-8")
    done = check(plan)
    assert done.returncode == 10
    assert done.stdout == ""
    *lines, pointer = done.stderr.splitlines()
    assert pointer.startswith("every key, with default, meaning and source: docs/plan-reference.md")
    for line, said in zip(
        lines,
        (
            "study.toml:1: seed: is missing -> add it (seed is: Seed from which all randomness derives)",
            'study.toml:2: sede: unknown key -> did you mean "seed"?',
            'study.toml:3: phases.0: must be "agreement", "cohort"',
            'study.toml:7: sites.0.role: must be "train" or "external" -> did you mean "train"? (of',
            'study.toml:20: models.0.covariates: agee: no such covariate -> did you mean "age"? Choose among',
        ),
        strict=True,
    ):
        assert said in line


def test_all_contradictions_are_told_at_once(plan):
    text = PLAN.replace('"west"', '"North"').replace("seed = 1", 'seed = 1\nphases = ["evaluation"]')
    plan.write_text(f'{text}\n[evaluation]\nreference_model = "Clinicl"\n', encoding="utf-8")
    said = check(plan).stderr
    assert "two sites have the same name" in said
    assert 'evaluation and explanation need the models of training -> add "training" to phases' in said
    assert "reference_model 'Clinicl' is none of the models -> did you mean \"Clinical\"?" in said


def test_models_are_told_by_their_names(plan):
    plan.write_text(PLAN.replace('kind = "logistic"', 'kind = "logistics"', 1), encoding="utf-8")
    said = check(plan).stderr
    assert 'or "card", not "logistics" -> did you mean "logistic"? (of ' in said


def test_json_tells_the_same(plan):
    told = json.loads(check(plan, "--json").stdout)
    assert told["valid"]
    assert told["arms"]["federated"] == ["north", "south"]
    assert told["faults"] == []

    plan.write_text(PLAN.replace("seed = 1", ""), encoding="utf-8")
    done = check(plan, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 10
    assert not told["valid"]
    assert "seed: is missing" in told["faults"][0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file -> check the path"),
        (b"", "is empty -> begin with an example"),
        (
            "name = 'x'".encode("utf-16"),
            "is not UTF-8 text -> give a TOML file, saved as UTF-8 (this is UTF-16)",
        ),
        (b"name = study", "not valid TOML: 'name = study'"),
    ],
)
def test_a_file_that_is_no_plan_is_told_in_one_line(tmp_path, content, said):
    path = tmp_path / "study.toml"
    if content is not None:
        path.write_bytes(content)
    done = check(path)
    assert done.returncode == 10
    assert done.stderr.count("\n") == 2
    assert said in done.stderr


def test_a_folder_is_no_plan(tmp_path):
    assert "cannot be read (Is a directory)" in check(tmp_path).stderr


SLOW = {"torch", "monai", "pandas", "scipy", "SimpleITK", "flwr", "matplotlib"}


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("server.cli", ["plan", "check"]),
        ("server.cli", ["init", "office", "--host", "x", "--plan"]),
        ("simulations.cli", ["run", "--site", "north=x", "--out", "x", "--plan"]),
    ],
)
def test_a_faulty_plan_is_told_before_a_slow_library_is_loaded(plan, module, arguments):
    plan.write_text(PLAN.replace("seed", "sede"), encoding="utf-8")
    assert load_after(plan, module, arguments).isdisjoint(SLOW)


def test_a_valid_plan_is_explained_without_a_slow_library(plan):
    assert load_after(plan, "server.cli", ["plan", "check"]).isdisjoint(SLOW)


def load_after(plan, module, arguments):
    """The modules that a command has loaded at its end."""
    run = "try:\n    program.app(sys.argv[1:])\nfinally:\n    print(*sys.modules)"
    code = f"import sys, {module} as program\n{run}"
    command = [sys.executable, "-c", code, *arguments, plan]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=plan.parent)
    assert ran.returncode in {0, 10}, ran.stderr
    return set(ran.stdout.splitlines()[-1].split())


def test_every_phase_is_explained():
    assert list(PHASES) == list(Phase.__args__)


def test_a_plan_with_the_section_that_is_printed_of_a_model_is_valid_and_fits(tmp_path):
    path = write_logistic(tmp_path, first_plan())
    section = run_command("rhe-server", "plan", "card", str(path)).stdout
    plan = tmp_path / "study.toml"
    sites = '[[sites]]\nname = "new"\nrole = "external"\n'
    plan.write_text(f'name = "New"\nseed = 1\nphases = ["evaluation"]\n{sites}{section}')

    checked = run_command("rhe-server", "plan", "check", str(plan))
    fitting = run_command("rhe-server", "plan", "card", str(path), "--plan", str(plan))

    assert "a logistic regression of age, ivh, location, trained by old1, old2" in checked.stdout
    assert fitting.stdout.endswith("# the plan 'New' names it as Clinical, and fits it\n")

    plan.write_text(plan.read_text().replace("seed = 1", 'seed = 1\ncohort.outcome.endpoint = "cHE"'))
    said = run_command("rhe-server", "plan", "card", str(path), "--plan", str(plan))
    assert 'it predicts rHE, not cHE -> cohort.outcome = {"endpoint": "rHE"}' in said.stderr
