"""Few patients at a hospital, a policy that asks for more sites, a member that leads the others astray."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sites.attacked import MACHINE, conduct_table_models, make_cases, plan_table_models
from sites.crafted import CraftedStudy
from sites.plans import NETWORK, SCALE, plan_of

from client.membership.policy import check_roster_policy
from common.errors import ExchangeError, PolicyError
from common.messages.catalogue import Operation
from common.program.names import SCREENING
from common.program.regressions import screen_candidates
from common.stats.contract import total
from server.phases.evaluation import evaluate_models
from server.phases.fitting import fit_models
from server.phases.svm import fit_svms
from server.procedures import carry_out
from server.reasons import SiteFailureError
from simulations.backends.parties import derive_simulated_roster

THREE = {"a": "train", "b": "train", "c": "train"}
FIVE = dict.fromkeys("abcde", "train")


@pytest.fixture(autouse=True)
def no_plug(monkeypatch):
    """Nobody pulls a plug here."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def ask_of_few(heard):
    """What the guard rounds of an arm's models forbid, in place of every hidden question."""
    if heard.iterate is None:
        return
    asked = heard.request.parameters
    for operation, model in ((Operation.SETUP, ""), (Operation.RIDGE, "Machine")):
        fields = {"stage": "", "model": model, "regressions": (("age",),), "arm": "federated"}
        yield "55", heard.change({}, operation=operation, **fields)
    fields = {"stage": "", "model": "", "regressions": (), "arm": "federated"}
    yield "55", heard.change(asked, operation=Operation.NEWTON, **fields)
    if heard.request.header.operation in {Operation.COHORT, Operation.GRID, Operation.EVALUATE}:
        yield "55", heard.change({**asked, "asked": np.ones_like(asked["asked"])})


def test_attack_55_six_patients_where_two_sites_know_each_other_s_numbers(tmp_path):
    study = CraftedStudy(
        plan_table_models({"a": "train", "b": "train"}, two_site_ack=True), tmp_path, ask_of_few
    )
    exchange = study.open({"a": make_cases(0, 9), "b": make_cases(1, 90)})

    conduct_table_models(exchange, study.run)

    assert {(one.code, one.numbers) for one in study.tried} == {("E_NOT_THE_PLAN", 0)}
    assert Counter(one.asked.operation for one in study.tried).keys() == {
        *(Operation.SETUP, Operation.RIDGE, Operation.NEWTON),
        *(Operation.COHORT, Operation.GRID, Operation.EVALUATE),
    }
    # Nor do honest questions show them
    statistics = {Operation.COHORT, Operation.GRID, Operation.EVALUATE}
    shown = [
        r.summary for h, r in study.answers if h.site == "a" and h.request.header.operation in statistics
    ]
    assert total_of(shown, "train/") == {0}


def total_of(summaries, start):
    """The sums of all arrays whose names begin so."""
    return {
        float(np.abs(array).sum())
        for summary in summaries
        for name, array in (*summary.counts.items(), *summary.reals.items())
        if name.startswith(start)
    }


def test_attack_56_three_test_patients_among_three_hospitals(tmp_path):
    """Neither are they shown bare, nor are they what remains of the sum without the other two."""
    plan = plan_of(THREE, SCALE, profile="standard", two_site_ack=False, phases=["evaluation"])
    study = CraftedStudy(plan, tmp_path)
    exchange = study.open({"a": make_cases(0, 120), "b": make_cases(1, 120), "c": make_cases(2, 50, test=3)})

    sums = evaluate_models(exchange, "Scale").judged.answers

    asked = {Operation.GRID, Operation.EVALUATE}
    bare = [r.summary for h, r in study.answers if h.site == "c" and h.request.header.operation in asked]
    assert total_of(bare, ("test/", "whole/")) == {0}
    assert max(total_of(bare, "train/")) > 0
    for part in ("test", "whole"):
        others = total(sums.of([site]).part(part) for site in "ab")
        pooled = sums.of("abc").part(part)
        for name, array in pooled.counts.items():
            assert (array == others.counts[name]).all(), (part, name)


def test_attack_57_sums_of_fewer_sites_than_a_policy_asks_for(tmp_path):
    """A roster that opens rounds of three is not approved; a plan with sums of fewer is not answered."""
    plan = plan_of(FIVE, NETWORK, profile="standard", two_site_ack=False, phases=["training"])
    roster, study = derive_simulated_roster(plan), CraftedStudy(plan, tmp_path / "five")
    study.open({name: make_cases(seed, 30) for seed, name in enumerate(FIVE)}, a="min_sites = 5\n")

    assert roster.minimum == 3
    with pytest.raises(PolicyError, match="opens sums of 3 sites, site a asks for 5"):
        check_roster_policy(study.engines["a"].settings, plan, roster)
    fewer = plan_of(THREE, SCALE, profile="standard", two_site_ack=False, phases=["cohort"])
    with pytest.raises(ExchangeError, match="E_POLICY"):
        CraftedStudy(fewer, tmp_path / "three").open(
            {name: make_cases(seed, 30) for seed, name in enumerate(THREE)}, a="min_sites = 5\n"
        )


