from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.stats.contract import Summary
from common.stats.minima import REPLICATION, STANDARD
from common.stats.partition import protect_parts
from common.stats.recording_grid import RecordingGrid
from common.stats.table_one import (
    Categorical,
    Continuous,
    finish_table_one,
    local_table_one,
)

AGE = Continuous("age", RecordingGrid(18, 1, 100), "student")
SEX = Categorical("sex", ("female", "male"))
REASON = "another part's hidden number could be worked out"


def tables(variable, columns, minima=STANDARD):
    """The parts' tables and the whole's, from one column and one outcome a part."""
    local = [local_table_one([column], outcome, (variable,)) for column, outcome in columns]
    whole = local[0]
    for part in local[1:]:
        whole += part
    return [finish_table_one(part, (variable,), minima) for part in local], finish_table_one(
        whole, (variable,), minima
    )


def sexes(*cells):
    """Codes and outcomes of a part: female and male without, female and male with the outcome."""
    return np.repeat([0, 1, 0, 1], cells), np.repeat([0, 0, 1, 1], cells)


def ages(without, with_outcome, missing=0):
    age = np.linspace(30, 80, without + with_outcome).round()
    age[:missing] = np.nan
    return age, np.repeat([0, 1], [without, with_outcome])


def test_a_cell_hidden_in_one_part_withholds_the_variable_in_all():
    parts, whole = tables(SEX, [sexes(30, 30, 20, 20), sexes(30, 3, 20, 20), sexes(20, 30, 10, 10)])

    protected = protect_parts(parts, whole)

    assert parts[0][0].tabulation.counts == ((30, 20), (30, 20))
    for (row,) in protected:
        assert row.tabulation.counts == row.tabulation.percentages == ((None, None), (None, None))
        assert row.tabulation.n_used == row.tabulation.n_missing == (None, None)
        assert (row.test.p, row.test.method, row.smd) == (None, "not shown", None)
        assert row.tabulation.status.reason == row.test.status.reason == REASON
    assert whole[0].tabulation.status.ok


@pytest.mark.parametrize("hidden", [ages(40, 9), ages(40, 40, missing=3)])
def test_a_small_group_or_few_missing_withhold_the_description_in_all(hidden):
    parts, whole = tables(AGE, [ages(40, 40), hidden])

    for (row,) in protect_parts(parts, whole):
        assert (row.test.p, row.smd) == (None, None)
        for group in row.groups:
            assert (group.n_used, group.n_missing, group.mean, group.sd, group.median) == (None,) * 5
            assert group.status.reason == REASON


def test_only_the_variable_concerned_is_withheld():
    (age, outcome), (sex, _) = ages(33, 40), sexes(30, 3, 20, 20)
    variables = (AGE, SEX)
    local = [local_table_one([age, sex], outcome, variables), local_table_one([age, sex], outcome, variables)]
    table = finish_table_one(local[0], variables)

    first, second = protect_parts([table, table], finish_table_one(local[0] + local[1], variables))

    assert first == second
    assert first[0] == table[0]
    assert first[1].tabulation.status.reason == REASON


def test_nothing_hidden_or_no_value_of_the_whole_shown_leaves_the_parts_alone():
    parts, whole = tables(SEX, [sexes(30, 30, 20, 20), sexes(30, 5, 20, 0)])
    assert protect_parts(parts, whole) == tuple(parts)
    parts, whole = tables(SEX, [sexes(30, 3, 20, 2), sexes(30, 0, 20, 1)], REPLICATION)
    assert protect_parts(parts, whole) == tuple(parts)
    parts, whole = tables(SEX, [sexes(30, 3, 20, 20), sexes(30, 0, 20, 20)])
    assert whole[0].tabulation.counts == ((None, None), (None, None))
    assert protect_parts(parts, whole)[1] == parts[1]


def test_a_number_missing_of_the_whole_tells_although_its_descriptions_are_hidden():
    parts, whole = tables(AGE, [ages(9, 3, missing=5), ages(4, 4, missing=1)])

    assert [group.status.kind for group in whole[0].groups] == ["suppressed"] * 2
    assert all(row.groups[0].status.reason == REASON for (row,) in protect_parts(parts, whole))


def test_what_does_not_exist_is_not_hidden():
    parts, whole = tables(AGE, [ages(40, 40), ages(0, 0)])

    assert parts[1][0].groups[0].status.kind == "undefined"
    assert protect_parts(parts, whole) == tuple(parts)


def test_refuses_tables_of_other_variables():
    parts, _ = tables(SEX, [sexes(30, 30, 20, 20)])
    _, whole = tables(AGE, [ages(40, 40)])

    with pytest.raises(ValueError, match="same variables"):
        protect_parts(parts, whole)


def determined(shown):
    """Hidden cells that a reader can solve for, who also knows the row and column sums of every table.

    `shown`: (parts + 1, rows, columns), the whole last, NaN where hidden.
    """
    hidden = np.isnan(shown)
    number = np.cumsum(hidden).reshape(shown.shape) - 1
    equations = []

    def equation(at, sign=1.0):
        row = np.zeros(int(hidden.sum()))
        row[number[at][hidden[at]]] = np.broadcast_to(sign, number[at].shape)[hidden[at]]
        equations.append(row)

    for table in range(len(shown)):
        for row in range(shown.shape[1]):
            equation((table, row))
        for column in range(shown.shape[2]):
            equation((table, slice(None), column))
    for cell in np.ndindex(shown.shape[1:]):
        equation((slice(None), *cell), np.append(np.ones(len(shown) - 1), -1.0))
    _, values, directions = np.linalg.svd(np.array(equations))
    free = directions[int(np.sum(values > 1e-9)) :]
    return np.flatnonzero(np.abs(free).max(axis=0, initial=0) < 1e-9)


def cells(row):
    table = row.tabulation
    return np.array([*table.counts, table.n_missing], dtype=np.float64)


CELL = st.one_of(st.integers(0, 7), st.integers(8, 60))


@given(
    st.integers(2, 4).flatmap(
        lambda parts: st.lists(
            st.lists(CELL, min_size=8, max_size=8).map(lambda flat: np.array(flat).reshape(4, 2)),
            min_size=parts,
            max_size=parts,
        )
    )
)
def test_no_hidden_count_can_be_worked_out(counts):
    variable = Categorical("location", ("lobar", "deep", "infratentorial"))
    summaries = [
        Summary({"location/table": table[:-1], "location/missing": table[-1]})
        for table in (*counts, np.sum(counts, axis=0))
    ]
    *parts, whole = [finish_table_one(summary, (variable,)) for summary in summaries]

    protected = protect_parts(parts, whole)

    tables_shown = np.stack([cells(row) for (row,) in (*protected, whole)])
    assert determined(tables_shown).size == 0


def test_without_protection_it_can():
    parts, whole = tables(SEX, [sexes(30, 30, 20, 20), sexes(30, 3, 20, 20), sexes(20, 30, 10, 10)])

    assert determined(np.stack([cells(row) for (row,) in (*parts, whole)])).size > 0
