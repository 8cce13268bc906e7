"""What stops a whole site is looked for once, and again only where reading the scans changed something."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sites.tables import table_only_hospital

from client.cohort import findings
from client.cohort.check import check_site
from client.cohort.prepare import prepare_site
from common.plan.study import StudyPlan

FINDINGS = ("find_too_few", "find_rare_outcomes", "find_out_of_range")


@pytest.fixture
def calls(monkeypatch) -> Counter[str]:
    """How often each kind of finding is looked for."""
    counts: Counter[str] = Counter()

    def counted(name: str):
        function = getattr(findings, name)

        def call(*arguments, **keywords):
            counts[name] += 1
            return function(*arguments, **keywords)

        return call

    for name in FINDINGS:
        monkeypatch.setattr(findings, name, counted(name))
    return counts


def scores_plan() -> StudyPlan:
    return StudyPlan.model_validate(
        {
            "name": "Scores alone",
            "seed": 5,
            "profile": "simulation",
            "two_site_ack": True,
            "phases": ["cohort", "evaluation"],
            "sites": [{"name": "north", "role": "external"}, {"name": "south", "role": "train"}],
            "models": [{"kind": "scores", "name": "V", "column": "ich_volume_ml", "high": 200}],
        }
    )


@pytest.fixture
def hospital(tmp_path) -> Path:
    """A site whose table gives every volume."""
    return table_only_hospital(tmp_path / "north", "north", 24)


def test_a_preparation_looks_for_each_kind_of_finding_once(hospital, tmp_path, progress, calls):
    site = prepare_site(hospital, scores_plan(), tmp_path / "cache", progress)

    assert len(site.cases) == 24
    assert calls == dict.fromkeys(FINDINGS, 1)


@pytest.mark.parametrize("planned", [True, False])
def test_a_check_looks_for_each_kind_of_finding_once(hospital, progress, calls, planned):
    checkup = check_site(hospital, progress, pixels=False, plan=scores_plan() if planned else None)

    assert checkup.usable == 24
    assert calls == dict.fromkeys(FINDINGS, 1)


def test_outcomes_that_masks_alone_give_are_counted_once_they_are_measured(
    scans_folder, tmp_path, small_plan, progress, calls
):
    prepare_site(scans_folder.finish(), small_plan(), tmp_path / "cache", progress)

    assert calls["find_too_few"] == 1
    assert calls["find_rare_outcomes"] == 1
