"""Table 1 of each part of a site's patients, as sums; before it, how many have a value of each variable."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from client.answers.inquiry import Backing, Inquiry
from client.answers.patient_arrays import find_described, labels_of, table_one_column
from client.cohort.parts import cases_of
from common.messages.catalogue import Operation
from common.messages.groups import groups_of
from common.messages.questions import read_flag_array
from common.plan.matrix import TABLE_PARTS, TablePart
from common.plan.variables import list_described, table_variables
from common.program.own_minima import find_widest_group
from common.stats.contract import Summary, join_summaries
from common.stats.table_one import local_table_one
from common.types import Flags


def list_table_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The patients of each part, and who of them has a value of each variable that was asked for."""
    groups, variables = groups_of(inquiry.plan, Operation.COHORT), list_described(inquiry.plan)
    for part, asked in zip(TABLE_PARTS, _read_asked(inquiry), strict=True):
        cases = cases_of(inquiry.cases, part)
        yield Backing(
            what=f"Table 1, {part}:",
            sites=find_widest_group(groups, inquiry.site, part),
            cohort=part,
            complete=find_described(cases, variables)[asked],
            labels=labels_of(cases),
            part=part,
            rows=tuple(variables[row].name for row in np.flatnonzero(asked).tolist()),
        )


def sum_tables(inquiry: Inquiry) -> Summary:
    """Table 1 of each part, of the variables that were asked for; the others are empty."""
    parts = zip(TABLE_PARTS, _read_asked(inquiry), strict=True)
    return join_summaries(_sum_table(inquiry, part, asked).under(part) for part, asked in parts)


def _sum_table(inquiry: Inquiry, part: TablePart, asked: Flags) -> Summary:
    of_part, described = cases_of(inquiry.cases, part), list_described(inquiry.plan)
    patients = [of_part if wanted else () for wanted in asked.tolist()]
    return join_summaries(
        local_table_one([table_one_column(cases, variable)], labels_of(cases).astype(np.int64), [taken])
        for cases, variable, taken in zip(patients, described, table_variables(inquiry.plan), strict=True)
    )


def _read_asked(inquiry: Inquiry) -> Flags:
    """Which variables are asked of each part of this site's patients, shape (parts, variables)."""
    shape = (len(TABLE_PARTS), len(list_described(inquiry.plan)))
    if inquiry.is_guard:
        return np.ones(shape, dtype=np.bool_)
    sites = len(inquiry.plan.sites)
    return np.asarray(read_flag_array(inquiry.parameters, "asked", (sites, *shape))[inquiry.row], np.bool_)
