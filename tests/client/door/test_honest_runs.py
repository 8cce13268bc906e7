"""Every step of the example plans' statistics is admitted at every site, over two, three and five of them."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sites.attacked import list_values
from sites.exchange import analyses_of
from sites.followed import FollowedExchange
from sites.patients import a_case

from client.cohort.cases import CaseReadings
from common.cohort.outcome import Volumes
from common.messages.catalogue import Operation
from common.plan.matrix import scorers_of
from common.plan.models import ScoresModel, SvmModel
from common.plan.study import LogisticModel, StudyPlan
from common.program.fits import fit_regression, fit_support_vectors
from common.program.names import SCREENING, name_fit, name_selection
from common.program.regressions import screen_candidates
from common.program.selections import find_predictors
from common.radiomics.features import FEATURES
from server.phases.agreement import compare_readings
from server.phases.cohort import describe_cohorts
from server.phases.comparison import compare_models
from server.phases.evaluation import evaluate_models
from server.procedures import carry_out

PLANS = Path(__file__).parents[3] / "deploy" / "plans"
STEADY = 5
"""Features on which repeated readings agree; few, so that their selection is soon done."""


def plan_over(name, sites):
    """An example plan, over so many sites and of at most one network."""
    table = tomllib.loads((PLANS / f"{name}.toml").read_text())
    roles = [site["role"] for site in table["sites"]]
    roles = [*[roles[0]] * (sites - 1), roles[-1]]
    networks = [model for model in table["models"] if "kind" not in model]
    models = [*networks[:1], *(model for model in table["models"] if "kind" in model)]
    table |= {
        "sites": [{"name": site, "role": role} for site, role in zip("abcde", roles, strict=False)],
        "models": models,
        "two_site_ack": sites == 2,
    }
    return StudyPlan.model_validate(table)


def make_cases(plan, seed, patients=66):
    random = np.random.default_rng(seed)
    cases = []
    for number in range(patients):
        grows = number % 5 < 2
        features = np.round(random.normal(size=len(FEATURES)) + grows * (np.arange(len(FEATURES)) < 2), 3)
        noise = np.where(np.arange(len(FEATURES)) < STEADY, 0.1, 3.0)
        read = {
            name: features + noise * random.normal(size=len(FEATURES)) for name in plan.radiomics.readings
        }
        volume = float(random.uniform(5, 60))
        case = a_case(
            f"P{number:03d}",
            grows=grows,
            part=("train", "test", "validation")[
                number % 3 if plan.cohort.validation_fraction else number % 2
            ],
            volumes_ml=(volume, 0.0),
            scores={
                model.column: list_scores(model, random, grows)
                for model in plan.models
                if isinstance(model, ScoresModel)
            },
            **list_values(random, grows),
        )
        again = {name: Volumes(volume * float(random.uniform(0.9, 1.1)), 0.0) for name in ("intra", "inter")}
        cases.append(
            replace(case, features=features, readings=CaseReadings(Volumes(volume, 0.0), again, read, {}))
        )
    return tuple(cases)


def list_scores(model, random, grows):
    share = random.integers(0, 7) + 5 * grows
    return float(round(model.low + (model.high - model.low) * share / 12))


OF_SCORES = {Operation.GUARD, Operation.COHORT, Operation.GRID, Operation.EVALUATE}
OF_FITS = {
    *(Operation.AGREEMENT, Operation.READING_MEANS, Operation.READING_SUMS, Operation.MAGNITUDES),
    *(Operation.SCALING, Operation.PRESCREEN, Operation.PATH, Operation.SETUP, Operation.NEWTON),
    *(Operation.RIDGE, Operation.HELD_OUT, Operation.CALIBRATE),
}
CASES = [(name, sites) for name in ("paper", "two-centres", "scores") for sites in (2, 3, 5)]
CASES += [("leave-one-centre-out", sites) for sites in (3, 4, 5)]


@pytest.mark.parametrize(("name", "sites"), CASES)
def test_every_step_of_an_example_plan_is_admitted(name, sites, tmp_path):
    line = open_line(plan_over(name, sites), tmp_path)

    conduct(line)

    asked = {operation for operation, _, _ in line.asked}
    assert asked >= OF_SCORES
    if name == "paper" and sites > 2:
        assert asked >= OF_FITS


def open_line(plan, folder):
    sites = {}
    for seed, name in enumerate(plan.site_names):
        analyses = analyses_of(plan, name, make_cases(plan, seed), folder / name)
        for number, scorer in enumerate(scorers_of(plan)):
            random = np.random.default_rng([seed, number])
            signal = np.array([case.positive for case in analyses.cases]) * 4
            scores = np.clip(random.integers(1, 12, len(signal)) + signal, 1, 19) / 20
            analyses.store.keep(scorer.model.name, scorer.arm.name, analyses.cases, scores)
        sites[name] = analyses
    return FollowedExchange(plan, sites)


def conduct(line):
    """The study's statistics; networks, and models of one site alone, are as if they had scored."""
    plan, screening = line.plan, None
    if "agreement" in plan.phases:
        compare_readings(line)
    if "cohort" in plan.phases:
        describe_cohorts(line)
    if "regression" in plan.phases:
        screening = carry_out(line, SCREENING, screen_candidates(plan, plan.training_sites))
    arms = [arm for arm in plan.all_arms() if arm.kind == "federated" and plan.table_models]
    selections = [carry_out(line, name_selection(arm), find_predictors(plan, arm, screening)) for arm in arms]
    for kind, fit in ((LogisticModel, fit_regression), (SvmModel, fit_support_vectors)):
        for model in (model for model in plan.table_models if isinstance(model, kind)):
            for selected in selections:
                carry_out(line, name_fit(model, selected.arm), fit(plan, model, selected))
    leader = plan.evaluation.reference_model or plan.models[0].name
    compare_models(line, evaluate_models(line, leader), leader)
