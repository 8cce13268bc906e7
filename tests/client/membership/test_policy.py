"""A hospital's own policy: stricter than any plan, and checked before anything is computed."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from sites.plans import NETWORK, SCALE, plan_of

from client.membership.party import PlanPolicy
from client.membership.policy import (
    check_plan,
    check_roster_policy,
    check_waiver_policy,
    find_breaches,
    state_policy,
)
from client.membership.site import MARKER, Policy, SiteSettings
from client.release.ledger import Departure, Ledger, check_quota
from common.errors import PolicyError
from common.models.layout import Layout
from common.models.zoo import build
from common.secagg.site.history import Begun, Ended, History, Release
from common.secagg.wire.messages import RoundRequest
from common.secagg.wire.roster import Member, Roster, Waiver, minimum_sites

SITES = {"a": "train", "b": "train", "c": "external"}
FIVE = {name: "train" if name in "ab" else "external" for name in "abcde"}


def settings(**policy):
    return SiteSettings(name="a", table="t.csv", policy=Policy.model_validate(policy))


def a_plan(sites=SITES, **changes):
    return plan_of(sites, SCALE, profile="standard", **changes)


def test_a_plan_within_the_policy_passes(tmp_path):
    check_plan(
        settings(phases=["cohort", "evaluation"], min_sites=2), tmp_path, a_plan(phases=["evaluation"])
    )
    check_plan(settings(), tmp_path, plan_of({"a": "train"}, SCALE, profile="standard"))


def test_only_simulated_sites_show_their_own_numbers_in_a_study_of_several(tmp_path):
    bare = a_plan(privacy={"secure": False})
    simulated = SiteSettings(name="a", table="t.csv", synthetic=True)

    for unmarked in (settings(), simulated):
        with pytest.raises(PolicyError, match=r"privacy\.secure = false, site a has patients"):
            check_plan(unmarked, tmp_path, bare)
        found = [finding.what for finding in find_breaches(unmarked, tmp_path, bare)]
        assert found == ["the plan says privacy.secure = false, site a has patients"]
    (tmp_path / MARKER).write_text('{"seed": 1}')
    check_plan(simulated, tmp_path, bare)


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
        # Five sites hide the sum over two: it is one of two all the same
        ({"min_sites": 5}, {"sites": FIVE}, "opens sums of 2 sites, site a asks for 5"),
        ({"profiles": ["replication"]}, {}, "policy.profiles"),
    ],
)
def test_a_plan_beyond_the_policy_is_refused_with_its_setting(tmp_path, policy, plan, said):
    with pytest.raises(PolicyError, match=said):
        check_plan(settings(**policy), tmp_path, a_plan(**plan))


def a_roster(plan):
    names = plan.site_names
    return Roster(
        study="study",
        version=1,
        plan=plan.digest(),
        minimum=minimum_sites(len(names), 0),
        colluders=0,
        sites=tuple(Member(id=n, name=name, key=f"{n:064x}") for n, name in enumerate(names, 1)),
        coordinator="f" * 64,
    )


def a_waiver(**fields):
    return Waiver(study="s", roster="0" * 64, definition="0" * 64, site=0, number=1, kind="absent", **fields)


def test_a_roster_that_opens_fewer_sites_than_the_policy_asks_for_is_refused():
    trains = plan_of(dict.fromkeys("abcde", "train"), NETWORK, profile="standard", two_site_ack=False)
    tables = plan_of(dict.fromkeys("abcde", "train"), SCALE, profile="standard", two_site_ack=False)

    assert a_roster(trains).minimum == 3
    check_roster_policy(settings(min_sites=3), trains, a_roster(trains))
    with pytest.raises(PolicyError, match="opens sums of 3 sites, site a asks for 5"):
        check_roster_policy(settings(min_sites=5), trains, a_roster(trains))
    # Statistics are of all sites: no sum of fewer is ever answered
    check_roster_policy(settings(min_sites=5), tables, a_roster(tables))


def test_a_waiver_that_leaves_fewer_sites_than_the_policy_asks_for_is_refused():
    plan = plan_of(dict.fromkeys("abcde", "train"), NETWORK, profile="standard", two_site_ack=False)

    check_waiver_policy(settings(min_sites=4), plan, a_waiver(phase="training:0:0", absent=(5,)))
    with pytest.raises(PolicyError, match=r"leaves 3 sites in the sums of training:0:0, site a asks for 4"):
        check_waiver_policy(settings(min_sites=4), plan, a_waiver(phase="training:0:0", absent=(4, 5)))


def test_who_hides_among_zeros_is_never_summed_with_zeros_alone():
    """Two of five train: a set of one of them and three that add zeros would show its update."""
    plan = plan_of(FIVE, NETWORK, two_site_ack=False)
    layout = Layout.of(build(plan.networks[0].network(plan.preprocessing)))
    rules = PlanPolicy(plan, lambda _: layout, lambda *_: None, "a")

    assert rules.rules_of("training:0:0").required == {1, 2}
    assert rules.rules_of("statistics:0").required == {1, 2, 3, 4, 5}
    together = plan_of(dict.fromkeys("abcde", "train"), NETWORK, two_site_ack=False)
    everybody = PlanPolicy(together, lambda _: layout, lambda *_: None, "a")
    assert everybody.rules_of("training:0:0").required == frozenset()


def test_with_control_variates_no_training_site_may_be_missing():
    network = NETWORK | {"training": {"optimiser": "sgd"}}
    federation = {"control_variates": True, "local_steps": 2}
    plan = plan_of(dict.fromkeys("abcde", "train"), network, federation=federation, two_site_ack=False)
    layout = Layout.of(build(plan.networks[0].network(plan.preprocessing)))
    rules = PlanPolicy(plan, lambda _: layout, lambda *_: None, "a")

    assert rules.rules_of("training:0:0").required == {1, 2, 3, 4, 5}


FIRST = np.zeros(3, dtype=np.float32)


def a_history(*ends):
    """Rounds that released sums, each with what became of it: whether it is proved, or None if it is open."""
    history, phase = History(), "training:0:0"
    for number, is_proved in enumerate(ends, 1):
        hdr, model = f"{number}" * 64, f"{number + 4}" * 64
        entries = [
            Begun(phase=phase, round=number, hdr=hdr),
            Release(
                phase=phase,
                hdr=hdr,
                step=0,
                vectors=("v",),
                definitions=(),
                model="0" * 64,
                input=hdr,
                set=6,
            ),
        ]
        if is_proved is not None:
            entries.append(Ended(phase=phase, hdr=hdr, status="opened", result=model, proved=is_proved))
        for entry in entries:
            history.notice(entry.model_dump(mode="json"))
    return history


@pytest.mark.parametrize(
    ("ends", "number", "model", "is_allowed"),
    [
        ((), 1, "first", True),
        ((), 1, "7" * 64, False),
        ((), 2, "first", False),
        ((True,), 2, "5" * 64, True),
        ((True,), 2, "first", False),
        ((True,), 2, "6" * 64, False),
        # The coordinator says what a round gave, and proves nothing
        ((False,), 2, "5" * 64, False),
        ((True, False), 3, "6" * 64, False),
        # The model before once more, while the last round's sum is kept from the site
        ((True, None), 3, "5" * 64, False),
        ((True, False), 3, "5" * 64, False),
        ((True, True), 3, "5" * 64, False),
        ((True, True), 3, "6" * 64, True),
    ],
)
@pytest.mark.parametrize("site", ["a", "e"])
def test_a_round_starts_from_what_the_site_derived_from_the_last(ends, number, model, is_allowed, site):
    plan = plan_of(FIVE, NETWORK, two_site_ack=False)
    rules = PlanPolicy(plan, lambda _: None, lambda *_: FIRST, site)
    digest = hashlib.sha256(FIRST.tobytes()).hexdigest() if model == "first" else model
    request = RoundRequest.model_construct(phase="training:0:0", round=number, model=digest)

    if is_allowed or site == "e":
        rules.check(request, a_history(*ends))
    else:
        with pytest.raises(PolicyError, match="the last round gave"):
            rules.check(request, a_history(*ends))


@pytest.mark.parametrize("model", ["first", "7" * 64])
def test_weights_from_imagenet_are_those_of_the_plans_digest(model):
    digest = hashlib.sha256(FIRST.tobytes()).hexdigest()
    network = {**NETWORK, "family": "resnet18", "dimensions": 2, "initialisation": "imagenet"}
    plan = plan_of(FIVE, {**network, "first_weights": digest}, two_site_ack=False)
    request = RoundRequest.model_construct(
        phase="training:0:0", round=1, model=digest if model == "first" else model
    )
    rules = PlanPolicy(plan, lambda _: None, lambda *_: None, "a")

    if model == "first":
        rules.check(request, a_history())
    else:
        with pytest.raises(PolicyError, match="neither the plan's first"):
            rules.check(request, a_history())
    # Without a digest the coordinator has the choice, which `approve` says
    free = PlanPolicy(plan_of(FIVE, network, two_site_ack=False), lambda _: None, lambda *_: None, "a")
    free.check(request, a_history())


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


def test_the_next_day_begins_at_none(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.append({"event": "JOIN"})
    line = json.loads(ledger.path.read_text())
    line = {**line, "protocol": None, "departure": departure(1).model_dump(), "time": "1999-12-31T23:59:59Z"}
    ledger.path.write_text(json.dumps(line) + "\n")
    ledger = Ledger(tmp_path)

    assert ledger.count_today() == 0
    ledger.record(departure(1))
    assert ledger.count_today() == 1
