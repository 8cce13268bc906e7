"""The columns of Table 1: which cohorts of which centres it describes side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from common.plan.matrix import TablePart
from common.plan.study import StudyPlan

ColumnPart: TypeAlias = Literal["training", "internal", "external", "whole"]
"""What a column is called: one of the paper's three cohorts, or all patients."""


@dataclass(frozen=True)
class TableColumn:
    """One cohort of the table.

    Attributes
    ----------
    site : str or None
        The centre that the column describes alone; None for one of the paper's cohorts or all centres.
    part : {"training", "internal", "external", "whole"}
        One of the paper's three cohorts, or all patients.
    sites : tuple of str
        Sites whose patients are described, sorted.
    taken : {"training", "test", "whole"}
        Which of these sites' patients.
    """

    site: str | None
    part: ColumnPart
    sites: tuple[str, ...]
    taken: TablePart


def table_columns(plan: StudyPlan) -> tuple[TableColumn, ...]:
    """The paper's cohorts, then each centre, then all centres together where there are several."""
    training = plan.training_sites
    external = tuple(site for site in plan.site_names if site not in training)
    columns = []
    if training:
        columns.append(TableColumn(None, "training", training, "training"))
        columns.append(TableColumn(None, "internal", training, "test"))
    if external:
        columns.append(TableColumn(None, "external", external, "test"))
    columns += [TableColumn(site, "whole", (site,), "whole") for site in plan.site_names]
    if len(plan.site_names) > 1:
        columns.append(TableColumn(None, "whole", plan.site_names, "whole"))
    return tuple(columns)
