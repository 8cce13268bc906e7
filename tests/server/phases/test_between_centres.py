"""Which centre judges which score on whom, and who is left out of their comparison, from raw patients."""

import numpy as np
import pytest
from scipy import stats
from sites.exchange import make_scored_cases, open_board, scored_exchange
from sites.patients import a_case
from sites.plans import LOGISTIC, SCALE, plan_of

from common.plan.matrix import scorers_of
from server.phases.comparison import compare_models
from server.phases.evaluation import evaluate_models
from server.results.comparison import record_heterogeneity

REGRESSION = LOGISTIC | {"name": "Ref"}


def compared(folder, plan, cases):
    line, reference = scored_exchange(plan, cases, folder), plan.models[0].name
    return line, compare_models(line, evaluate_models(line, reference), reference)


def of(compared_models, model, arm):
    (found,) = [
        score
        for score in compared_models.centres
        if (score.scorer.model.name, score.scorer.arm.name) == (model, arm)
    ]
    return found


def raw(line, site, model, arm, part):
    """AUC and DeLong's variance of a site's own patients, from all pairs."""
    board = open_board(line.sites[site])
    place = [(scorer.model.name, scorer.arm.name) for scorer in scorers_of(line.plan)].index((model, arm))
    members = board.find_members(part)
    scores, labels = board.scores[place, members], board.labels[members]
    known = ~np.isnan(scores)
    scores, labels = scores[known], labels[known]
    wins = np.sign(scores[labels][:, None] - scores[~labels]) / 2 + 0.5
    variance = wins.mean(axis=1).var(ddof=1) / labels.sum() + wins.mean(axis=0).var(ddof=1) / (~labels).sum()
    return wins.mean(), variance


def test_two_centres_differ_by_what_their_raw_patients_give(tmp_path):
    plan = plan_of({"a": "train", "b": "external"}, REGRESSION, SCALE)
    cases = {"a": make_scored_cases(1, 90), "b": make_scored_cases(2, 60)}

    line, found = compared(tmp_path, plan, cases)
    score = of(found, "Scale", "given")

    (first, v1), (second, v2) = (
        raw(line, site, "Scale", "given", part) for site, part in (("a", "test"), ("b", "whole"))
    )
    difference = score.heterogeneity.difference
    assert [(cohort.sites, cohort.part) for cohort in score.cohorts] == [(("a",), "test"), (("b",), "whole")]
    assert difference.difference.value == pytest.approx(first - second, abs=1e-12)
    (recorded,) = (one for one in record_heterogeneity(found) if one.model == "Scale")
    bounds = [centre.auc_error_bound for centre in recorded.centres]
    assert recorded.difference_bound == pytest.approx(sum(bounds), abs=1e-15)
    assert difference.p == pytest.approx(2 * stats.norm.sf(abs(first - second) / np.sqrt(v1 + v2)), rel=1e-9)


def perfect(name, patients, value):
    """Patients of whom the first third expand; their score, of a patient's number and whether it expands."""
    grows = [n < patients // 3 for n in range(patients)]
    return tuple(
        a_case(f"{name}{n}", grows=grew, part="test", scores={"vendor": value(n, grew) / 40})
        for n, grew in enumerate(grows)
    )


def test_a_perfect_centre_is_compared_and_not_dropped(tmp_path):
    """The demonstration: BRAIN 1.000 against .506 was left out without a word."""
    plan = plan_of({"a": "external", "b": "external"}, SCALE)
    cases = {
        "a": perfect("a", 30, lambda n, grows: 20 + n % 5 if grows else n % 5),
        "b": perfect("b", 30, lambda n, grows: n * 7 % 30),
    }

    _, found = compared(tmp_path, plan, cases)
    (record,) = record_heterogeneity(found)

    assert record.centres[0].auc.value == 1.0
    assert 0.3 < record.centres[1].auc.value < 0.7
    assert record.difference.value == pytest.approx(1 - record.centres[1].auc.value)
    assert 0 < record.difference.low < record.difference.value < record.difference.high <= 1
    assert record.p_value < 0.001
    assert (record.sites, record.sites_excluded) == (2, 0)


def test_of_three_the_perfect_the_small_and_the_unreleased_are_named(tmp_path):
    plan = plan_of(
        {"a": "train", "b": "external", "c": "external", "d": "external"},
        REGRESSION,
        SCALE,
        profile="standard",
        two_site_ack=False,
    )
    cases = {
        "a": make_scored_cases(1, 150),
        "b": make_scored_cases(2, 70),
        "c": perfect("c", 36, lambda n, grows: 20 + n % 5 if grows else n % 5),
        "d": make_scored_cases(3, 18),
    }

    _, found = compared(tmp_path, plan, cases)
    records = {(record.model, record.arm): record for record in record_heterogeneity(found)}
    local, given = records["Ref", "local-a"], records["Scale", "given"]

    assert [str(centre.standing) for centre in local.centres] == [
        "ok",
        *["undefined(the model stays at a)"] * 3,
    ]
    assert str(local.auc.standing) == "undefined(fewer than two centres with an AUC)"
    assert [str(centre.standing) for centre in given.centres] == [
        "ok",
        "ok",
        "undefined(an AUC of 1 has no logit, on which the mean is taken)",
        "suppressed(fewer than 20 patients)",
    ]
    assert "fewer than three centres with an AUC between 0 and 1" in given.auc.standing.reason
    assert (given.sites, given.sites_excluded, given.difference) == (2, 2, None)


def test_a_plan_of_one_centre_compares_none(tmp_path):
    plan = plan_of({"a": "external"}, SCALE)

    assert compared(tmp_path, plan, {"a": make_scored_cases(1, 40)})[1].centres == ()
