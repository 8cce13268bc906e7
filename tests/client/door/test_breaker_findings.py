"""What a coordinator could once do behind the door: ask in part, tell nothing, choose the impossible."""

import re

import numpy as np
import pytest
from sites.attacked import ROLES, make_cases, plan_table_models
from sites.exchange import analyses_of
from sites.followed import FollowedExchange
from sites.plans import NETWORK, plan_of

from client.door.course import AskedStep
from client.door.follower import Follower
from common.cards.fitted import coefficients_of, covariates_of
from common.cards.fourier_machine import NOBODY
from common.errors import NotThePlanError
from common.messages.catalogue import Operation
from common.messages.headers import RequestHeader
from common.messages.questions import write_coefficients
from common.plan.design import design_of
from common.plan.matrix import cohorts_of, scorers_of
from common.program.comparisons_of_scores import compare_judged_scores
from common.program.fits import fit_regression, fit_support_vectors
from common.program.judging import judge_scores
from common.program.names import (
    COMPARISON,
    EVALUATION,
    SCREENING,
    name_explanation,
    name_fit,
    name_scoring,
    name_selection,
)
from common.program.regressions import screen_candidates
from common.program.selections import find_predictors
from server.phases.cohort import describe_cohorts
from server.phases.comparison import compare_models
from server.phases.evaluation import evaluate_models
from server.procedures import carry_out

SITES = ("a", "b", "c")
PLAN = plan_table_models({name: ROLES[name] for name in SITES})
FEW = 12
"""Test patients of site a: too few for numbers of its own."""


class Crafting(FollowedExchange):
    """Asks other parameters than honest ones, and withholds sums; set `craft` and `withheld`."""

    withheld = frozenset()
    """Operations whose sums over several sites are told to nobody."""

    @staticmethod
    def craft(operation, parameters, step):
        return parameters

    def gather(self, operation, parameters=None, weights=None, **context):
        asked = self.craft(operation, parameters or {}, int(context["step"]))
        return super().gather(operation, asked, weights, **context)

    def _tell(self, site, header, groups, sums):
        told = super()._tell(site, header, groups, sums)
        if header.operation not in self.withheld:
            return told
        return {sites: summary for sites, summary in told.items() if len(sites) == 1}


@pytest.fixture
def line(tmp_path, monkeypatch, request):
    # Nobody pulls a plug here
    monkeypatch.setattr("os.fsync", lambda _: None)
    sites = {}
    for seed, name in enumerate(SITES):
        cases = make_cases(seed, test=getattr(request, "param", FEW) if name == "a" else 30)
        sites[name] = analyses_of(PLAN, name, cases, tmp_path / name)
        for number, scorer in enumerate(scorers_of(PLAN)):
            random = np.random.default_rng([number, seed])
            signal = np.array([case.positive for case in cases]) * (4 + 2 * number)
            scores = np.clip(random.integers(1, 12, len(cases)) + signal, 1, 19) / 20
            sites[name].store.keep(scorer.model.name, scorer.arm.name, cases, scores)
    return Crafting(PLAN, sites)


def evaluate(line):
    evaluate_models(line, "Clinical")


def compare_at_once(line):
    judged = carry_out(line, EVALUATION, judge_scores(line.plan, "Clinical"))
    carry_out(line, COMPARISON, compare_judged_scores(judged))


def judge(line):
    compare_models(line, evaluate_models(line, "Clinical"), "Clinical")


def select(line):
    (arm,) = line.plan.all_arms()
    screening = carry_out(line, SCREENING, screen_candidates(line.plan, line.plan.training_sites))
    return carry_out(line, name_selection(arm), find_predictors(line.plan, arm, screening))


def select_and_judge(line):
    select(line)
    judge(line)


def fit_machine(line):
    (arm,), (machine,) = line.plan.all_arms(), [one for one in line.plan.models if one.kind == "svm"]
    selected = select(line)
    return carry_out(line, name_fit(machine, arm), fit_support_vectors(line.plan, machine, selected))


def test_an_honest_study_is_admitted(line):
    describe_cohorts(line)
    assert fit_machine(line).gamma is not None
    judge(line)


@pytest.mark.parametrize(
    ("operation", "conduct"),
    [(Operation.COHORT, describe_cohorts), (Operation.GRID, judge), (Operation.EVALUATE, judge)],
)
def test_one_site_of_a_group_is_not_asked_alone(line, operation, conduct):
    """The sum over the group would be this site's own numbers, whose patients are too few to be shown."""

    def ask_one(asked_operation, parameters, _):
        if asked_operation is not operation:
            return parameters
        asked = parameters["asked"].copy()
        assert asked.any(axis=tuple(range(1, asked.ndim))).all()
        asked[1:] = False
        return {**parameters, "asked": asked}

    line.craft = ask_one
    # The others are asked for nothing, and add zeros: that they may admit
    with pytest.raises(NotThePlanError, match="in no group that may be asked as a whole"):
        conduct(line)


def test_less_is_asked_of_whole_groups(line):
    """What a coordinator leaves out for all sites is left out, and no study ends for that."""

    def ask_less(operation, parameters, _):
        if operation is not Operation.COHORT:
            return parameters
        asked = parameters["asked"].copy()
        asked[..., 0] = False
        return {**parameters, "asked": asked}

    line.craft = ask_less
    describe_cohorts(line)


def change_of_groups(parameters, ending, change):
    """The same with changed arrays about cohorts of several sites."""
    several = {number for number, cohort in enumerate(cohorts_of(PLAN)) if len(cohort.sites) > 1}

    def is_changed(name):
        number = re.match(r"(?:cohort/|paired/)?(\d+)[./]", name)
        return number is not None and int(number[1]) in several and name.endswith(ending)

    return {name: change(array) if is_changed(name) else array for name, array in parameters.items()}


