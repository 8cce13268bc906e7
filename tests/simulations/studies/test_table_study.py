"""Studies without images, from tables to results: sums alone give what other programs give."""

import csv
import json
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress
from scipy.special import logit
from scipy.stats import binomtest, chi2_contingency, norm
from sites.tables import Habits, read_cohort, table_only_hospital, write_cohort
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from studies.foreseen import compare_with_forecast

from common.plan.study import StudyPlan
from server.planning.expected_patients import ExpectedPatients, expect_patients
from server.results.file import Results
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parents[2] / "reference"
SCORES = ("alpha", "beta", "gamma")
SPLIT = Habits(split=("train", "train", "test"))


def a_plan(sites, models=None, **changes):
    settings = {
        "name": "Tables alone",
        "seed": 5,
        "profile": "simulation",
        "two_site_ack": True,
        "sites": [{"name": name, "role": role} for name, role in sites.items()],
        "models": models
        or [
            {"kind": "scores", "name": name, "column": name, "probability": True, "threshold": 0.5}
            for name in SCORES
        ],
        "cohort": {"validation_fraction": 0.0},
        "phases": ["cohort", "regression", "training", "evaluation"],
        "evaluation": {"subgroups": ["location", "ivh"]},
    }
    return StudyPlan.model_validate(settings | changes)


def study(plan, folders, out) -> Results:
    run = StudyRun(plan, out, derive_simulated_key(plan))
    return run_in_process(run, folders, Progress(disable=True))


def cell(results, model, part, sites):
    (found,) = [
        c
        for c in results.evaluation
        if (c.model, c.part, c.cohort_sites) == (model, part, sites) and c.arm in {"given", "federated"}
    ]
    return found


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    root = tmp_path_factory.mktemp("hospitals")
    return {
        name: table_only_hospital(root / name, name, 120, seed, SCORES, habits=SPLIT)
        for seed, name in enumerate(("east", "west"))
    }


@pytest.fixture(scope="module")
def federated(hospitals, tmp_path_factory):
    plan = a_plan({"east": "train", "west": "train"})
    return study(plan, hospitals, tmp_path_factory.mktemp("two") / "out")


@pytest.fixture(scope="module")
def pooled(hospitals, tmp_path_factory):
    """The same patients in one hospital."""
    root = tmp_path_factory.mktemp("one")
    folder = table_only_hospital(root / "all", "all", 3, 0, SCORES, habits=SPLIT)
    write_cohort(folder, rows_of(hospitals))
    return study(a_plan({"all": "train"}), {"all": folder}, root / "out")


def rows_of(hospitals):
    return [row for folder in hospitals.values() for row in read_cohort(folder)]


def grows(row):
    return float(row["followup_ich_volume_ml"]) - float(row["ich_volume_ml"]) >= 6


def test_three_scores_of_two_hospitals_without_any_image(federated, hospitals):
    tested = [row for row in rows_of(hospitals) if row["split"] == "test"]
    labels = [grows(row) for row in tested]

    for name in SCORES:
        values = np.array([float(row[name]) for row in tested])
        found = cell(federated, name, "test", ("east", "west"))
        assert found.auc.value == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
        assert found.auc_error_bound == 0
        assert found.confusion.true_positive == sum((values >= 0.5) & labels)
        assert found.relation == "given"
        assert found.calibration.brier.value == pytest.approx(np.mean((values - labels) ** 2), rel=1e-12)
    assert not any(path.suffix == ".npy" for path in Path(hospitals["east"]).parent.rglob("*"))


def test_calibration_slopes_are_scikit_learn_s(federated, hospitals):
    tested = [row for row in rows_of(hospitals) if row["split"] == "test"]
    labels = [grows(row) for row in tested]
    values = np.array([float(row["alpha"]) for row in tested])
    logit = np.log(values / (1 - values))[:, np.newaxis]

    slope = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(logit, labels).coef_[0, 0]

    found = cell(federated, "alpha", "test", ("east", "west")).calibration
    assert found.slope.value == pytest.approx(slope, rel=1e-5)


