"""The registry of released cohorts: no two of them may differ in so few patients that a difference tells."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from common.errors import SmallNumberError
from common.stats.contract import Summary
from common.stats.estimate import OK, Status, suppressed
from common.stats.minima import STANDARD, Minima

TOO_CLOSE = "too few patients more or less than in a cohort already released"


@dataclass(frozen=True)
class Cohort:
    """Patients by a definition of the plan, in one state of the data.

    Attributes
    ----------
    definition : str
    data_version : str
    """

    definition: str
    data_version: str


@dataclass(frozen=True)
class Registry:
    """What the plan lists, and what was released so far.

    Attributes
    ----------
    listed : tuple of str
        Definitions that may be asked for at all.
    maximum : int
        How many releases the plan allows.
    released : tuple of Cohort
        From first to last.
    """

    listed: tuple[str, ...]
    maximum: int
    released: tuple[Cohort, ...] = ()

    def judge(self, cohort: Cohort, differences: Summary, minima: Minima = STANDARD) -> Status:
        """Whether a cohort may be released.

        Parameters
        ----------
        differences : Summary
            The sum of `local_differences` over the sites, against `released` in its order.

        Raises
        ------
        ValueError
            If the differences are not those from every released cohort.
        """
        counts = differences.counts["only"]
        if len(counts) != len(self.released):
            raise ValueError(
                f"differences from {len(counts)} cohorts, but {len(self.released)} were released"
            )
        if cohort.definition not in self.listed:
            return suppressed("the plan does not list this cohort")
        if len(self.released) >= self.maximum:
            return suppressed("the plan allows no more releases")
        if not _far_enough(differences, minima):
            return suppressed(TOO_CLOSE)
        return OK

    def release(self, cohort: Cohort) -> Registry:
        """With one cohort more."""
        return replace(self, released=(*self.released, cohort))


def local_differences(candidate: AbstractSet[str], earlier: Sequence[AbstractSet[str]]) -> Summary:
    """Rows that a cohort has and an earlier one has not, and the other way round.

    Parameters
    ----------
    candidate : set of str
        Digests of the patients' rows, so that a row that was changed counts as another one.
    earlier : sequence of sets of str
        The released cohorts' rows at this site, in the registry's order; they never leave it.

    Returns
    -------
    Summary
        Counts "only" (earlier cohorts, 2): in the earlier alone, in the candidate alone.
    """
    only = [[len(before - candidate), len(candidate - before)] for before in earlier]
    return Summary({"only": np.array(only, dtype=np.int64).reshape(-1, 2)})


def too_close(
    candidate: AbstractSet[str], earlier: Sequence[AbstractSet[str]], minima: Minima = STANDARD
) -> bool:
    """Whether a cohort differs from one already released in too few of this site's patients.

    The arguments are those of `local_differences`.
    """
    return not _far_enough(local_differences(candidate, earlier), minima)


def check_site_differences(differences: Summary, minima: Minima = STANDARD) -> None:
    """The same rule inside one site, for whoever knows all the others.

    Raises
    ------
    SmallNumberError
        If the cohort differs from an earlier one in too few of the site's patients.
    """
    if not _far_enough(differences, minima):
        raise SmallNumberError(
            "the cohort differs from one already released in fewer than "
            f"{minima.group} patients of this site -> refuse it, or wait for more patients"
        )


def _far_enough(differences: Summary, minima: Minima) -> bool:
    only = differences.counts["only"]
    return bool(((only == 0) | (only >= minima.group)).all())
