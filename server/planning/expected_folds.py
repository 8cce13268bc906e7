"""How many folds the cross-validations of a study will have, and whether its patients carry any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.cards.fourier_machine import FEWEST_SVM_FOLDS
from common.plan.models import SvmModel
from common.plan.study import Arm, StudyPlan
from common.program.machines import count_permitted_features
from common.radiomics.lasso_selection import FEWEST_FOLDS
from common.stats.folds import FoldChoice, choose_folds, deal_folds, find_members, list_numbers
from common.stats.minima import minima_of
from common.types import Counts
from server.planning.expected_patients import ExpectedPatients


@dataclass(frozen=True)
class ExpectedFolds:
    """One cross-validation.

    Attributes
    ----------
    what : str
        What is chosen by it.
    sites : tuple of str
        On whose training patients.
    choice : FoldChoice
        How many folds it has, and why they are fewer than the plan's.
    features : int
        Random features that a support vector machine may use; 0 where there is none.
    """

    what: str
    sites: tuple[str, ...]
    choice: FoldChoice
    features: int = 0


def expect_selection_folds(plan: StudyPlan, arm: Arm, patients: Sequence[ExpectedPatients]) -> ExpectedFolds:
    """The folds of the LASSO, all patients having all features."""
    choice = _choose(plan, patients, plan.radiomics.folds, FEWEST_FOLDS)
    return ExpectedFolds("LASSO", arm.sites, choice)


def expect_machine_folds(
    plan: StudyPlan, model: SvmModel, arm: Arm, patients: Sequence[ExpectedPatients]
) -> ExpectedFolds:
    """The folds of a support vector machine, and its random features, all patients having all covariates."""
    choice = _choose(plan, patients, model.folds, FEWEST_SVM_FOLDS)
    features = (
        count_permitted_features(model, choice.classes, minima_of(plan.profile)) if choice.status.ok else 0
    )
    return ExpectedFolds(model.name, arm.sites, choice, features)


def _choose(plan: StudyPlan, patients: Sequence[ExpectedPatients], planned: int, fewest: int) -> FoldChoice:
    classes = np.sum([_count_folds(plan, site, planned, fewest) for site in patients], axis=0)
    return choose_folds(classes, planned, fewest, minima_of(plan.profile))


def _count_folds(plan: StudyPlan, site: ExpectedPatients, planned: int, fewest: int) -> Counts:
    """A site's patients of each class in each fold of each number of folds, which no identifier changes."""
    labels, numbers = site.list_labels("training"), list_numbers(planned, fewest)
    names = [str(number) for number in range(len(labels))]
    dealt = [deal_folds(plan.seed, site.site, names, labels, number) for number in numbers]
    members = find_members(dealt, numbers)
    return np.stack([(members & ~labels).sum(axis=1), (members & labels).sum(axis=1)], axis=1)