def test_sensitivities_are_compared_by_mcnemar_s_exact_test(federated, hospitals):
    tested = [row for row in rows_of(hospitals) if row["split"] == "test" and grows(row)]
    calls = {name: np.array([float(row[name]) >= 0.5 for row in tested]) for name in SCORES}
    (compared,) = [c for c in federated.comparisons if len(c.cohort_sites) == 2 and c.part == "test"]

    (pair,) = [p for p in compared.pairs if p.second_model == "gamma"]
    b, c = sum(calls["alpha"] & ~calls["gamma"]), sum(calls["gamma"] & ~calls["alpha"])

    assert (pair.sensitivity.only_first, pair.sensitivity.only_second) == (b, c)
    assert pair.sensitivity.p_value == pytest.approx(binomtest(b, b + c).pvalue, rel=1e-12)


def test_table_one_and_the_odds_ratio_of_a_sign_are_those_of_its_two_by_two_table(federated, hospitals):
    training = [row for row in rows_of(hospitals) if row["split"] == "train"]
    table = np.zeros((2, 2), dtype=int)
    for row in training:
        table[int(row["hypodensity"]), int(grows(row))] += 1
    (line,) = [r for r in federated.regression.rows if r.variable == "hypodensity"]
    (described,) = [r for r in federated.cohort if (r.part, r.label) == ("training", "Hypodensity")]

    odds = table[1, 1] * table[0, 0] / (table[1, 0] * table[0, 1])

    assert line.univariate.odds_ratio.value == pytest.approx(odds, rel=1e-8)
    assert (described.negative.patients, described.positive.patients) == (table[1, 0], table[1, 1])
    assert described.p_value == pytest.approx(chi2_contingency(table, correction=False).pvalue, rel=1e-9)


def test_a_standardised_difference_is_that_of_the_level_that_is_printed(federated, hospitals):
    training = [row for row in rows_of(hospitals) if row["split"] == "train"]
    (described,) = [r for r in federated.cohort if (r.part, r.label) == ("training", "Sex")]
    without, with_outcome = (
        np.mean([row["sex"] == described.level for row in training if grows(row) == expands])
        for expands in (False, True)
    )

    spread = np.sqrt((without * (1 - without) + with_outcome * (1 - with_outcome)) / 2)

    assert described.level == "male"
    assert described.smd == pytest.approx((with_outcome - without) / spread, rel=1e-9)


def test_a_variable_that_nobody_has_is_said_to_be_missing_not_hidden(hospitals, tmp_path):
    for name, folder in hospitals.items():
        rows = read_cohort(folder)
        write_cohort(
            table_only_hospital(tmp_path / name, name, 3, 0, SCORES, habits=SPLIT),
            [row | {"smoking": ""} for row in rows],
        )
    plan = a_plan({"east": "train", "west": "train"}, phases=["cohort"])

    results = study(plan, {name: tmp_path / name for name in hospitals}, tmp_path / "out")

    found = [row.positive for row in results.cohort if row.label.startswith("Smoking")]
    assert found
    assert {one.standing.kind for one in found} == {"undefined"}


