"""The bins in which each score is first counted, and how far they may be divided."""

from __future__ import annotations

from common.plan.matrix import Scorer
from common.plan.study import ScoresModel, StudyPlan
from common.stats.score_grid import ScoreGrid

MOST_PIECES = 2**16
"""Most edges of a question that divides bins, over all of its scores."""
_FINER = 4
"""By what factor the plan's number of bins may grow."""


def first_grid_of(plan: StudyPlan, scorer: Scorer) -> ScoreGrid:
    """The grid on which a score is first counted: by its values where it has few, else fine at both ends."""
    model = scorer.model
    if isinstance(model, ScoresModel) and model.values is not None:
        return ScoreGrid.of_values(model.values)
    return ScoreGrid.with_fine_ends(plan.evaluation.bins)


def most_edges(plan: StudyPlan) -> int:
    """Most edges of a score's grid after its bins were divided."""
    return _FINER * plan.evaluation.bins


def most_counted_edges(plan: StudyPlan) -> int:
    """Most edges of a score's grid in a question by which sites agree on its bins."""
    return max(MOST_PIECES, most_edges(plan))
