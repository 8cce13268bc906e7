"""What was forecast of a study from its numbers of patients alone, against its results."""

from __future__ import annotations

from collections.abc import Mapping

from common.plan.study import StudyPlan
from server.planning.expected_patients import ExpectedPatients
from server.planning.withheld_results import ResultForecast
from server.results.file import Results


def compare_with_forecast(results: Results, patients: Mapping[str, ExpectedPatients]) -> None:
    """Every cell of the evaluation has a number, or has none for the reason, as the forecast says.

    Raises
    ------
    AssertionError
        If one has not, or nothing was withheld.
    """
    forecast = ResultForecast(StudyPlan.model_validate(results.study.plan), patients).list_results()
    said = {
        (one.model, one.arm, one.sites, one.part): one.status for one in forecast if one.topic == "judgement"
    }
    found = {
        (cell.model, cell.arm, cell.cohort_sites, cell.part): cell.auc.standing for cell in results.evaluation
    }
    assert said == found
    assert {status.kind for status in said.values()} == {"ok", "suppressed"}
