"""The columns of Table 1: which cohorts of which centres are described beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from common.matrix import TablePart
from common.study import StudyPlan

ColumnPart: TypeAlias = Literal["training", "internal", "external", "whole"]


@dataclass(frozen=True)
class TableColumn:
    """One cohort of the table.

    Attributes
    ----------
    site : str or None
        None for a cohort of several centres, or of whichever holds it.
    part : {"training", "internal", "external", "whole"}
        The paper's three cohorts, or everybody.
    sites : tuple of str
        Whose patients.
    taken : {"training", "test", "whole"}
        Which of them.
    """

    site: str | None
    part: ColumnPart
    sites: tuple[str, ...]
    taken: TablePart


def table_columns(plan: StudyPlan) -> tuple[TableColumn, ...]:
    """The paper's cohorts, then each centre, then all together where there are several."""
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