def test_attack_59_a_member_that_poisons_to_steer(tmp_path):
    """Its sums are proved, and the coefficients follow from them; but they single out others' patients."""
    plan = plan_of(
        THREE,
        SCALE,
        profile="standard",
        two_site_ack=False,
        phases=["regression"],
        regression={"candidates": ["inr"]},
    )
    study = CraftedStudy(plan, tmp_path)
    exchange = study.open({name: make_cases(seed, 72) for seed, name in enumerate(THREE)})
    hidden, asked = study.engines["c"]._hidden, []
    honest = hidden.answer

    def poison(request, member):
        summary = honest(request, member)
        if request.header.operation is not Operation.NEWTON:
            return summary
        asked.append(request.parameters["coefficients"])
        steep = np.zeros_like(summary.reals["score"])
        steep[:, -1] = 1e6
        rises = np.full_like(summary.reals["log_likelihood"], 10.0 ** (4 + len(asked)))
        return replace(summary, reals={**summary.reals, "log_likelihood": rises, "score": steep})

    hidden.answer = poison
    with pytest.raises(SiteFailureError, match="^a: statistics failed with E_SMALL_N"):
        carry_out(exchange, SCREENING, screen_candidates(plan, plan.training_sites))

    assert np.abs(asked[-1]).max() > 20
    last = study.engines["a"].ledger.read_lines()[-1].departure
    assert (last.phase, last.code, last.numbers) == ("newton", "E_SMALL_N", 0)


def test_attack_60_a_column_that_one_patient_holds(tmp_path):
    """The sums of the setup would be this patient's row: they are not asked for, and not answered."""
    clinical = {"kind": "logistic", "name": "Clinical", "covariates": ["age", "sah"]}
    machine = {**MACHINE, "covariates": ["age", "sah"]}
    plan = plan_of(
        THREE, SCALE, clinical, machine, profile="standard", two_site_ack=False, arms={"local_models": False}
    )

    def ask_all_the_same(heard):
        if heard.request.header.stage == "svm":
            return
        fields = {"operation": Operation.SETUP, "stage": "", "regressions": (("age", "sah"),)}
        yield "60", heard.change({}, **fields)

    study = CraftedStudy(plan, tmp_path, ask_all_the_same)
    cases = {name: make_cases(seed, 72) for seed, name in enumerate(THREE)}
    exchange = study.open({name: hold_alone(own, name == "b") for name, own in cases.items()})
    fitting = fit_models(exchange, study.run, None, {})
    machines = fit_svms(exchange, study.run, fitting.selections, {})

    for standing in (fitting.models[0].standing, machines[0].standing):
        assert standing.reason == "a cell of a covariate's table below the minimum"
    hidden = [heard.request.header.operation for heard, _ in study.answers if heard.iterate]
    assert set(hidden) == {Operation.GUARD}
    assert {(one.code, one.numbers) for one in study.tried if one.heard.iterate} == {("E_NOT_THE_PLAN", 0)}


def hold_alone(cases, holds):
    """The same, of whom at most the first has the marker."""
    return tuple(
        replace(
            case, patient=replace(case.patient, values={**case.patient.values, "sah": float(holds and not n)})
        )
        for n, case in enumerate(cases)
    )


def test_attack_60_a_column_that_one_patient_holds_where_two_sites_know_each_other_s_numbers(tmp_path):
    """The other site has it, too, so that the sum has enough; but it knows its own."""
    plan = plan_of(
        {"a": "train", "b": "train"},
        SCALE,
        profile="standard",
        phases=["regression"],
        regression={"candidates": ["age", "sah"]},
    )
    study = CraftedStudy(plan, tmp_path)
    exchange = study.open({"a": hold_alone(make_cases(0, 72), holds=True), "b": make_cases(1, 72)})

    screening = carry_out(exchange, SCREENING, screen_candidates(plan, plan.training_sites))

    age, sah = screening.univariate
    assert age.status.ok
    assert (sah.method, sah.status.kind) == ("not fitted", "suppressed")
    asked = [
        h.request.header.regressions
        for h, _ in study.answers
        if h.request.header.operation is Operation.SETUP
    ]
    assert set(asked) == {(("age",),)}
