"""Which scores are compared on whom, against scikit-learn and by hand, over sites in this process."""

import numpy as np
import pytest
from sites.exchange import make_scored_cases, open_board, scored_exchange
from sites.plans import LOGISTIC, SCALE, plan_of
from sklearn.metrics import roc_auc_score

from common.messages.catalogue import Operation
from common.plan.matrix import PARTS, Cohort, scorers_of
from common.stats.differencing import TOO_CLOSE
from server.phases.comparison import compare_models
from server.phases.evaluation import evaluate_models
from server.results.comparison import record_comparisons

REGRESSIONS = (LOGISTIC | {"name": "Ref"}, LOGISTIC | {"name": "Other"})
BOTH = ("a", "b")


CASES = {"a": make_scored_cases(1, 90), "b": make_scored_cases(2, 60)}


@pytest.fixture
def exchange(tmp_path):
    return lambda plan, cases=CASES: scored_exchange(plan, cases, tmp_path)


def a_plan(roles=None, models=(*REGRESSIONS, SCALE), **changes):
    return plan_of(roles or {"a": "train+", "b": "train+"}, *models, **changes)


def compare(line, reference="Ref"):
    evaluated = evaluate_models(line, reference)
    return evaluated, compare_models(line, evaluated, reference)


def tables(compared, sites, part):
    """Of each table of a cohort, its pairs as "first second"."""
    return [
        [" ".join(f"{s.model.name}@{s.arm.name}" for s in (pair.first, pair.second)) for pair in one.pairs]
        for one in compared.tables
        if one.cohort == Cohort(sites, part)
    ]


def test_the_reference_is_compared_within_each_arm_and_its_lead_arm_with_its_others(exchange):
    _, compared = compare(exchange(a_plan()))

    assert tables(compared, ("a",), "test") == [
        [
            "Ref@federated Ref@local-a",
            "Ref@federated Ref@local-b",
            "Ref@federated Other@federated",
            "Ref@federated Scale@given",
        ],
        ["Ref@local-a Other@local-a", "Ref@local-a Scale@given"],
        ["Ref@local-b Other@local-b", "Ref@local-b Scale@given"],
    ]
    assert tables(compared, BOTH, "test") == [["Ref@federated Other@federated", "Ref@federated Scale@given"]]


def test_a_given_score_is_compared_with_every_arm(exchange):
    _, compared = compare(exchange(a_plan({"a": "train", "b": "train"})), "Scale")

    assert tables(compared, ("a",), "test") == [
        [
            "Scale@given Ref@federated",
            "Scale@given Ref@local-a",
            "Scale@given Other@federated",
            "Scale@given Other@local-a",
        ]
    ]
    # Of all patients of both, no model saw none: nothing is left beside the score
    assert Cohort(BOTH, "whole") not in [one.cohort for one in compared.tables]


def matrix_of(line, names):
    """Scores of these scorers, in the plan's order, and outcomes of the tested patients of both sites."""
    scorers = [f"{scorer.model.name}@{scorer.arm.name}" for scorer in scorers_of(line.plan)]
    rows, labels = [], []
    for site in line.sites.values():
        board = open_board(site)
        tested = board.find_members("test")
        rows.append(board.scores[[scorers.index(name) for name in names]][:, tested])
        labels.append(board.labels[tested])
    return np.hstack(rows), np.concatenate(labels)


def test_differences_and_discordant_calls_are_those_of_the_pooled_patients(exchange):
    line = exchange(a_plan())
    _, compared = compare(line)
    (found,) = [one for one in compared.tables if one.cohort == Cohort(BOTH, "test")]

    for pair in found.pairs:
        names = [f"{s.model.name}@{s.arm.name}" for s in (pair.first, pair.second)]
        scores, labels = matrix_of(line, names)
        first, second = (roc_auc_score(labels, row) for row in scores)
        assert pair.auc.difference.value == pytest.approx(first - second, abs=1e-12)
        right = (scores >= 0.5) == labels
        for result, of_class in ((pair.sensitivity, labels), (pair.specificity, ~labels)):
            assert result.only_first == np.sum(of_class & right[0] & ~right[1])
            assert result.only_second == np.sum(of_class & ~right[0] & right[1])


