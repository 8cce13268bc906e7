"""On which side of a threshold a statistic is, where the other side is another branch of a procedure.

Coordinator and sites go through the same sums, but two kernels of linear algebra differ in the last bits.
Where a statistic is as good as its threshold, they may take different branches, both rightly. The coordinator
takes its own. A site that follows notes where it might have gone the other way, and tries that if the
coordinator's next question does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np

from common.types import Flags, Reals

CLOSE = 1e-6
"""Share of its threshold within which a statistic may be on either side."""
_MOST_FORKS = 8
"""So many of the last forks are tried."""


class Fork(NamedTuple):
    """One comparison that might have gone the other way.

    Attributes
    ----------
    call : int
        Which call of `find_below` in the procedures so far, from 0.
    place : int
        Which of its statistics, counted flat.
    """

    call: int
    place: int


@dataclass
class Branches:
    """What a site decides while it follows, and where it might have decided otherwise.

    Attributes
    ----------
    turned : frozenset of Fork
        Where the other branch is taken.
    forks : list of Fork
        Statistics that were as good as their thresholds, in their order.
    """

    turned: frozenset[Fork] = frozenset()
    forks: list[Fork] = field(default_factory=list)
    _calls: int = 0

    def list_others(self) -> Iterator[Branches]:
        """Other branches that may be taken: with one turn more, the last fork first; then with two."""
        untried = [fork for fork in reversed(self.forks) if fork not in self.turned][:_MOST_FORKS]
        tried = set()
        calls = [
            frozenset(fork for fork in untried if fork.call == call) for call in {f.call: 0 for f in untried}
        ]
        some = [frozenset(turns) for number in (1, 2) for turns in combinations(untried, number)]
        # Models of the same patients reach their thresholds together
        for turns in (*some[: len(untried)], *calls, *some[len(untried) :]):
            if turns not in tried:
                tried.add(turns)
                yield Branches(self.turned | turns)

    @contextmanager
    def decide(self) -> Iterator[None]:
        """A context in which `find_below` decides as these branches say."""
        token = _deciding.set(self)
        try:
            yield
        finally:
            _deciding.reset(token)

    def turn(self, below: Flags, close: Flags) -> Flags:
        """The comparison's outcome, turned where the other branch is taken; notes its forks."""
        places = [Fork(self._calls, int(place)) for place in np.flatnonzero(close)]
        self.forks += places
        self._calls += 1
        turned = below.ravel().copy()
        for fork in self.turned.intersection(places):
            turned[fork.place] = not turned[fork.place]
        return turned.reshape(below.shape)


_deciding: ContextVar[Branches | None] = ContextVar("deciding", default=None)


def find_below(
    statistic: Reals | float, threshold: Reals | float, margin: Reals | float | None = None
) -> Flags:
    """Whether each statistic is below its threshold, and so which branch is taken.

    Parameters
    ----------
    statistic, threshold : float arrays, or floats
        Of shapes that go together.
    margin : float array or float, optional
        How far apart they may be to be the same but for rounding; by default a millionth of the threshold.

    Examples
    --------
    >>> find_below(np.array([1.0, 2.0]), 2.0).tolist()
    [True, False]
    """
    left, right = np.broadcast_arrays(
        np.asarray(statistic, dtype=np.float64), np.asarray(threshold, dtype=np.float64)
    )
    below = np.asarray(left < right)
    branches = _deciding.get()
    if branches is None:
        return below
    with np.errstate(invalid="ignore"):
        allowed = CLOSE * np.abs(right) if margin is None else np.broadcast_to(margin, right.shape)
        close = np.isfinite(right) & (allowed > 0) & (np.abs(left - right) <= allowed)
    return branches.turn(below, close)
