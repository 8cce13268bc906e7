"""How many features a site lets a sum of products have: fewer than half the patients of a fold.

Cross-products of more features would show the patients up to a rotation (`common.stats.lasso.gram_status`). A
site knows its own folds; another site's it knows only up to the plan's largest site.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.errors import SmallNumberError
from common.plan.study import StudyPlan
from common.stats.minima import minima_of
from common.types import Counts


def refuse_wide_products(
    plan: StudyPlan, sites: Sequence[str], fold_sizes: Counts, features: int, *, accepted: bool
) -> None:
    """Refuse products of more features than the sum's smallest fold can carry, unless the plan accepts them.

    Parameters
    ----------
    plan : StudyPlan
    sites : sequence of str
        Over whom the products are added.
    fold_sizes : int array, shape (folds,)
        This site's patients in each fold.
    features : int
        How many features were asked for.
    accepted : bool
        The plan's waiver of this rule (`wide_gram_accepted`).

    Raises
    ------
    SmallNumberError
        If they are too many.
    """
    if accepted or minima_of(plan.profile).fold == 1:
        return
    most = find_largest_fold(plan, sites, fold_sizes)
    if 2 * features > most:
        raise SmallNumberError(
            f"products of {features} features were asked for: a fold of the sum has at most {most} patients, "
            "the plan demands two a feature"
        )


def find_largest_fold(plan: StudyPlan, sites: Sequence[str], fold_sizes: Counts) -> int:
    """The most patients that the sum's smallest fold can have, if no site has more than the plan's largest.

    A site deals its patients evenly (`common.stats.folds.deal_folds`).
    """
    of_another = -(-plan.privacy.largest_site // len(fold_sizes))
    return int(np.min(fold_sizes)) + (len(sites) - 1) * of_another
