"""What `rhe-server run` says once the sites have counted their patients, and before it asks anything else."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from sites.plans import LOGISTIC, NETWORK, plan_of

from server.planning import first_counts
from server.planning.expected_patients import expect_patients
from server.planning.first_counts import foresee_disk, foresee_withheld
from server.planning.forecast_words import describe_withheld
from server.planning.withheld_results import ResultForecast

SITES = {"a": "train", "b": "train", "c": "train", "d": "external"}


def a_plan(*models, **changes):
    return plan_of(SITES, *models, profile="standard", two_site_ack=False, **changes)


def test_what_will_be_withheld_is_said_without_any_number_of_patients():
    plan = a_plan(LOGISTIC)
    patients = expect_patients(plan, ["a=37/143", "b=29/131", "c=31/127", "d=8/57"])

    lines = list(foresee_withheld(plan, {site: one.counted for site, one in patients.items()}))

    assert any("all patients of d" in line and "fewer than 10 patients in a class" in line for line in lines)
    minima = {"3", "5", "10", "20", "1", "2"}
    assert set(re.findall(r"\d+", " ".join(lines))) <= minima
    assert all(line.startswith("will be withheld: ") for line in lines)


def test_nothing_is_said_to_be_withheld_where_nothing_is():
    plan = plan_of(SITES, LOGISTIC)
    patients = expect_patients(plan, ["a=37/143", "b=29/131", "c=31/127", "d=27/57"])

    (line,) = foresee_withheld(plan, {site: one.counted for site, one in patients.items()})

    assert line == "will be withheld: nothing, if patients have all values"


def test_a_cohort_too_close_to_one_before_it_is_foreseen():
    """Site c tests 9 of its 30 patients: fewer than 10 are not in its training patients."""
    plan = a_plan(LOGISTIC, phases=["cohort"])

    results = ResultForecast(plan, expect_patients(plan, ["a=90/300", "b=90/300", "c=12/30", "d=90/300"]))
    withheld = [one for one in results.list_results() if not one.status.ok]

    assert [(one.sites, one.part) for one in withheld] == [
        (("a", "b", "c"), "test"),
        (("c",), "whole"),
        (("a", "b", "c", "d"), "whole"),
    ]
    assert {one.status.reason for one in withheld} == {
        "too few patients more or less than in a cohort already released"
    }
    told = " ".join(describe_withheld(withheld))
    assert "more or less than in a cohort that this study shows before it" in told
    assert "already released" not in told


@pytest.mark.parametrize(("free", "is_warned"), [(10**12, False), (1000, True)])
def test_the_disk_is_said_beforehand(monkeypatch, tmp_path, free, is_warned):
    monkeypatch.setattr(first_counts.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    said = foresee_disk(a_plan(NETWORK), tmp_path)

    # A model of the federation, of 311,037 numbers of four bytes; those of single sites stay there
    assert "of it models 1.2 MB" in said
    assert ("it may not suffice" in said) == is_warned
