"""What the plan's program admits: every honest question, in its order, and no altered one."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sites.exchange import analyses_of
from sites.followed import FollowedExchange
from sites.patients import a_case
from sites.plans import SCALE, plan_of

from client.door.comparison import check_parameters
from common.errors import NotThePlanError, RheError
from common.plan.matrix import cohorts_of, scorers_of
from common.plan.models import SvmModel
from common.program.fits import fit_regression, fit_support_vectors
from common.program.names import SCREENING, name_fit, name_selection
from common.program.regressions import screen_candidates
from common.program.selections import find_predictors
from common.radiomics.features import FEATURES
from server.phases.cohort import describe_cohorts
from server.phases.comparison import compare_models
from server.phases.evaluation import evaluate_models
from server.procedures import carry_out

CLINICAL = {"kind": "logistic", "name": "Clinical", "covariates": ["independent", "age"]}
MACHINE = {
    "kind": "svm",
    "name": "Machine",
    "covariates": ["age", "inr"],
    "c_grid": [0.1, 10.0],
    "gamma_grid": [0.03, 0.3],
    "folds": 3,
    "fourier_features": 6,
}
ROLES = {"a": "train", "b": "train", "c": "train", "d": "external"}


def make_cases(seed, patients=150):
    random = np.random.default_rng(seed)
    cases = []
    for number in range(patients):
        age, inr = float(random.normal(60, 10)), 1 + 0.2 * float(random.random())
        grows = bool(random.random() < 1 / (1 + np.exp(-(0.1 * (age - 60)))))
        cases.append(
            a_case(
                f"P{number:03d}",
                grows=grows,
                part=("train", "validation", "test")[number % 3],
                scores={"vendor": float(random.integers(0, 13) + 8 * grows) / 20},
                age=age,
                inr=inr,
                sah=float(random.random() < 0.4),
                location=str(random.choice(["lobar", "deep", "infratentorial"])),
            )
        )
    return tuple(cases)


@pytest.fixture
def line(tmp_path):
    plan = plan_of(
        ROLES,
        SCALE,
        CLINICAL,
        MACHINE,
        profile="standard",
        two_site_ack=False,
        regression={"candidates": ["age", "inr", "sah", "location"], "entry_p": 0.3},
        evaluation={"operating_point": "youden"},
        arms={"local_models": False},
    )
    sites = {
        name: analyses_of(plan, name, make_cases(seed), tmp_path / name) for seed, name in enumerate(ROLES)
    }
    for analyses in sites.values():
        for number, scorer in enumerate(scorers_of(plan)):
            random = np.random.default_rng([number, len(analyses.site)])
            signal = np.array([case.positive for case in analyses.cases]) * (4 + 2 * number)
            scores = np.clip(random.integers(1, 12, len(analyses.cases)) + signal, 1, 19) / 20
            analyses.store.keep(scorer.model.name, scorer.arm.name, analyses.cases, scores)
    return FollowedExchange(plan, sites)


def conduct(line):
    """A study's statistics, without networks."""
    plan = line.plan
    describe_cohorts(line)
    screening = carry_out(line, SCREENING, screen_candidates(plan, plan.training_sites))
    (arm,) = plan.all_arms()
    selected = carry_out(line, name_selection(arm), find_predictors(plan, arm, screening))
    for model in plan.regressions:
        carry_out(line, name_fit(model, arm), fit_regression(plan, model, selected))
    for model in plan.table_models:
        if isinstance(model, SvmModel):
            carry_out(line, name_fit(model, arm), fit_support_vectors(plan, model, selected))
    evaluated = evaluate_models(line, "Clinical")
    compare_models(line, evaluated, "Clinical")


def test_every_step_of_a_study_is_admitted_at_every_site(line):
    conduct(line)

    assert line.rounds > 20


CHOSEN = {
    ("guard", "evaluation"): {"scored", "reference"},
    ("grid", ""): {"scorers", "edges", "sizes", "values"},
    ("evaluate", "operating point"): {"edges", "sizes", "values", "thresholds"},
    ("evaluate", ""): {"edges", "sizes", "values", "thresholds"},
    ("ridge", ""): {"gammas", "left_out", "coefficients"},
    ("held-out", ""): {"gammas", "left_out", "coefficients"},
}
"""What a site cannot derive: the coordinator has the choice, within bounds that the answer itself keeps."""


def concerns(plan, site, key):
    """Whether a parameter is about the site's patients: some are about a cohort, by its number."""
    number = re.match(r"(?:cohort/|paired/)?(\d+)[./]", key)
    return number is None or site in cohorts_of(plan)[int(number[1])].sites


