"""The standard studies that are read: patients' tables, whole or with gaps, at two, three or five sites."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sites.exchange import analyses_of
from sites.patients import a_case
from sites.plans import SCALE, plan_of

from client.cohort.cases import PreparedCase
from common.plan.models import SvmModel
from common.plan.study import LogisticModel, StudyPlan
from common.program.fits import fit_regression, fit_support_vectors
from common.program.names import SCREENING, name_fit, name_selection
from common.program.regressions import screen_candidates
from common.program.selections import find_predictors
from server.phases.cohort import describe_cohorts
from server.phases.comparison import compare_models
from server.phases.evaluation import evaluate_models
from server.procedures import carry_out
from tests.reading.received import ReadExchange

SITES = "abcde"
CANDIDATES = ("age", "inr", "sah", "anticoagulation")
CLINICAL = {"kind": "logistic", "name": "Clinical", "covariates": list(CANDIDATES)}
MACHINE = {
    "kind": "svm",
    "name": "Machine",
    "covariates": ["age", "inr"],
    "c_grid": [1.0],
    "gamma_grid": [0.1],
    "folds": 3,
    "fourier_features": 6,
}


@dataclass(frozen=True)
class Habit:
    """How a study's patients are.

    Attributes
    ----------
    patients : int
        At each site.
    both : tuple of int
        Training patients of each of the first sites who have both of two traits, as nobody else has; empty:
        as chance wants it.
    unknown : int
        Patients of the first site whose INR is not known.
    unscored : int
        Tested patients of the first site without the given score.
    """

    patients: int = 72
    both: tuple[int, ...] = ()
    unknown: int = 0
    unscored: int = 0


def plan_read(sites: int) -> StudyPlan:
    """A standard study of a score, a logistic model and a machine; two sites know each other's parts."""
    roles = dict.fromkeys(SITES[:sites], "train")
    if sites > 3:
        roles[SITES[sites - 1]] = "external"
    return plan_of(
        roles,
        SCALE,
        CLINICAL,
        MACHINE,
        profile="standard",
        two_site_ack=sites == 2,
        regression={"candidates": list(CANDIDATES), "entry_p": 1.0},
        arms={"local_models": False},
    )


def make_patients(seed: int, habit: Habit) -> tuple[PreparedCase, ...]:
    """A site's patients: two thirds train, a third is tested. The first site has seed 0."""
    random = np.random.default_rng(seed)
    cases = []
    for number in range(habit.patients):
        age, inr = round(float(random.normal(60, 10))), round(1 + 0.4 * float(random.random()), 2)
        grows = bool(random.random() < 1 / (1 + np.exp(-(0.08 * (age - 60) + 2 * (inr - 1.2)))))
        sah, thinned = (float(draw) for draw in random.random(2) < 0.45)
        if habit.both:
            has_both = seed < len(habit.both) and number % 3 != 2 and number - number // 3 < habit.both[seed]
            sah, thinned = (1.0, 1.0) if has_both else (sah, thinned * (1 - sah))
        is_tested, share = number % 3 == 2, int(random.integers(0, 13)) + 8 * grows
        gap = not seed and number < 3 * habit.unknown and not number % 3
        unscored = not seed and number < 3 * habit.unscored and is_tested
        cases.append(
            a_case(
                f"P{number:03d}",
                grows=grows,
                part="test" if is_tested else "train",
                volumes_ml=(round(float(random.uniform(5, 60)), 1), 0.0),
                scores={"vendor": None if unscored else share / 20},
                age=float(age),
                sah=sah,
                anticoagulation=thinned,
                **({} if gap else {"inr": inr}),
            )
        )
    return tuple(cases)


def open_study(sites: int, habit: Habit, folder: Path) -> ReadExchange:
    """The line of a standard study; nothing was asked yet."""
    plan = plan_read(sites)
    cases = {name: make_patients(seed, habit) for seed, name in enumerate(plan.site_names)}
    return ReadExchange(
        plan, {name: analyses_of(plan, name, own, folder / name) for name, own in cases.items()}
    )


def fit_all(line: ReadExchange) -> None:
    """Table 1, the regressions and the machine."""
    plan = line.plan
    describe_cohorts(line)
    screening = carry_out(line, SCREENING, screen_candidates(plan, plan.training_sites))
    arms = [arm for arm in plan.all_arms() if arm.kind == "federated"]
    selections = [carry_out(line, name_selection(arm), find_predictors(plan, arm, screening)) for arm in arms]
    for model in plan.table_models:
        for selected in selections:
            if isinstance(model, LogisticModel):
                carry_out(line, name_fit(model, selected.arm), fit_regression(plan, model, selected))
            if isinstance(model, SvmModel):
                carry_out(line, name_fit(model, selected.arm), fit_support_vectors(plan, model, selected))


def judge_all(line: ReadExchange) -> None:
    """How all scores do, and how they compare; each fitted model has scored, as if it had been asked to."""
    for name, analyses in line.sites.items():
        for number, model in enumerate(line.plan.table_models):
            for arm in line.plan.arms_of(model):
                random = np.random.default_rng([number, *name.encode()])
                signal = np.array([case.positive for case in analyses.cases]) * 4
                scores = np.clip(random.integers(1, 12, len(signal)) + signal, 1, 19) / 20
                analyses.store.keep(model.name, arm.name, analyses.cases, scores)
    compare_models(line, evaluate_models(line, "Clinical"), "Clinical")