def numbers(value, path="") -> Iterator[tuple[str, float]]:
    """Every number of a record, with its place."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from numbers(item, f"{path}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def test_two_hospitals_give_the_numbers_of_one(federated, pooled):
    """Of the cohorts that both studies have: training, internal test."""
    both = {"training", "internal"}
    for rows in zip(
        [r for r in federated.cohort if r.part in both],
        [r for r in pooled.cohort if r.part in both],
        strict=True,
    ):
        one, other = (dict(numbers(row.model_dump(mode="json"))) for row in rows)
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12)
    one, other = (dict(numbers(r.regression.model_dump(mode="json"))) for r in (federated, pooled))
    assert one == pytest.approx(other, rel=1e-7, abs=1e-9)
    for name in SCORES:
        found = cell(federated, name, "test", ("east", "west")).model_dump(mode="json")
        alone = cell(pooled, name, "test", ("all",)).model_dump(mode="json")
        assert found["auc_error_bound"] == alone["auc_error_bound"] == 0
        assert dict(numbers(found)) == pytest.approx(dict(numbers(alone)), rel=1e-7, abs=1e-9)


def test_a_study_says_how_many_rounds_it_took(federated):
    rounds = {phase.phase: phase.rounds for phase in federated.provenance.phases}

    # Two to agree on keys, then who stands behind it and its sums; all comparisons in one message.
    assert rounds["cohort"] == 4
    assert rounds["comparison"] == 1
    assert rounds["scoring"] == 0
    assert sum(rounds.values()) == federated.provenance.message_rounds


def asah_rows():
    with (REFERENCE / "roc" / "asah.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def asah(tmp_path_factory):
    """pROC's patients at two external hospitals, every third at the second."""
    root, rows = tmp_path_factory.mktemp("asah"), asah_rows()
    shares = {"a": [r for i, r in enumerate(rows) if i % 3], "b": rows[::3]}
    for name, share in shares.items():
        folder = table_only_hospital(root / name, name, len(share), 1, ("s100b", "ndka", "wfns"))
        patients = read_cohort(folder)
        for patient, row in zip(patients, share, strict=True):
            growth = 10 if row["outcome"] == "Poor" else 0
            patient["followup_ich_volume_ml"] = float(patient["ich_volume_ml"]) + growth
            patient |= {"s100b": row["s100b"], "ndka": row["ndka"], "wfns": row["wfns"]}
        write_cohort(folder, patients)
    models = [
        {"kind": "scores", "name": "s100b", "column": "s100b", "high": 5},
        {"kind": "scores", "name": "ndka", "column": "ndka", "high": 500},
        {"kind": "scores", "name": "wfns", "column": "wfns", "low": 1, "high": 5, "step": 1, "threshold": 4},
    ]
    evaluation = {"interval": "delong", "adjustment": "holm"}
    plan = a_plan(dict.fromkeys(shares, "external"), models, phases=["evaluation"], evaluation=evaluation)
    return study(plan, {name: root / name for name in shares}, root / "out")


def reference(name):
    with (REFERENCE / "roc" / "roc.csv").open() as file:
        return {row["name"]: float(row["value"]) for row in csv.DictReader(file)}[name]


def test_a_federation_of_vendors_scores_gives_proc_s_aucs_and_tests(asah):
    for name in ("s100b", "ndka", "wfns"):
        found = cell(asah, name, "whole", ("a", "b")).auc
        assert found.value == pytest.approx(reference(f"{name}.auc"), abs=1e-12)
        assert cell(asah, name, "whole", ("a", "b")).auc_error_bound == 0
        assert found.low == pytest.approx(reference(f"{name}.delong.low"), abs=1e-9)
    (compared,) = [c for c in asah.comparisons if len(c.cohort_sites) == 2]
    for other in ("ndka", "wfns"):
        (pair,) = [p for p in compared.pairs if p.second_model == other]
        assert pair.p_value == pytest.approx(reference(f"s100b.{other}.p"), rel=1e-8)
        assert pair.p_least == pair.p_most == pytest.approx(pair.p_value, rel=1e-12)
        assert (pair.used, pair.missing, pair.difference_bound) == (113, 0, 0.0)
        assert pair.p_adjusted >= pair.p_value


def test_a_scale_of_few_values_has_no_error_bound_and_keeps_its_own_threshold(asah):
    found = cell(asah, "wfns", "whole", ("a", "b"))
    called = [row for row in asah_rows() if int(row["wfns"]) >= 4]

    assert found.auc_error_bound == 0
    assert found.threshold == 4
    assert found.confusion.true_positive == sum(row["outcome"] == "Poor" for row in called)
    assert found.calibration is None


