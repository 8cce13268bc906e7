"""`rhe-server plan forecast`: what a study will be able to show, and what it will cost."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from sites.commands import run_command
from sites.plans import LOGISTIC, NETWORK, SCALE, plan_of

from common.plan.study import load_plan
from server.planning.expected_patients import expect_patients
from server.planning.forecast import expect_interval, forecast_study
from server.planning.forecast_words import describe_forecast, describe_withheld
from server.planning.message_rounds import expect_rounds
from server.planning.study_costs import expect_costs, expect_minutes
from simulations.demo import DEMO_PLAN

FOUR = {"a": "train", "b": "train", "c": "external", "d": "train"}
MEASURED = {
    "enrolment": 1,
    "preparation": 1,
    "agreement": 0,
    "cohort": 0,
    "regression": 26,
    "training": 56,
    "scoring": 0,
    "fitting": 0,
    "evaluation": 23,
    "comparison": 1,
    "explanation": 4,
    "closing": 1,
}
"""Rounds of messages that `make demo` took on 2026-11-29, as its report says."""


def forecast(plan, *patients):
    return forecast_study(plan, expect_patients(plan, patients), {}, {})


def standard(*models, **changes):
    return plan_of(FOUR, *models, profile="standard", two_site_ack=False, **changes)


def test_the_paper_s_centre_is_divided_as_the_paper_says():
    plan = plan_of({"a": "train", "b": "external"}, LOGISTIC)

    patients = expect_patients(plan, ["a=169/556", "b=118/271"])

    assert patients["a"].count("training") == (271, 118)
    assert patients["a"].count("test") == (116, 51)
    assert patients["b"].count("test") == patients["b"].count("whole") == (153, 118)


def test_each_minimum_is_told_with_the_cohort_that_misses_it():
    made = forecast(
        standard(LOGISTIC, phases=["training", "evaluation"]), "a=60/200", "b=14/60", "c=9/40", "d=60/200"
    )

    withheld = {(one.topic, one.model, one.arm, one.sites, one.part) for one in made.withheld}
    cell = ("judgement", "Clinical", "federated")
    assert (*cell, ("c",), "whole") in withheld
    assert (*cell, ("b",), "test") in withheld
    assert (*cell, ("a",), "whole") not in withheld
    assert (*cell, ("a", "b", "c", "d"), "whole") not in withheld
    assert "fewer than 10 patients in a class" in "\n".join(describe_withheld(made.withheld))


def test_a_positive_more_than_the_minimum_is_shown_and_one_less_is_not():
    plan = plan_of(
        {"a": "external", "b": "external", "c": "external"},
        SCALE,
        profile="standard",
        phases=["evaluation"],
        two_site_ack=False,
    )

    for positive, kind in ((9, "suppressed"), (10, "ok")):
        made = forecast(plan, f"a={positive}/40", "b=20/60", "c=20/60")
        (found,) = [one for one in made.results if one.sites == ("a",)]
        assert found.status.kind == kind


def test_a_model_that_cannot_be_made_is_judged_nowhere_and_told_once():
    made = forecast(standard(NETWORK, LOGISTIC), "a=20/60", "b=0/30", "c=20/60", "d=20/60")

    failed = {(one.model, one.arm) for one in made.withheld if one.topic == "model"}
    lines = [line for line in describe_withheld(made.withheld) if "Net, local-b" in line]
    assert {("Net", "local-b"), ("Clinical", "local-b")} <= failed
    assert ("Net", "federated") not in failed
    assert len(lines) == 1
    assert "judged nowhere" in lines[0]


def test_folds_are_as_many_as_the_patients_carry():
    machine = {"kind": "svm", "name": "SVM", "covariates": ["age"]}

    few, many = (
        forecast(standard(machine), f"a={n // 3}/{n}", f"b={n // 3}/{n}", "c=20/60", f"d={n // 3}/{n}").folds
        for n in (40, 400)
    )

    assert [(one.what, one.choice.planned, one.choice.number) for one in many] == [("SVM", 5, 5)]
    assert few[0].choice.number < 5
    assert "fewer than 20 patients or 5 of a class" in few[0].choice.why


@pytest.mark.parametrize("auc", [0.7, 0.8])
def test_the_width_is_that_of_delong_s_interval_on_simulated_scores(auc):
    plan, random = plan_of(FOUR, SCALE, profile="standard"), np.random.default_rng(3)
    expected = expect_interval(plan, auc, 120, 60)
    widths = []
    for _ in range(300):
        # Negative exponential scores with this AUC, as Hanley and McNeil assume
        negative, positive = random.exponential(1, 120), random.exponential(auc / (1 - auc), 60)
        wins = (positive[:, np.newaxis] > negative).astype(float)
        spread = np.var(wins.mean(axis=1), ddof=1) / 60 + np.var(wins.mean(axis=0), ddof=1) / 120
        widths.append(2 * 1.959963984540054 * np.sqrt(spread))

    assert expected.high - expected.low == pytest.approx(np.mean(widths), rel=0.05)


def test_the_demonstration_s_rounds_are_within_the_forecast():
    rounds = expect_rounds(load_plan(DEMO_PLAN))
    opening = rounds.pop("opening")

    assert rounds.keys() == MEASURED.keys()
    for phase, number in rounds.items():
        measured = MEASURED[phase] - (opening.usual if phase == "training" else 0)
        assert number.fewest <= measured <= number.most, phase
    assert rounds["explanation"].usual == MEASURED["explanation"]
    usual = sum(number.usual for number in rounds.values()) + opening.usual
    assert usual == pytest.approx(sum(MEASURED.values()), rel=0.15)


@pytest.mark.parametrize("secure", [True, False])
def test_a_training_that_may_end_early_has_no_fewer_rounds_than_its_rule_needs(secure):
    def rounds(number, **options):
        federation = {"rounds": number} | options
        plan = standard(NETWORK, federation=federation, privacy={"secure": secure}, phases=["training"])
        return expect_rounds(plan)["training"]

    whole, shortest = rounds(30), rounds(6)
    early = rounds(30, early_stopping={"patience": 4})

    assert (early.fewest, early.usual, early.most) == (shortest.fewest, whole.usual, whole.most)
    assert early.fewest < whole.fewest


def test_the_demonstration_s_weights_are_most_of_what_it_was_sent():
    costs = expect_costs(load_plan(DEMO_PLAN), {"center1": 20.0})

    # The demonstration's report of 2026-11-29: 260 MB to the sites, 450 MB from them, below what is said
    assert sum(one.received for one in costs.values()) == pytest.approx(260e6, rel=0.2)
    assert 450e6 <= sum(one.sent for one in costs.values()) <= 2 * 450e6
    both = costs["center1"].received + costs["center1"].sent
    assert costs["center1"].line_minutes == pytest.approx(both * 8 / 20e6 / 60)
    assert costs["center2"].line_minutes is None


def test_a_round_takes_as_long_as_at_its_slowest_site():
    plan = plan_of({"a": "train", "b": "train"}, NETWORK, federation={"rounds": 10})

    # Together 10 rounds of 5 minutes, then each alone
    assert expect_minutes(plan, {"a": 2.0, "b": 5.0}) == 10 * (5 + 2 + 5)
    assert expect_minutes(plan, {"a": 2.0}) is None


def test_epsilon_is_that_of_all_noisy_rounds_and_never_above_the_plan_s_target():
    noise = {"epsilon": 5.0, "norm": 1.0}
    plan = plan_of(
        dict.fromkeys("abcde", "train"),
        NETWORK,
        privacy={"noise": noise},
        federation={"rounds": 10},
    )

    made = forecast(plan, *(f"{site}=20/60" for site in "abcde"))

    assert made.privacy.releases == 10
    assert 4.5 < made.privacy.outside <= 5.0 < made.privacy.among_sites
    assert "Epsilon 5 at delta 1e-05 after 10 noisy rounds" in " ".join(describe_forecast(made))


PLAN = """\
name = "A study"
seed = 1
two_site_ack = true
[[sites]]
name = "north"
role = "train"
[[sites]]
name = "south"
role = "train"
[[models]]
kind = "logistic"
name = "Clinical"
covariates = ["age", "independent"]
"""


@pytest.fixture
def path(tmp_path):
    written = tmp_path / "study.toml"
    written.write_text(PLAN, encoding="utf-8")
    return written


def run(path, *arguments):
    return run_command("rhe-server", "plan", "forecast", path, "--patients", *arguments)


def test_a_forecast_fits_80_columns_and_explains_its_numbers(path):
    done = run(path, "north=100/300", "south=12/90", "--mbit", "north=20")

    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    words = " ".join(done.stdout.split())
    for said in (
        "It assumes that every patient is included",
        "are not made, and judged nowhere: a site has too few patients for it",
        "Hanley and McNeil (1982)",
        "Clinical, federated 78 1 and more at most 78.0",
        "north 0 B",
        "No noise is planned",
    ):
        assert said in words


def test_what_is_withheld_and_not_known_comes_with_its_remedy():
    small = ("a=6/20", "b=6/20", "c=6/20", "d=6/20")
    told = " ".join(" ".join(describe_forecast(forecast(standard(NETWORK), *small))).split())
    simulated = " ".join(describe_forecast(forecast(plan_of(FOUR, NETWORK), *small)))

    assert 'If rhe-simulate made every site, write profile = "simulation" into the plan' in told
    assert "To measure it, on a computer like the site's: rhe-simulate centres" in told
    assert "profile = " not in simulated


def test_the_json_holds_every_result(path):
    made = json.loads(run(path, "north=100/300", "south=12/90", "--json").stdout)

    assert {one["topic"] for one in made["results"]} == {"description", "regression", "model", "judgement"}
    assert made["patients"]["north"].keys() == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["north=1/2"], "--patients is missing for south -> write SITE=WITH/ALL"),
        (["north=3/2", "south=1/2"], "3 of 2 patients"),
        (["north=3", "south=1/2"], "--patients 'north=3' -> write SITE=WITH/ALL"),
        (["east=1/2", "south=1/2"], "--patients east: the plan has no such site; it has north, south"),
        (["north=1/2", "north=1/2"], "--patients names north twice"),
        (["north=1/2", "south=1/2", "--mbit", "north=fast"], "--mbit 'north=fast' -> write SITE=NUMBER"),
        (["north=1/2", "south=1/2", "--minutes", "north=0"], "--minutes 'north=0' -> write SITE=NUMBER"),
    ],
)
def test_what_cannot_be_read_is_told(path, arguments, said):
    done = run(path, *arguments)

    assert done.returncode != 0
    assert said in done.stderr


def test_a_forecast_loads_no_heavy_library(path):
    command = (
        "import sys; from server.cli import app\n"
        f"try: app(['plan', 'forecast', {str(path)!r}, '--patients', 'north=9/30', 'south=9/30'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'flwr', 'SimpleITK', 'pandas', 'sklearn'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
