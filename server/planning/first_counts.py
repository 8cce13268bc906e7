"""What is said when the sites have counted their patients, before anything else is asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from common.plan.study import StudyPlan
from common.types import Counts
from server.planning.expected_patients import ExpectedPatients
from server.planning.forecast_words import describe_withheld
from server.planning.study_costs import expect_disk
from server.planning.withheld_results import ResultForecast
from server.report.words import format_data_volume


def foresee_withheld(plan: StudyPlan, counted: Mapping[str, Counts]) -> Iterator[str]:
    """What will be withheld at least, and why; it tells no number of patients.

    Parameters
    ----------
    plan : StudyPlan
    counted : mapping of str to int array, shape (parts, 2)
        Each site's patients of each part, without and with the outcome, as it stated them.
    """
    patients = {site: ExpectedPatients(site, table) for site, table in sorted(counted.items())}
    withheld = [one for one in ResultForecast(plan, patients).list_results() if not one.status.ok]
    if not withheld:
        yield "will be withheld: nothing, if patients have all values"
    yield from (f"will be withheld: {line}" for line in describe_withheld(withheld))


def foresee_disk(plan: StudyPlan, folder: Path) -> str:
    """How much the study's folder will hold, and how much is free."""
    disk, free = expect_disk(plan), shutil.disk_usage(folder).free
    warning = "" if free > disk.total else " WARNING: it may not suffice"
    return (
        f"disk: about {format_data_volume(disk.total)} will be used in {folder}, of it models "
        f"{format_data_volume(disk.models)}; free: {format_data_volume(free)}{warning}"
    )
