"""The studies that attacks are tried on: patients made by hand, every statistic of the table's models."""

from __future__ import annotations

import numpy as np
from sites.patients import a_case
from sites.plans import SCALE, plan_of

from client.cohort.cases import PreparedCase
from common.cohort.schema import VARIABLES
from common.plan.study import StudyPlan
from common.program.names import SCREENING
from common.program.regressions import screen_candidates
from server.exchange import Exchange
from server.phases.cohort import describe_cohorts
from server.phases.comparison import compare_models
from server.phases.evaluation import evaluate_models
from server.phases.fitting import fit_models
from server.phases.scoring import score_by_regressions
from server.phases.svm import fit_svms, score_by_svms
from server.procedures import carry_out
from server.run import StudyRun

CLINICAL: dict[str, object] = {"kind": "logistic", "name": "Clinical", "covariates": ["independent", "age"]}
MACHINE: dict[str, object] = {
    "kind": "svm",
    "name": "Machine",
    "covariates": ["age", "inr"],
    "c_grid": [1.0],
    "gamma_grid": [0.1, 0.3],
    "folds": 3,
    "fourier_features": 6,
}
_VOLUMES = {"ich_volume_ml", "ivh_volume_ml", "followup_ich_volume_ml", "followup_ivh_volume_ml"}
ROLES = {"a": "train", "b": "train", "c": "train", "d": "external"}


def make_cases(seed: int, patients: int = 72, *, test: int | None = None) -> tuple[PreparedCase, ...]:
    """A site's patients: two thirds train, a third is tested, unless `test` says how many are."""
    random = np.random.default_rng(seed)
    cases = []
    for number in range(patients):
        age, inr = float(random.normal(60, 10)), 1 + 0.2 * float(random.random())
        grows = bool(random.random() < 1 / (1 + np.exp(-(0.1 * (age - 60)))))
        is_tested = number % 3 == 2 if test is None else number >= patients - test
        cases.append(
            a_case(
                f"P{number:03d}",
                grows=grows,
                part="test" if is_tested else "train",
                scores={"vendor": float(random.integers(0, 13) + 8 * grows) / 20},
                age=age,
                inr=inr,
                sah=float(random.random() < 0.4),
            )
        )
    return tuple(cases)


def list_values(random: np.random.Generator, grows: bool) -> dict[str, float | str]:  # noqa: FBT001
    """A value of every variable of the table for one patient; half of them differ by the outcome."""
    values: dict[str, float | str] = {}
    for number, variable in enumerate(VARIABLES):
        shift = float(grows and number % 2 == 0)
        if variable.group == "repeated readings" or variable.name in _VOLUMES:
            continue
        if variable.kind == "continuous":
            values[variable.name] = round(50 + 10 * float(random.normal(shift)), 2)
        elif variable.kind == "binary":
            values[variable.name] = float(random.random() < 0.3 + 0.2 * shift)
        elif variable.kind == "categorical":
            values[variable.name] = str(random.choice(variable.levels))
    return values


def plan_table_models(roles: dict[str, str], **changes: object) -> StudyPlan:
    """A standard study of a score, a logistic model and a machine, without local models."""
    fields: dict[str, object] = {
        "profile": "standard",
        "two_site_ack": False,
        "regression": {"candidates": ["age", "sah"], "entry_p": 0.5},
        "arms": {"local_models": False},
    }
    return plan_of(roles, SCALE, CLINICAL, MACHINE, **(fields | changes))


def conduct_table_models(exchange: Exchange, run: StudyRun) -> None:
    """All of such a study's phases, as `server.conduct` has them."""
    plan = run.plan
    describe_cohorts(exchange)
    screening = carry_out(exchange, SCREENING, screen_candidates(plan, plan.training_sites))
    fitting = fit_models(exchange, run, screening, {})
    score_by_regressions(exchange, fitting.models)
    score_by_svms(exchange, fit_svms(exchange, run, fitting.selections, {}))
    compare_models(exchange, evaluate_models(exchange, "Clinical"), "Clinical")
