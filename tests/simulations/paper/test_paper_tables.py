import contextlib
import csv
import doctest
import io
import re
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from rich.console import Console
from rich.progress import Progress
from scipy import stats
from sklearn.metrics import confusion_matrix, roc_auc_score
from studies.page import leave_pictures_empty

from common.cohort.schema import TABLE_ONE
from common.errors import SiteError
from common.plan.study import load_plan
from common.stats.estimate import Estimate
from server.results.cohort import CohortRow, VariableDescription
from server.results.evaluation import Cell
from server.results.file import Results, load_results
from server.results.regression import Association, RegressionRow, RegressionTable
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key
from simulations.cli import paper_tables
from simulations.paper.against_print import Verdict, compare_cells, failures_of, write_comparison
from simulations.paper.computed import plan_name_of
from simulations.paper.facts import COHORTS, Facts, read_facts
from simulations.paper.paper_study import PAPER_PLAN, reproduce_paper
from simulations.paper.printed_values import CellName, Claim, PaperCell, read_errata, read_paper_cells
from simulations.paper.sampled_cohorts import SITES, build_site_tables
from simulations.paper.sampled_patients import score_column_of
from simulations.paper.table_files import build_tables, write_remarks
from simulations.paper.tally import summarize_cells

REFERENCE = Path(__file__).parents[2] / "reference/paper"
SHIPPED = Path(sys.modules["simulations.paper.facts"].__file__).parent
PARTS = {"training": "train", "internal": "test", "external": "whole"}


def pooled(facts: Facts) -> Results:
    """What scipy and scikit-learn make of all rows in one place."""
    rows = pd.concat(build_site_tables(facts, 7).values(), ignore_index=True)
    bled = rows["followup_ivh_volume_ml"] > rows["ivh_volume_ml"]
    growth = rows["followup_ich_volume_ml"] - rows["ich_volume_ml"]
    rows["rhe"] = (bled | (growth > 5.9) | (growth > 0.32 * rows["ich_volume_ml"])).astype(int)
    rows["cohort"] = rows["split"].map({"train": "training", "test": "internal"}).fillna("external")
    return Results.model_construct(
        cohort=tuple(
            line
            for cohort in COHORTS
            for variable in TABLE_ONE
            for line in described(rows[rows["cohort"] == cohort], variable, cohort)
        ),
        regression=RegressionTable(
            cohort_sites=SITES["training"],
            rows=tuple(
                line
                for variable in TABLE_ONE
                for line in regressed(rows[rows["cohort"] == "training"], variable)
            ),
            entry_p=0.05,
            entered=(),
        ),
        evaluation=tuple(
            judged(rows[rows["cohort"] == cohort], model, cohort)
            for model in facts.models
            for cohort in COHORTS
        ),
    )


def described(rows, variable, cohort):
    groups = [rows.loc[rows["rhe"] == outcome, variable.name] for outcome in (0, 1)]
    where = {"site": None, "part": cohort, "label": variable.label}
    if variable.kind == "continuous":
        p = stats.ttest_ind(*groups).pvalue
        yield CohortRow(**where, negative=summary(groups[0]), positive=summary(groups[1]), p_value=p)
        return
    table = pd.crosstab(rows[variable.name], rows["rhe"])
    expected = stats.contingency.expected_freq(table)
    p = stats.chi2_contingency(table, correction=expected.min() < 5 and table.shape == (2, 2)).pvalue
    if expected.min() < 1:
        p = stats.fisher_exact(table).pvalue
    levels = {"sex": ("male",), "location": variable.levels}.get(variable.name, (1,))
    for place, level in enumerate(levels):
        negative, positive = (
            VariableDescription(patients=(group == level).sum(), percent=100 * (group == level).mean())
            for group in groups
        )
        of_level = {"level": level if isinstance(level, str) else "", "p_value": None if place else p}
        yield CohortRow(**where, **of_level, negative=negative, positive=positive)


def summary(values):
    first, median, third = np.quantile(values, (0.25, 0.5, 0.75), method="weibull")
    mean, sd = values.mean(), values.std()
    return VariableDescription(mean=mean, sd=sd, first_quartile=first, median=median, third_quartile=third)


