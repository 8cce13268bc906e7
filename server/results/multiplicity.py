"""How many tests a study prints, and how many of them chance alone would make significant."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import is_dataclass
from functools import cache
from typing import TYPE_CHECKING, get_args, get_type_hints

from common.stats.estimate import PRINTED_TEST, Estimate
from server.results.records import Record

if TYPE_CHECKING:
    from server.results.file import Results

_ALPHA = 0.05
_FEW = 2
"""A single test needs no note."""


def note_multiplicity(results: Results) -> Iterator[str]:
    """The note that says so; none for a study of fewer than two tests."""
    number = sum(1 for _ in _list_p_values(results))
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


def _list_p_values(record: object) -> Iterator[float]:
    """Every P-value that a record marks as printed, at any depth."""
    if isinstance(record, tuple):
        for part in record:
            yield from _list_p_values(part)
    if isinstance(record, type) or not (isinstance(record, Record) or is_dataclass(record)):
        return
    for name, is_test in _list_fields(record.__class__):
        value = getattr(record, name)
        number = value.value if isinstance(value, Estimate) else value
        if not is_test:
            yield from _list_p_values(value)
        elif number is not None:
            yield number


@cache
def _list_fields(kind: Hashable) -> tuple[tuple[str, bool], ...]:
    """The fields of a record, or of a dataclass in one, and whether each is marked as a printed P-value."""
    return tuple((name, _is_marked(hint)) for name, hint in get_type_hints(kind, include_extras=True).items())


def _is_marked(hint: object) -> bool:
    marks = getattr(hint, "__metadata__", ())
    return PRINTED_TEST in marks or any(_is_marked(part) for part in get_args(hint))