def test_a_reference_further_down_the_plan_still_comes_first(exchange):
    line = exchange(a_plan())
    _, compared = compare(line, "Other")
    (found,) = [one for one in compared.tables if one.cohort == Cohort(BOTH, "test")]
    pair = found.pairs[0]
    scores, labels = matrix_of(line, ["Other@federated", "Ref@federated"])
    called = scores[:, labels] >= 0.5

    assert (pair.first.model.name, pair.second.model.name) == ("Other", "Ref")
    assert pair.sensitivity.only_first == np.sum(called[0] & ~called[1])
    assert pair.sensitivity.only_second == np.sum(~called[0] & called[1])


def test_only_two_predicted_risks_have_a_difference_of_net_benefit(exchange):
    _, compared = compare(exchange(a_plan()))

    for one in compared.tables:
        for pair in one.pairs:
            assert (pair.benefit is None) is ("Scale" in (pair.first.model.name, pair.second.model.name))


@pytest.mark.parametrize("adjustment", ["none", "holm"])
def test_p_values_are_adjusted_by_holm_over_all_tables_of_a_cohort_only_if_asked(exchange, adjustment):
    line = exchange(a_plan(evaluation={"adjustment": adjustment}))

    found = list(record_comparisons(line.plan, compare(line)[1]))

    cohorts = dict.fromkeys((table.cohort_sites, table.part) for table in found)
    by_cohort = [
        [pair for table in found if (table.cohort_sites, table.part) == cohort for pair in table.pairs]
        for cohort in cohorts
    ]
    for pairs in by_cohort:
        adjusted = [pair.p_adjusted for pair in pairs]
        if adjustment == "none":
            assert adjusted == [None] * len(adjusted)
            continue
        p = [pair.p_value for pair in pairs]
        order, running, expected = np.argsort(p), 0.0, [0.0] * len(p)
        for rank, place in enumerate(order):
            running = max(running, min(1.0, (len(p) - rank) * p[place]))
            expected[place] = running
        assert adjusted == pytest.approx(expected, rel=1e-12)
    assert max(map(len, by_cohort)) == 8
    assert len(found) > len(cohorts)


def test_a_cohort_with_too_few_is_not_compared(exchange):
    """18 tested at one of two hospitals, 7 of them with expansion."""
    line = exchange(
        a_plan(profile="standard"), {"a": make_scored_cases(1, 90), "b": make_scored_cases(2, 27)}
    )

    evaluated, compared = compare(line)

    assert list(dict.fromkeys(one.cohort for one in compared.tables)) == [
        Cohort(("a",), "test"),
        Cohort(("a",), "whole"),
        Cohort(("b",), "whole"),
    ]
    assert {one.status.reason for one in evaluated.compared if not one.status.ok} == {TOO_CLOSE}
    # Of b's tested patients nothing is asked, of a's all
    test = PARTS.index("test")
    assert [of_site[test].all() for of_site in evaluated.judged.asked] == [True, False]
    assert not evaluated.judged.asked[1, test].any()


def test_a_plan_of_one_score_compares_nothing_and_is_judged(exchange):
    line = exchange(a_plan({"a": "external", "b": "external"}, (SCALE,)))

    evaluated, compared = compare(line, "Scale")

    assert (compared.tables, evaluated.compared) == ((), ())
    assert [judged.roc.auc.value is not None for judged in evaluated.judgements] == [True, True, True]
    assert [score.scorer for score in compared.centres] == list(scorers_of(line.plan))
    assert Operation.COMPARE not in [operation for operation, *_ in line.asked]