def craft_calibration(operation, parameters, _):
    if operation is not Operation.CALIBRATE:
        return parameters
    return change_of_groups(parameters, "coefficients", lambda array: array + 1e4)


def craft_placements(operation, parameters, _):
    if operation is not Operation.COMPARE:
        return parameters
    return change_of_groups(parameters, (".v01", ".v10"), lambda array: array * 0)


@pytest.mark.parametrize("line", [30], indirect=True)
@pytest.mark.parametrize(
    ("withheld", "craft", "conduct"),
    [
        ({Operation.EVALUATE}, craft_calibration, evaluate),
        ({Operation.GUARD, Operation.EVALUATE}, craft_placements, compare_at_once),
    ],
)
def test_what_is_not_told_does_not_become_the_coordinator_s_choice(line, withheld, craft, conduct):
    line.withheld, line.craft = withheld, craft

    with pytest.raises(NotThePlanError):
        conduct(line)


@pytest.mark.parametrize(
    "operation", [Operation.GUARD, Operation.SETUP, Operation.NEWTON, Operation.EVALUATE]
)
def test_after_a_sum_that_was_not_told_nothing_follows(line, operation):
    line.withheld = frozenset({operation})

    with pytest.raises(NotThePlanError):
        select_and_judge(line)
    assert line.asked[-1][0] is operation


def test_a_fit_scores_with_its_own_covariates(line):
    plan, (arm,), (model,) = line.plan, line.plan.all_arms(), line.plan.regressions
    fitted = carry_out(line, name_fit(model, arm), fit_regression(plan, model, select(line)))
    coefficients = write_coefficients(coefficients_of(fitted, design_of(plan)))
    about = {"model": model.name, "arm": arm.name, "procedure": name_scoring(model, arm), "step": 1}

    def ask(site, names, moved=0.0):
        asked = {**coefficients, "coefficients": coefficients["coefficients"] + moved}
        header = line.make_header(Operation.SCORE, asked, {**about, "regressions": names})
        return line.followers[site].follow(AskedStep(header, asked))

    own = (covariates_of(fitted),)
    # All sites trained it: none is asked with the others, to whom it is new
    for site, names, moved in (("a", (("age", "inr"),), 0.0), ("c", own, 1e-3)):
        with pytest.raises(NotThePlanError):
            ask(site, names, moved)
    assert ask("b", own)


def ask_many(operation, asked, step):
    """Twenty models where the first step had fewer, with the coordinator's coefficients."""
    return repeat(asked, 20) if operation is Operation.RIDGE and step > 3 else asked


def hold_out_twice(operation, asked, _):
    return repeat(asked, 2) if operation is Operation.HELD_OUT else asked


def fit_two_at_last(operation, asked, _):
    is_last = operation is Operation.RIDGE and asked["left_out"].tolist() == [NOBODY]
    return repeat(asked, 2) if is_last else asked


def fit_all_at_once(operation, asked, step):
    """The model of all folds among those of the cross-validation."""
    is_early = operation is Operation.RIDGE and step > 3 and NOBODY not in asked["left_out"]
    return {**asked, "left_out": np.full_like(asked["left_out"], NOBODY)} if is_early else asked


def leave_a_fold_out_at_last(operation, asked, _):
    is_last = operation is Operation.RIDGE and asked["left_out"].tolist() == [NOBODY]
    # The honest first question of the last fit is of coefficients 0; so are those before it of other folds
    return {**asked, "left_out": np.zeros_like(asked["left_out"])} if is_last else asked


def ask_another_width(operation, asked, step):
    return {**asked, "gammas": asked["gammas"] * 100} if operation is Operation.RIDGE and step > 3 else asked


def send_no_models(operation, asked, step):
    """Arrays without the shape that the choice is read from."""
    return {**asked, "gammas": asked["gammas"][0]} if operation is Operation.RIDGE and step > 3 else asked


def repeat(asked, times):
    of_models = ("gammas", "left_out", "coefficients")
    return {
        name: np.concatenate([array] * times) if name in of_models else array for name, array in asked.items()
    }


@pytest.mark.parametrize(
    "craft",
    [ask_many, hold_out_twice, fit_two_at_last, fit_all_at_once, leave_a_fold_out_at_last, ask_another_width],
)
def test_machines_are_those_of_the_first_step_and_one_at_last(line, craft):
    line.craft = craft

    with pytest.raises(NotThePlanError, match="models came that are not the plan's"):
        fit_machine(line)


def test_machines_that_cannot_be_read_are_refused(line):
    line.craft = send_no_models

    with pytest.raises(NotThePlanError, match="what was chosen is impossible"):
        fit_machine(line)


@pytest.mark.parametrize("roles", [ROLES, dict.fromkeys(SITES, "train")], ids=["external", "all train"])
def test_who_missed_a_training_s_end_is_asked_for_maps_once_more(roles):
    """With the signatures of those who know the network; whether or not there are other sites."""
    plan = plan_of(roles, NETWORK, profile="standard", two_site_ack=False)
    (model,), (arm,) = plan.networks, [arm for arm in plan.all_arms() if arm.kind == "federated"]
    follower = Follower(plan, "a", lambda *_: 0.0)

    def ask(step):
        header = RequestHeader(
            operation=Operation.EXPLAIN,
            plan_hash=plan.digest(),
            site="a",
            model=model.name,
            arm=arm.name,
            procedure=name_explanation(model, arm),
            step=step,
        )
        return follower.follow(AskedStep(header, {}))

    assert ask(1)
    assert ask(2)
    with pytest.raises(NotThePlanError, match="nothing more follows"):
        ask(3)
