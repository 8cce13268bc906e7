"""The differencing rule: no two released cohorts may differ in so few patients that a difference tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations

from common.stats.minima import STANDARD, Minima

TOO_CLOSE = "too few patients more or less than in a cohort already released"
"""Why an analysis is suppressed whose cohort breaks the rule."""


def is_too_close(
    candidate: AbstractSet[str], earlier: Iterable[AbstractSet[str]], minima: Minima = STANDARD
) -> bool:
    """Whether a cohort differs from one already released in too few of this site's patients.

    The patients that only one of the two has must be none or at least `minima.group`, in either direction. So
    must those be who remain of a cohort without two parts of it that do not overlap.

    Parameters
    ----------
    candidate : set of str
        Digests of the patients' rows, so that a row that was changed counts as another one.
    earlier : iterable of sets of str
        The released cohorts' rows at this site; they never leave it.
    """
    released = list(earlier)
    differences = [
        number for cohort in released for number in (len(cohort - candidate), len(candidate - cohort))
    ]
    return any(0 < number < minima.group for number in (*differences, *_count_rests(candidate, released)))


def _count_rests(candidate: AbstractSet[str], released: Sequence[AbstractSet[str]]) -> Iterator[int]:
    """How many remain of a cohort without two others, one of the three being the candidate."""
    for one, two in combinations([cohort for cohort in released if cohort < candidate], 2):
        if one.isdisjoint(two):
            yield len(candidate) - len(one) - len(two)
    parts = [cohort for cohort in released if cohort.isdisjoint(candidate)]
    for whole in (cohort for cohort in released if candidate < cohort):
        for part in parts:
            if part < whole:
                yield len(whole) - len(candidate) - len(part)