def test_a_missing_score_is_left_out_and_counted(hospitals, tmp_path):
    for name, folder in hospitals.items():
        rows = read_cohort(folder)
        for row in rows[::10]:
            row["beta"] = ""
        copied = table_only_hospital(tmp_path / name, name, 3, 0, SCORES, habits=SPLIT)
        write_cohort(copied, rows)
    plan = a_plan({"east": "train", "west": "train"}, phases=["evaluation"])

    results = study(plan, {name: tmp_path / name for name in hospitals}, tmp_path / "out")

    tested = [row for n in hospitals for row in read_cohort(tmp_path / n) if row["split"] == "test"]
    blank = sum(row["beta"] == "" for row in tested)
    found = cell(results, "beta", "test", ("east", "west"))
    (compared,) = [c for c in results.comparisons if len(c.cohort_sites) == 2 and c.part == "test"]
    assert (found.missing, found.positive + found.negative) == (blank, len(tested) - blank)
    assert cell(results, "alpha", "test", ("east", "west")).missing == 0
    # Whoever lacks one score is in no comparison with it, and in every other.
    assert (compared.used, compared.missing) == (len(tested) - blank, blank)
    by_second = {pair.second_model: (pair.used, pair.missing) for pair in compared.pairs}
    assert by_second == {"beta": (len(tested) - blank, blank), "gamma": (len(tested), 0)}
    assert compared.degrees_of_freedom == 2


def test_an_operating_point_by_youden_is_chosen_in_training(hospitals, tmp_path):
    evaluation = {"operating_point": "youden"}
    plan = a_plan({"east": "train", "west": "train"}, phases=["evaluation"], evaluation=evaluation)

    results = study(plan, hospitals, tmp_path / "out")

    training = [row for row in rows_of(hospitals) if row["split"] == "train"]
    labels = np.array([grows(row) for row in training])
    values = np.array([float(row["alpha"]) for row in training])

    def index(cut):
        return np.mean(values[labels] >= cut) - np.mean(values[~labels] >= cut)

    found = cell(results, "alpha", "test", ("east", "west"))
    assert found.threshold != 0.5
    assert index(found.threshold) == pytest.approx(max(map(index, values)), abs=1e-12)


def counts(results) -> Iterator[tuple[str, int]]:
    """Every number of patients in the results that may be shown."""
    names = (
        "patients", "used", "positive", "negative", "missing", "only_first", "only_second", "true_positive",
        "false_negative", "false_positive", "true_negative", "screened", "included",
    )  # fmt: skip
    for path, value in numbers(json.loads(results.model_dump_json())):
        if path.rsplit(".", 1)[-1] in names:
            yield path, int(value)


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    """Two hospitals with real patients' minima, rare signs and missing values."""
    root = tmp_path_factory.mktemp("standard")
    habits = Habits(synthetic=False, split=("train", "train", "test"), blank=0.02)
    folders = {
        name: table_only_hospital(root / name, name, 150, seed, SCORES, habits=habits)
        for seed, name in enumerate(("east", "west"), start=7)
    }
    plan = a_plan({"east": "train", "west": "train"}, profile="standard")
    return study(plan, folders, root / "out")


def test_no_small_number_is_shown(standard):
    small = {path: value for path, value in counts(standard) if 0 < value < 5}

    assert not small
    assert len(list(counts(standard))) > 300


def test_what_is_suppressed_is_shown_as_suppressed(standard):
    hidden = [row for row in standard.cohort if row.positive.standing.kind == "suppressed"]

    assert hidden
    assert all(row.p_value is None and row.smd is None for row in hidden)


