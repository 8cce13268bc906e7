"""Procedures that do not build on each other may be asked in any order; those that do may not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sites.exchange import analyses_of
from sites.followed import FollowedExchange
from sites.patients import a_case
from sites.plans import plan_of

from client.answers.shifts import PredictorShifts
from client.door.door import StudyDoor
from client.door.follower import Follower
from common.errors import NotThePlanError
from common.messages.catalogue import Operation
from common.messages.protocol import Request
from common.program import names
from common.program.fits import fit_regression
from common.program.patient_description import describe_patients
from common.program.regressions import screen_candidates
from common.program.selections import find_predictors
from common.program.study_program import list_procedures
from server.procedures import carry_out

TWO = {"a": "train", "b": "train"}
MODELS = [
    {"kind": "logistic", "name": "Ages", "covariates": ["age", "sah"]},
    {"kind": "logistic", "name": "Pressures", "covariates": ["age", "sbp_mmhg"]},
]


def make_cases(seed):
    random = np.random.default_rng(seed)
    return tuple(
        a_case(
            f"P{number:03d}",
            grows=bool(random.random() < 0.4),
            age=float(random.normal(60, 10)),
            sbp_mmhg=float(random.normal(150, 20)),
            sah=float(number % 3 == 0),
        )
        for number in range(60)
    )


@dataclass
class Recording:
    """What a site was asked, and told of each question, by procedure."""

    asked: dict = field(default_factory=dict)
    order: list = field(default_factory=list)
    told: dict = field(default_factory=dict)

    def follow(self, step):
        self.last = step.header.procedure, step.header.step
        self.asked.setdefault(step.header.procedure, []).append(step)
        self.order.append(step)

    def learn(self, sums):
        self.told[self.last] = sums


class Study:
    """A study whose questions were recorded at the site a."""

    def __init__(self, folder):
        self.plan = plan = plan_of(
            {"a": "train", "b": "train", "c": "train"},
            *MODELS,
            profile="standard",
            two_site_ack=False,
            phases=["cohort", "regression", "training"],
            regression={"candidates": ["age", "sah"]},
            arms={"local_models": False},
        )
        sites = {
            name: analyses_of(plan, name, make_cases(seed), folder / name) for seed, name in enumerate("abc")
        }
        self.recording = Recording()
        others = dict.fromkeys("bc", Recording())
        line = FollowedExchange(plan, sites, followers={"a": self.recording, **others})
        self.measure = PredictorShifts(plan, sites["a"].cases, sites["a"].store).measure
        (arm,) = plan.all_arms()
        carry_out(line, names.COHORT_DESCRIPTION, describe_patients(plan))
        carry_out(line, names.SCREENING, screen_candidates(plan, plan.training_sites))
        selected = carry_out(line, names.name_selection(arm), find_predictors(plan, arm, None))
        for model in plan.regressions:
            carry_out(line, names.name_fit(model, arm), fit_regression(plan, model, selected))
        self.fits = [names.name_fit(model, arm) for model in plan.regressions]

    def follow(self, steps):
        """The follower after these questions."""
        follower = Follower(self.plan, "a", self.measure)
        for step in steps:
            assert follower.follow(step)
            self.tell(follower, step)
        return follower

    def tell(self, follower, step):
        place = step.header.procedure, step.header.step
        follower.learn(self.recording.told[place], step.header.procedure)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("study"))


def describe(follower, study):
    """What the procedures came to, the fits among them."""
    for name in (names.SCREENING, *study.fits):
        follower._courses[name].finish()
    found = {}
    for name in (names.SCREENING, *study.fits):
        (outcome,) = follower._courses[name].outcome
        found[name] = repr(outcome)
    return found


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_order_between_those_that_build_on_nothing_of_each_other_leads_to_the_same(study, data):
    asked = study.recording.asked
    expected = describe(study.follow(study.recording.order), study)
    described, *rest = asked
    lanes = {name: list(asked[name]) for name in rest}
    order = list(asked[described])
    while any(lanes.values()):
        name = data.draw(st.sampled_from([name for name, steps in lanes.items() if steps]))
        order.append(lanes[name].pop(0))

    assert describe(study.follow(order), study) == expected


def test_nothing_of_a_procedure_is_asked_once_another_builds_on_it(study):
    asked = study.recording.asked
    table, screening = asked[names.COHORT_DESCRIPTION], asked[names.SCREENING]
    follower = study.follow([table[0], screening[0]])

    with pytest.raises(NotThePlanError, match="was answered"):
        follower.follow(table[1])


def test_the_same_question_is_not_admitted_a_second_time_in_its_procedure(study):
    steps = study.recording.asked[names.SCREENING]
    other = study.recording.asked[study.fits[0]]
    follower = study.follow([steps[0], other[0]])

    with pytest.raises(NotThePlanError, match="was answered"):
        follower.follow(steps[0])


def test_a_procedure_goes_on_with_its_own_sums_alone(study):
    first, second = (study.recording.asked[name] for name in study.fits)
    follower = Follower(study.plan, "a", study.measure)
    follower.follow(first[0])
    follower.follow(second[0])
    study.tell(follower, second[0])

    with pytest.raises(NotThePlanError, match="not proved"):
        follower.follow(first[1])
    follower.follow(second[1])


@pytest.mark.parametrize("other", [1, -1])
def test_a_step_of_another_procedure_is_not_one_of_this(study, other):
    first, second = (study.recording.asked[name] for name in study.fits)
    follower = study.follow([first[0], second[0]])
    smuggled = second[other]
    header = smuggled.header.model_copy(update={"procedure": study.fits[0], "step": 2})

    with pytest.raises(NotThePlanError):
        follower.follow(replace(smuggled, header=header))


def test_who_builds_on_whom_is_told_before(study):
    for plan in (
        study.plan,
        plan_of({"a": "train", "b": "train"}, {"name": "n", "family": "resnet18"}, *MODELS),
    ):
        before = []
        for procedure in list_procedures(plan):
            assert set(procedure.builds_on) <= set(before)
            # Nothing is fitted, trained or judged before the patients are prepared
            assert not before or names.PREPARATION in list_all_before(plan, procedure.name)
            before.append(procedure.name)


@pytest.mark.parametrize("has_others", [True, False])
def test_attack_68_a_fit_s_last_sums_withheld_and_an_empty_score(study, tmp_path, has_others):
    """Its sums are told later: after a restart the site takes the score as it took it, and goes on."""
    (arm,), model = study.plan.all_arms(), study.plan.regressions[0]
    door = open_door(study, tmp_path)
    steps = [step for step in study.recording.order if has_others or step.header.procedure != study.fits[1]]
    told = study.recording.told
    withheld = max(place for place in told if place[0] == study.fits[0])
    digests = {}
    for number, step in enumerate(steps):
        place = step.header.procedure, step.header.step
        digests[place] = f"{number:064x}"
        door.admit(Request(step.header, None, step.parameters), digests[place])
        if place != withheld:
            door.learn(digests[place], told[place])
    fields = {"model": model.name, "arm": arm.name, "procedure": names.name_scoring(model, arm), "step": 1}
    score = steps[0].header.model_copy(
        update={"operation": Operation.SCORE, "stage": "", "regressions": (), "parameters": (), **fields}
    )
    door.admit(Request(score, None, {}), "e" * 64)

    door.learn(digests[withheld], told[withheld])

    for same in (door, open_door(study, tmp_path), open_door(study, tmp_path)):
        assert same.has_proved(digests[withheld])
        assert same.admit(Request(score, None, {}), "e" * 64)
        with pytest.raises(NotThePlanError, match="was answered"):
            same.admit(Request(steps[-1].header, None, steps[-1].parameters), "f" * 64)
        # What was known before it went on is told again, and stays so
        same.learn(digests[study.fits[0], 1], told[study.fits[0], 1])
        same.learn(digests[withheld], told[withheld])


def open_door(study, folder):
    return StudyDoor(study.plan, "a", folder / "door", study.measure)


def list_all_before(plan, name):
    """Whatever is finished when a procedure begins."""
    procedures = {procedure.name: procedure for procedure in list_procedures(plan)}
    found = set()
    waiting = [name]
    while waiting:
        for earlier in procedures[waiting.pop()].builds_on:
            if earlier not in found:
                found.add(earlier)
                waiting.append(earlier)
    return found


def test_scores_are_judged_once_nothing_gives_any_more():
    plan = plan_of(
        {"a": "train", "b": "train"},
        {"name": "n", "family": "resnet18"},
        *MODELS,
        phases=["training", "evaluation"],
    )
    before = list_all_before(plan, names.EVALUATION)

    for model in (*plan.networks, *plan.table_models):
        for arm in plan.arms_of(model):
            assert names.name_scoring(model, arm) in before