def alter(array, relevant):
    """Arrays that differ from this one where the site looks, and one of another shape."""
    if array.size == 0:
        return [np.zeros(1, array.dtype)]
    others = [np.concatenate([array, array[:1]])]
    altered = array.copy()
    if array.dtype != np.bool_:
        places = np.argwhere(np.broadcast_to(relevant, array.shape))
        if not len(places):
            return others
        altered[tuple(places[len(places) // 2])] += 1
        return [altered, *others]
    # Less may be asked, never more
    more = np.argwhere(relevant & ~array)
    if len(more):
        altered[tuple(more[0])] = True
        others.append(altered)
    return others


class Watched(FollowedExchange):
    """After each admitted question, tries the same one with every array altered."""

    def gather(self, operation, parameters=None, weights=None, **context):
        sums = super().gather(operation, parameters, weights, **context)
        stage = str(context.get("stage", ""))
        for name, follower in self.followers.items():
            step = follower.find_expected()
            if step is None:
                continue
            place = self.plan.site_names.index(name)
            for key in (key for key in parameters or {} if concerns(self.plan, name, key)):
                relevant = np.ones(parameters[key].shape, dtype=np.bool_)
                if key == "asked":
                    relevant = np.zeros_like(relevant)
                    relevant[place] = True
                relevant &= step.relevant.get(key, np.True_)
                if key.endswith("coefficients") and f"{key[:-12]}active" in parameters:
                    # Of a model that has converged nothing is asked
                    asked = parameters[f"{key[:-12]}active"][:, np.newaxis]
                    relevant &= asked & parameters[f"{key[:-12]}free"]
                for other in alter(parameters[key], relevant):
                    tried = {**parameters, key: other}
                    self.tried.append((str(operation), stage, key, name, _is_refused(step, tried, follower)))
            if step.derive is not None:
                step.derive(parameters)
        return sums


def _is_refused(step, parameters, follower):
    try:
        check_parameters(step, parameters, follower.plan.site_names.index(follower.site), follower.measure)
    except RheError:
        return True
    return False


def test_an_altered_array_of_any_step_is_refused_by_every_site_whose_patients_are_in_it(line):
    watched = Watched(line.plan, line.sites)
    watched.tried = []

    conduct(watched)

    accepted = {
        (operation, stage, key, site)
        for operation, stage, key, site, refused in watched.tried
        if not refused and key not in CHOSEN.get((operation, stage), set())
    }
    assert sorted(accepted) == []
    assert len(watched.tried) > 500


TELLING = (3, 40, 700)
COMBINED = {"kind": "logistic", "name": "Combined", "covariates": ["age", "radiomics"]}
ONLY_FEATURES = {"kind": "logistic", "name": "Features", "covariates": ["radiomics"]}


def make_measured_cases(seed, patients):
    random = np.random.default_rng(seed)
    cases = []
    for number in range(patients):
        features = np.round(random.normal(size=len(FEATURES)), 4)
        grows = bool(features[list(TELLING)].sum() + random.logistic() > 0.8)
        case = a_case(f"P{number:03d}", grows=grows, age=60 + 9 * random.normal() + 4 * grows)
        cases.append(replace(case, features=features))
    return tuple(cases)


@pytest.fixture
def radiomics(tmp_path):
    def make(family):
        plan = plan_of(
            {"a": "train", "b": "train", "c": "train"},
            COMBINED,
            ONLY_FEATURES,
            {**MACHINE, "covariates": ["age", "radiomics"]},
            profile="standard",
            two_site_ack=False,
            phases=["training"],
            arms={"local_models": False},
            radiomics={"family": family},
        )
        sites = {
            name: analyses_of(plan, name, make_measured_cases(seed, size), tmp_path / name)
            for seed, (name, size) in enumerate({"a": 90, "b": 100, "c": 110}.items())
        }
        return FollowedExchange(plan, sites)

    return make


def select_and_fit(line):
    plan = line.plan
    (arm,) = plan.all_arms()
    selected = carry_out(line, name_selection(arm), find_predictors(plan, arm, None))
    for model in plan.regressions:
        carry_out(line, name_fit(model, arm), fit_regression(plan, model, selected))
    for model in plan.table_models:
        if isinstance(model, SvmModel):
            carry_out(line, name_fit(model, arm), fit_support_vectors(plan, model, selected))
    return selected


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_features_that_a_coordinator_selects_are_its_choice_once(radiomics, family):
    line = radiomics(family)

    selected = select_and_fit(line)

    assert len(selected.predictors.radiomics) >= 1
    # Sites have learnt the choice, not the products that it rests on
    for follower in line.followers.values():
        (known,) = follower._courses[name_selection(selected.arm)].outcome
        assert known.choice.names == selected.predictors.radiomics
        assert known.selection is None


def test_other_features_in_a_second_model_are_refused(radiomics):
    line = radiomics("gaussian")
    plan = line.plan
    (arm,) = plan.all_arms()
    selected = carry_out(line, name_selection(arm), find_predictors(plan, arm, None))
    first, second = plan.regressions
    carry_out(line, name_fit(first, arm), fit_regression(plan, first, selected))

    names = selected.predictors.radiomics
    other = next(name for name in FEATURES if name not in names)
    crafted = replace(selected, predictors=replace(selected.predictors, radiomics=(*names[1:], other)))
    with pytest.raises(NotThePlanError, match="other radiomics features were selected before"):
        carry_out(line, name_fit(second, arm), fit_regression(plan, second, crafted))
