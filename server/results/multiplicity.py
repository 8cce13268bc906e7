"""How many tests a study prints, and how many of them chance alone would make significant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.results.comparison import CentreHeterogeneity, Comparisons
    from server.results.file import Results
    from server.results.regression import RegressionRow

_ALPHA = 0.05
_FEW = 2
"""A single test needs no note."""


def note_multiplicity(results: Results) -> Iterator[str]:
    """The note that says so; none for a study of fewer than two tests."""
    number = sum(p is not None for p in _list_p_values(results))
    if number < _FEW:
        return
    holm = any(pair.p_adjusted is not None for table in results.comparisons for pair in table.pairs)
    adjusted = (
        "Of the differences of AUCs, P is also given after Holm's correction over the models of a cohort; "
        "otherwise P is"
        if holm
        else "P is"
    )
    expected = round(_ALPHA * number)
    yield (
        f"{number} P-values stand in the tables. {adjusted} not adjusted for their number: if nothing "
        f"differed, {f'at most about {expected}' if expected else 'fewer than one'} of them would be below "
        ".05 by chance (tests on counts come below it less often; a test that is printed twice counts twice)."
    )


def _list_p_values(results: Results) -> Iterable[float | None]:
    return chain(
        (row.p_value for row in results.cohort),
        _list_rows(() if results.regression is None else results.regression.rows),
        *(_list_rows(model.rows) for model in results.fitted),
        *(_list_comparisons(table) for table in results.comparisons),
        (subgroup.p_interaction for subgroup in results.subgroups),
        _list_centres(results.heterogeneity),
    )


def _list_rows(rows: Iterable[RegressionRow]) -> Iterator[float | None]:
    for row in rows:
        yield from (effect.p_value for effect in (row.univariate, row.multivariable) if effect is not None)


def _list_comparisons(table: Comparisons) -> Iterator[float | None]:
    yield table.p_value
    for pair in table.pairs:
        yield from (pair.p_value, pair.sensitivity.p_value, pair.specificity.p_value)


def _list_centres(records: Iterable[CentreHeterogeneity]) -> Iterator[float | None]:
    yield from (record.p_value for record in records)