def test_no_hidden_number_is_what_is_left_of_the_whole(standard):
    """By variable and level: where a centre hides a number, all centres and the whole do not tell it."""
    by_line: dict[tuple[str, str], dict] = {}
    for row in standard.cohort:
        by_line.setdefault((row.label, row.level), {})[row.site, row.part] = row
    for line in by_line.values():
        whole = line[None, "whole"]
        for group in ("positive", "negative"):
            of_sites = [getattr(line[site, "whole"], group).patients for site in ("east", "west")]
            of_cohorts = [getattr(line[None, part], group).patients for part in ("training", "internal")]
            if getattr(whole, group).patients is not None:
                assert of_sites.count(None) != 1
                assert of_cohorts.count(None) != 1
            if None in of_cohorts:
                assert of_sites == [None, None]


def test_no_small_count_is_what_some_cohorts_leave_of_others(tmp_path):
    """Calls of the validation patients, by class: everybody's less those in training and test."""
    folders = {
        name: table_only_hospital(tmp_path / name, name, n, i + 1, SCORES, habits=Habits(synthetic=False))
        for i, (name, n) in enumerate((("east", 170), ("west", 230)))
    }
    plan = a_plan(dict.fromkeys(folders, "train"), profile="standard", cohort={}, phases=["evaluation"])

    results = study(plan, folders, tmp_path / "out")

    compare_with_forecast(results, expect_patients(plan, ["east=60/170", "west=80/230"]))
    shown = 0
    for name in SCORES:
        for site in folders:
            parts = [cell(results, name, part, (site,)).confusion for part in ("whole", "train", "test")]
            for whole, trained, tested in zip(*map(astuple, parts), strict=True):
                shown += whole is not None
                if None not in {whole, trained, tested}:
                    assert whole - trained - tested == 0 or whole - trained - tested >= 5
    assert shown > 12


def test_too_few_patients_are_not_even_asked(tmp_path, monkeypatch):
    habits = Habits(synthetic=False, split=("train", "train", "test"))
    folders = {
        name: table_only_hospital(tmp_path / name, name, 60, seed, SCORES, habits=habits)
        for seed, name in enumerate(("east", "west"))
    }
    asked = []
    monkeypatch.setattr(
        "client.answers.statistics.evaluate_scores",
        lambda board, parameters: asked.append(parameters["asked"]) or _evaluate(board, parameters),
    )

    results = study(a_plan({"east": "train", "west": "train"}, profile="standard"), folders, tmp_path / "out")

    # Of 21 with expansion and 39 without, every third is tested
    counted = np.array([[26, 14], [0, 0], [13, 7]])
    compare_with_forecast(results, {site: ExpectedPatients(site, counted) for site in folders})
    # 20 test patients a hospital, 7 with expansion: below 10 of a class.
    found = cell(results, "alpha", "test", ("east", "west"))
    assert found.auc.standing.kind == "suppressed"
    assert not asked[0][:, 2].any()
    assert not [c for c in results.comparisons if c.part == "test"]


def _evaluate(board, parameters):
    from client.answers.evaluate import evaluate_scores

    return evaluate_scores(board, parameters)


def test_two_hospitals_that_accept_it_learn_whether_their_aucs_differ(standard):
    (found,) = [one for one in standard.heterogeneity if one.model == "alpha"]
    points, errors = [], []
    for site in ("east", "west"):
        auc = cell(standard, "alpha", "test", (site,)).auc
        points.append(auc.value)
        on_logit_scale = (logit(auc.high) - logit(auc.low)) / (2 * norm.isf(0.025))
        errors.append(on_logit_scale * auc.value * (1 - auc.value))

    difference, error = points[0] - points[1], np.hypot(*errors)

    assert [centre.auc.value for centre in found.centres] == points
    assert found.difference.value == pytest.approx(difference, abs=1e-12)
    assert found.difference.low == pytest.approx(difference - norm.isf(0.025) * error, rel=1e-6)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(difference) / error), rel=1e-6)
    assert (found.auc.value, found.q, found.i_squared) == (None, None, None)
