"""The differencing rule: no two released cohorts may differ in so few patients that a difference tells."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from common.stats.minima import STANDARD, Minima

TOO_CLOSE = "too few patients more or less than in a cohort already released"
"""Why an analysis is suppressed whose cohort breaks the rule."""


def is_too_close(
    candidate: AbstractSet[str], earlier: Iterable[AbstractSet[str]], minima: Minima = STANDARD
) -> bool:
    """Whether a cohort differs from one already released in too few of this site's patients.

    The patients that only one of the two has must be none or at least `minima.group`, in either direction.

    Parameters
    ----------
    candidate : set of str
        Digests of the patients' rows, so that a row that was changed counts as another one.
    earlier : iterable of sets of str
        The released cohorts' rows at this site; they never leave it.
    """
    return any(
        0 < number < minima.group
        for released in earlier
        for number in (len(released - candidate), len(candidate - released))
    )
