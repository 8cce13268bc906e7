"""Trainings from several seeds: what people are told of them, and what they cost, before a study begins."""

from __future__ import annotations

from sites.plans import NETWORK, plan_of

from client.membership.site import SiteSettings
from client.release.approval_text import describe_plan
from common.plan.repeated_trainings import is_repeat
from server.phases.reference import choose_reference_model, list_validated
from server.phases.training import TrainedModel
from server.planning.expected_patients import expect_patients
from server.planning.forecast import forecast_study
from server.planning.plan_words import explain_plan
from server.planning.study_costs import expect_minutes
from server.planning.withheld_results import ResultForecast
from server.training.federated import Round

ROLES = {"a": "train", "b": "train", "c": "external"}
DEEP = NETWORK | {"family": "resnet101", "input_size": 64}
ONCE, THRICE = plan_of(ROLES, DEEP), plan_of(ROLES, DEEP | {"repeats": 3})
PATIENTS = ["a=40/90", "b=40/90", "c=30/80"]


def forecast(plan):
    return forecast_study(plan, expect_patients(plan, PATIENTS), {"a": 2.0, "b": 1.0}, {})


def test_a_forecast_has_three_times_the_rounds_and_the_minutes():
    once, thrice = forecast(ONCE), forecast(THRICE)

    assert thrice.training_minutes == 3 * once.training_minutes > 0
    for phase in ("training", "scoring"):
        assert thrice.rounds[phase].usual == 3 * once.rounds[phase].usual > 0
    # Nothing else is asked of further trainings
    others = once.rounds.keys() - {"training", "scoring"}
    assert {name: once.rounds[name] for name in others} == {name: thrice.rounds[name] for name in others}
    assert expect_minutes(THRICE, {"a": 2.0, "b": 1.0}) == thrice.training_minutes
    assert thrice.disk.models == 3 * once.disk.models


def test_what_cannot_be_shown_is_told_of_the_first_training_alone():
    patients = expect_patients(THRICE, PATIENTS)

    found = ResultForecast(THRICE, patients).list_results()

    assert {one.model for one in found if one.topic in {"model", "judgement"}} == {"Net"}
    assert len(found) == len(ResultForecast(ONCE, patients).list_results())


def test_a_hospital_is_told_that_networks_are_trained_several_times_before_it_approves():
    site = SiteSettings(name="a", table="cohort.csv")
    text = describe_plan(THRICE, site)

    assert "SEVERAL TRAININGS OF ONE NETWORK: Net 3 times in each arm" in text
    assert "the weights of Net, Net-seed-2, Net-seed-3 after training on this site's patients" in text
    assert "SEVERAL TRAININGS" not in describe_plan(ONCE, site)
    assert "SEVERAL TRAININGS" not in describe_plan(THRICE, site.model_copy(update={"name": "c"}))


def test_plan_check_lists_each_training_and_says_what_it_is_for():
    lines = [line for text in explain_plan(THRICE) for line in text.splitlines()]

    told = [line for line in lines if line.startswith("  - Net (seed ")]
    assert len(told) == 2
    assert "(in files: Net-seed-2): Net trained once more, from a seed of its own" in told[0]


def test_the_best_validated_further_training_is_no_reference():
    """By validation AUC the third training would be; one of several seeds is then chosen by luck."""
    plan = plan_of(ROLES, DEEP | {"repeats": 3}, NETWORK | {"name": "Other"})
    aucs = {"Net": 0.6, "Other": 0.7, "Net-seed-2": 0.65, "Net-seed-3": 0.9}
    arm = plan.arm("federated")
    trained = tuple(
        TrainedModel(model, arm, None, 1, (Round(number=1, loss=1.0, validation_auc=aucs[model.name]),))
        for model in plan.networks
    )

    assert choose_reference_model(plan, trained) == "Other"
    assert [one.trained.model.name for one in list_validated(trained)] == ["Other", "Net"]
    assert sum(is_repeat(one.model) for one in trained) == 2
