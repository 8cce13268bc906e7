"""A hospital's own policy: stricter than any plan, and checked before anything is computed."""

from __future__ import annotations

import pytest
from sites.plans import SCALE, plan_of

from client.membership.policy import check_plan, state_policy
from client.membership.site import Policy, SiteSettings
from client.release.ledger import Departure, Ledger, check_quota
from common.errors import PolicyError

SITES = {"a": "train", "b": "train", "c": "external"}


def settings(**policy):
    return SiteSettings(name="a", table="t.csv", policy=Policy.model_validate(policy))


def a_plan(**changes):
    return plan_of(SITES, SCALE, profile="standard", **changes)


def test_a_plan_within_the_policy_passes(tmp_path):
    check_plan(
        settings(phases=["cohort", "evaluation"], min_sites=2), tmp_path, a_plan(phases=["evaluation"])
    )
    check_plan(settings(), tmp_path, a_plan(privacy={"secure": False}))


@pytest.mark.parametrize(
    ("policy", "plan", "said"),
    [
        (
            {"phases": ["cohort"]},
            {"phases": ["cohort", "evaluation"]},
            "phases evaluation, site a takes no part",
        ),
        ({"phases": []}, {"phases": ["cohort"]}, "policy.phases"),
        ({"hidden_sums": True}, {"privacy": {"secure": False}}, "policy.hidden_sums"),
        ({"min_sites": 3}, {}, "opens sums of 2 sites, site a asks for 3"),
        ({"profiles": ["replication"]}, {}, "policy.profiles"),
    ],
)
def test_a_plan_beyond_the_policy_is_refused_with_its_setting(tmp_path, policy, plan, said):
    with pytest.raises(PolicyError, match=said):
        check_plan(settings(**policy), tmp_path, a_plan(**plan))


def test_the_policy_is_stated_for_the_coordinator_to_read():
    found = state_policy(settings(min_patients=40, min_sites=3, phases=["cohort"]))

    assert (found.min_patients, found.min_per_class, found.min_sites) == (40, 10, 3)
    assert (found.answers_per_day, found.phases) == (50_000, ("cohort",))


def departure(numbers):
    return Departure(plan_hash="", phase="p", what="statistics", numbers=numbers, size=1, digest="0" * 64)


def test_so_many_answers_a_day_and_no_more(tmp_path):
    ledger, policy = Ledger(tmp_path), settings(answers_per_day=2)

    for number in range(2):
        check_quota(policy, ledger)
        # A refusal has no number in it and does not count.
        ledger.record(departure(0))
        ledger.record(departure(3 + number))

    with pytest.raises(PolicyError, match="answered 2 times today"):
        check_quota(policy, ledger)


def test_the_next_day_begins_at_none(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path)
    ledger.record(departure(1))
    head = tmp_path / "ledger.head"
    head.write_text(head.read_text().replace('"day":"20', '"day":"19'))

    assert ledger.count_today() == 0
    ledger.record(departure(1))
    assert ledger.count_today() == 1
