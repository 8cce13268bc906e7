"""Scores that have a given confusion matrix and win exactly a given number of pairs.

A confusion matrix leaves the ranks open among the patients called positive and among those called negative.
In each of these halves the remaining wins are distributed as by two normal distributions of equal variance.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from common.types import Counts, Reals
from simulations.paper.facts import Ranking

_PLACES = 500
"""Distinct scores on either side of the threshold 0.5: one for each bin of the plan's histogram, so that no
pair of patients of two sites is tied unless the tie is intended."""


def scores_of(ranking: Ranking) -> tuple[Reals, Reals]:
    """Scores in [0, 1] of the patients without and with expansion, ascending.

    Returns
    -------
    tuple of float arrays, shapes (n0,) and (n1,)

    Raises
    ------
    ValueError
        If the confusion matrix allows no such number of wins.
    """
    called = ranking.true_positive * ranking.false_positive
    uncalled = ranking.false_negative * ranking.true_negative
    left = ranking.doubled_wins - 2 * ranking.true_positive * ranking.true_negative
    if not 0 <= left <= 2 * (called + uncalled):
        raise ValueError(f"no ranks of {ranking} give this number of wins")
    above = min(2 * called, round(left * called / max(called + uncalled, 1)))
    above = max(above, left - 2 * uncalled)
    halves = (
        _score_half(ranking.true_negative, ranking.false_negative, left - above),
        _score_half(ranking.false_positive, ranking.true_positive, above),
    )
    negatives, positives = (np.concatenate([halves[0][group], 0.5 + halves[1][group]]) for group in (0, 1))
    return negatives, positives


def _score_half(negatives: int, positives: int, doubled_wins: int) -> tuple[Reals, Reals]:
    """Scores in (0, 0.5) of the patients without and with expansion, ascending, with these doubled wins.

    Raises
    ------
    ValueError
        If there are more scores than places.
    """
    doubled = _place_positives(negatives, positives, doubled_wins)
    # Negative j stands at 2 j + 1, a positive with w wins at 2 w: an odd place is a tie with that negative.
    keys = np.concatenate([2.0 * np.arange(negatives) + 1, doubled + _fan(doubled)])
    _, place = np.unique(keys, return_inverse=True)
    if keys.size > _PLACES:
        raise ValueError(f"{keys.size} scores have no {_PLACES} places")
    scores = ((place * _PLACES) // max(keys.size, 1) + 0.5) / (2 * _PLACES)
    return scores[:negatives], scores[negatives:]


def _fan(doubled: Counts) -> Reals:
    """What separates positives between the same two negatives; those that tie with a negative get 0."""
    order = np.arange(doubled.size) / (doubled.size + 1)
    return np.where(doubled % 2 == 0, order, 0.0)


def _place_positives(negatives: int, positives: int, doubled_wins: int) -> Counts:
    """For each positive, twice the number of negatives below it; at most one is odd, a tie."""
    if negatives * positives == 0:
        return np.zeros(positives, dtype=np.int64)
    share = float(np.clip(doubled_wins / (2 * negatives * positives), 1e-6, 1 - 1e-6))
    deviates = ndtri((np.arange(positives) + 0.5) / positives) + 2**0.5 * ndtri(share)
    wins = np.rint(negatives * ndtr(deviates)).astype(np.int64)
    full_wins, tie = divmod(doubled_wins, 2)
    lacking = full_wins - int(wins.sum())
    while lacking:
        # One step for each patient with room, from the middle outwards; the order stays ascending.
        room = np.flatnonzero(wins < negatives if lacking > 0 else wins > 0)
        nearest = room[np.argsort(np.abs(room - positives // 2), kind="stable")][: abs(lacking)]
        wins[nearest] += int(np.sign(lacking))
        lacking = full_wins - int(wins.sum())
    doubled = 2 * np.sort(wins)
    if tie:
        doubled[np.flatnonzero(doubled < 2 * negatives)[-1]] += 1
    return doubled
