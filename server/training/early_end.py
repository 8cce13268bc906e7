"""Whether a federated training ends before the plan's last round, by its learning curve alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from common.plan.sections import Federation


@dataclass(frozen=True)
class EarlyEnd:
    """Why a training ends.

    Attributes
    ----------
    gained : int
        The last round that gained enough.
    last : int
        The round with which the patience was through; one more was trained meanwhile.
    planned : int
        Rounds of the plan.
    minimum_gain : float
        By more than this the AUC had to rise.
    """

    gained: int
    last: int
    planned: int
    minimum_gain: float


def find_early_end(federation: Federation, judged: Iterable[tuple[int, float | None]]) -> EarlyEnd | None:
    """The first end that the plan's rule finds in a learning curve; None if the training goes on.

    What comes later does not change it, so a resumed training ends where an unbroken one does.

    Parameters
    ----------
    federation : Federation
        Its `early_stopping` is the rule; None: there is none.
    judged : iterable of (int, float or None)
        Number and validation AUC of each round, in order; a round without AUC counts neither way.

    References
    ----------
    Prechelt (1998), Early stopping - but when?, third class of criteria.
    """
    rule = federation.early_stopping
    if rule is None:
        return None
    mark, gained, waited = -1.0, 0, 0
    for number, auc in judged:
        if auc is None:
            continue
        if gained == 0 or auc > mark + rule.minimum_gain:
            mark, gained, waited = auc, number, 0
            continue
        waited += 1
        # With the last round but one, the last is trained already: nothing is saved, and it ends by itself
        if waited >= rule.patience and number + 1 < federation.rounds:
            return EarlyEnd(gained, number, federation.rounds, rule.minimum_gain)
    return None