def regressed(rows, variable):
    """Wald's interval of a saturated model, which a table of two by two gives in closed form (Woolf 1955)."""
    if variable.kind == "continuous":
        return
    levels = variable.levels or (0, 1)
    table = pd.crosstab(rows[variable.name], rows["rhe"]).loc[list(levels)].to_numpy()
    where = {"variable": variable.name, "label": variable.label}
    named = len(levels) > 2
    if named:
        yield RegressionRow(**where, level=levels[0], reference=True)
    for place in range(1, len(levels)):
        (a, b), (c, d) = table[[0, place]]
        error = np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
        beta = np.log(d * a / (c * b))
        low, value, high = np.exp(beta + error * stats.norm.ppf([0.025, 0.5, 0.975]))
        effect = Association(
            odds_ratio=Estimate(value=value, low=low, high=high), p_value=2 * stats.norm.sf(abs(beta / error))
        )
        yield RegressionRow(**where, level=levels[place] if named else "", univariate=effect)


def judged(rows, model, cohort):
    scores = rows[score_column_of(model)]
    (tn, fp), (fn, tp) = confusion_matrix(rows["rhe"], scores >= 0.5)
    n, auc = len(rows), roc_auc_score(rows["rhe"], scores)
    low, high = (
        stats.beta.ppf(q, auc * n + extra, n - auc * n + 1 - extra) for q, extra in ((0.025, 0), (0.975, 1))
    )
    metrics = {
        "accuracy": (tp + tn) / n,
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "ppv": tp / (tp + fp),
        "npv": tn / (tn + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
    }
    return Cell.model_construct(
        model=plan_name_of(model),
        cohort_sites=SITES[cohort],
        part=PARTS[cohort],
        auc=Estimate(value=auc, low=low, high=high),
        **{name: Estimate(value=value) for name, value in metrics.items()},
    )


def recounted(facts, cohort, rhe, sign, by):
    """The facts with so many patients more who have a binary variable."""
    group = facts.groups[cohort, rhe]
    counts = {**group.counts, (sign, ""): group.counts[sign, ""] + by}
    return replace(facts, groups={**facts.groups, (cohort, rhe): replace(group, counts=counts)})


@pytest.fixture(scope="module")
def of_pooled():
    return pooled(read_facts())


def test_rows_in_one_place_reproduce_everything_but_the_errata(of_pooled):
    cells = compare_cells(of_pooled)

    assert failures_of(cells) == ()
    errata = {cell.printed.name for cell in cells if cell.erratum is not None}
    assert errata == set(read_errata())
    (finer,) = [cell for cell in cells if cell.verdict is Verdict.FINER]
    assert finer.printed.text == "15.039"
    assert {cell.printed.name.cell for cell in cells if cell.erratum and cell.value is None} == {
        "multivariable_high"
    }


@pytest.mark.parametrize(
    ("change", "red"),
    [
        (("internal", True, "diabetes", 1), {(1, "Diabetes mellitus", "internal")}),
        (("external", False, "hypodensity", -1), {(1, "Hypodensity", "external")}),
        (
            ("training", True, "swirl_sign", 1),
            {(1, "Swirl sign", "training"), (2, "Swirl sign", "training")},
        ),
    ],
)
def test_one_patient_more_or_less_and_exactly_that_row_is_red(change, red):
    cells = compare_cells(pooled(recounted(read_facts(), *change)))

    names = [cell.printed.name for cell in failures_of(cells)]
    assert {(name.table, name.row, name.cohort) for name in names} == red
    assert {name.cell for name in names if name.table == 1} >= {"p"}
    shown = "\n".join(write_remarks(cells))
    assert all(f"MISMATCH: {name}" in shown for name in names)


def test_one_call_more_and_exactly_that_matrix_is_red():
    facts = read_facts()
    key = ("2D-ResNet-101", "external")
    ranking = facts.rankings[key]
    changed = replace(
        ranking, true_positive=ranking.true_positive + 1, false_negative=ranking.false_negative - 1
    )
    cells = compare_cells(pooled(replace(facts, rankings={**facts.rankings, key: changed})))

    names = [cell.printed.name for cell in failures_of(cells)]
    assert {(name.row, name.cohort) for name in names} == {key}
    assert {name.cell for name in names} == {"accuracy", "sensitivity", "ppv", "npv", "f1"}


def test_an_erratum_that_is_none_after_all_fails(of_pooled):
    rows = tuple(
        row.model_copy(update={"negative": row.negative.model_copy(update={"percent": 3.5})})
        if (row.label, row.level, row.part) == ("Location", "lobar", "internal")
        else row
        for row in of_pooled.cohort
    )
    cells = compare_cells(of_pooled.model_copy(update={"cohort": rows}))

    (failed,) = failures_of(cells)
    assert failed.verdict is Verdict.UNEXPECTED
    assert failed.printed.name == CellName(1, "Location", "lobar", "internal", "negative_percent")


def test_a_number_that_is_missing_is_no_number(of_pooled):
    cells = compare_cells(of_pooled.model_copy(update={"regression": None, "evaluation": (), "cohort": ()}))

    assert {cell.verdict for cell in cells if cell.printed.claim.checked} == {
        Verdict.MISMATCH,
        Verdict.ERRATUM,
        Verdict.FINER,
    }
    assert all(cell.value is None for cell in cells)


@pytest.mark.parametrize(
    ("cell", "text", "value", "same"),
    [
        ("p", "<0.001", 0.000999, True),
        ("p", "<0.001", 0.001, False),
        ("p", "0.190", 0.1905, True),
        ("p", "0.190", 0.19051, False),
        ("negative_percent", "8.8", 8.75, True),
        ("negative_percent", "8.7", 8.75, True),
        ("negative_count", "26", 26, True),
        ("negative_count", "26", 27, False),
        ("auc_low", "0.681", 0.6819, True),
        ("auc_low", "0.681", 0.6821, False),
        ("auc", "0.681", 0.6819, False),
        ("p", "0.190", None, False),
    ],
)
def test_at_the_printed_precision(cell, text, value, same):
    printed = PaperCell(CellName(1, "Age", "", "training", cell), text, Claim.COMPUTED)

    assert printed.agrees(value) is same


def test_what_is_shipped_is_made_from_the_transcriptions(tmp_path):
    runpy.run_path(str(REFERENCE / "make_facts.py"))["main"](tmp_path)

    for name in ("printed.csv", "wins.csv"):
        assert (tmp_path / name).read_bytes() == (SHIPPED / name).read_bytes()


def test_every_erratum_is_a_printed_cell():
    printed = {cell.name: cell.text for cell in read_paper_cells()}
    with (SHIPPED / "errata.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))

    assert len(rows) == len(read_errata()) == 17
    for row, name in zip(rows, read_errata(), strict=True):
        assert printed[name] == row["printed"]


def test_every_cell_is_written_and_shown(of_pooled, tmp_path):
    cells = compare_cells(of_pooled)
    write_comparison(cells, tmp_path / "comparison.csv")
    with (tmp_path / "comparison.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    out = io.StringIO()
    for table in build_tables(cells):
        Console(file=out, width=130).print(table)
    shown = " ".join(out.getvalue().split())

    assert len(written) == len(read_paper_cells()) == 914
    assert "Hypodensity 3.508 (2.232 to 5.513) <0.001 2.328 (1.270 to 4.267) 0.006" in shown
    assert "Admission DBP internal 99.7 (18.63) 95.61 (22.57) 0.240≠ erratum (contradicted)" in shown
    assert "INR external 1.01 (0.08) 1.03 (0.12) 0.056 ranks not printed" in shown


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command's output and folder."""
    out = tmp_path_factory.mktemp("paper") / "tables"
    with leave_pictures_empty(), contextlib.redirect_stdout(io.StringIO()) as text:
        paper_tables(out)
    return text.getvalue(), out


@pytest.mark.slow
def test_four_sites_that_share_only_sums_reproduce_the_paper(command):
    text, out = command

    assert "57/57 categorical p-values" in text
    assert "20/20 univariate odds ratios of binary variables and location with both limits and p" in text
    assert "33/36 + 3 errata AUC intervals" in text
    assert "209/216 + 7 errata metrics of 36 confusion matrices" in text
    assert "4/5 + 1 erratum p-values of means" in text
    assert "16 p-values of medians" in text
    assert "+ 1 finer than rhe medians with IQRs" in text
    assert "MISMATCH" not in text
    named = [
        line for line in text.splitlines() if re.match(r"(erratum|finer|not reproducible) ?.*: Table", line)
    ]
    assert len(named) == len(read_errata()) == 17
    for line, erratum in zip(named, read_errata().values(), strict=True):
        assert erratum.name.value in line.partition(": Table")[0]
        assert erratum.reason in line
    assert summarize_cells(compare_cells(load_results(out / "results.json"))) == tuple(
        line for line in text.splitlines() if line.startswith("Table ") and "," in line
    )


@pytest.mark.slow
def test_r_computes_the_same_from_the_rows_in_one_place(command):
    results = load_results(command[1] / "results.json")
    cohorts = {(row.label, row.part): row.p_value for row in results.cohort if row.p_value and not row.site}
    ratios = {(row.label, row.level): row.univariate for row in results.regression.rows}
    found = {
        "diabetes.training.p": cohorts["Diabetes mellitus", "training"],
        "location.training.p": cohorts["Location", "training"],
        "fluid_level.external.p": cohorts["Fluid level", "external"],
        "fluid_level.internal.p": cohorts["Fluid level", "internal"],
        "age.internal.p": cohorts["Age", "internal"],
    }
    sex = next(row.level for row in results.regression.rows if row.label == "Sex" and not row.reference)
    for name, key in (
        ("sex", ("Sex", sex)),
        ("hypodensity", ("Hypodensity", "")),
        ("deep", ("Location", "deep")),
    ):
        ratio = ratios[key].odds_ratio
        found |= {f"{name}.or": ratio.value, f"{name}.low": ratio.low, f"{name}.high": ratio.high}
        found[f"{name}.p"] = ratios[key].p_value
    with (REFERENCE / "pooled.csv").open(newline="", encoding="utf-8") as file:
        expected = {row["name"]: float(row["value"]) for row in csv.DictReader(file)}

    assert found == pytest.approx(expected, rel=1e-8)


def asks_of_cohorts_alone(earlier):
    """A study of whom the sites have, as it is; regressions and scores are those of the earlier run."""

    def run(request, sites, progress):
        plan = request.plan.model_copy(update={"phases": ("cohort",)})
        found = run_in_process(replace(request, plan=plan, key=derive_simulated_key(plan)), sites, progress)
        return earlier.model_copy(update={"cohort": found.cohort})

    return run


@pytest.mark.slow
def test_a_changed_count_in_an_earlier_run_s_folder_ends_the_command_with_an_error(
    command, tmp_path, monkeypatch
):
    out = tmp_path / "again"
    shutil.copytree(command[1], out)
    earlier = load_results(out / "results.json")
    changed = recounted(read_facts(), "internal", True, "smoking", 1)
    monkeypatch.setattr("simulations.paper.paper_study.read_facts", lambda: changed)
    monkeypatch.setattr("simulations.paper.paper_study.run_in_process", asks_of_cohorts_alone(earlier))

    with (
        leave_pictures_empty(),
        contextlib.redirect_stdout(io.StringIO()) as text,
        pytest.raises(typer.Exit) as end,
    ):
        paper_tables(out)

    assert end.value.exit_code == 1
    assert "MISMATCH: Table 1, Smoking, internal, p: printed 0.165" in text.getvalue()
    assert text.getvalue().count("MISMATCH:") == 3


@pytest.mark.parametrize("module", ["printed_values", "computed", "sampled_patients"])
def test_examples(module):
    found = doctest.testmod(sys.modules[f"simulations.paper.{module}"])

    assert found.attempted > 0
    assert found.failed == 0


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.docx").write_text("mine")

    with pytest.raises(SiteError, match="something other than paper-tables"):
        reproduce_paper(tmp_path, Progress(disable=True))

    assert (tmp_path / "thesis.docx").read_text() == "mine"


def test_the_plan_compares_twelve_scores_at_four_sites():
    plan = load_plan(PAPER_PLAN)

    assert plan.profile == "replication"
    assert [model.name for model in plan.scores] == [plan_name_of(m) for m in read_facts().models]
    assert plan.training_sites == SITES["training"]
    assert plan.evaluation.reference_model == "2D-ResNet-101"
