"""A site's part in the selection of radiomics features, and the selection on its patients alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from client.answers.agreement import select_read_twice, stack_features_twice
from client.answers.patient_arrays import labels_of, make_feature_matrix
from client.cohort.cases import PreparedCase
from common.cards.selected import explain_no_selection, summary_of
from common.errors import ProtocolError
from common.messages.headers import LassoSelection
from common.messages.protocol import Parameters
from common.messages.questions import read_flag_array, read_integer_array, read_real_array
from common.plan.agreement import criterion_of, feature_demand
from common.plan.study import StudyPlan
from common.radiomics.features import FEATURES
from common.radiomics.lasso_selection import (
    Selection,
    SelectionSettings,
    complete_features,
    fold_of,
    select_features,
    select_nothing,
)
from common.radiomics.stable_features import estimate_agreement
from common.stats.contract import Summary
from common.stats.guard import Demand, find_breach
from common.stats.icc import local_icc, local_location, location_of
from common.stats.lasso import Scaling, local_gram, local_scaling
from common.stats.minima import minima_of
from common.stats.prescreen import local_prescreen
from common.types import Counts, Flags, Reals


@dataclass(frozen=True)
class FeatureSums:
    """The sums of one site's training patients who have every feature.

    Attributes
    ----------
    features : float array, shape (n, features)
        Without missing values.
    labels : bool array, shape (n,)
        Whether the plan's endpoint was reached.
    folds : int array, shape (n,)
        The fold of each patient, from 0.
    n_folds : int
        How many folds the plan has.
    """

    features: Reals
    labels: Flags
    folds: Counts
    n_folds: int

    @classmethod
    def of(cls, plan: StudyPlan, site: str, training: Sequence[PreparedCase]) -> FeatureSums:
        """The training patients who have every feature, with their folds."""
        features = make_feature_matrix(training)
        complete = np.flatnonzero(complete_features(features))
        n_folds = plan.radiomics.folds
        names = [training[index].patient.identifier for index in complete.tolist()]
        folds = [fold_of(plan.seed, site, name, n_folds) for name in names]
        return cls(
            features[complete], labels_of(training)[complete], np.array(folds, dtype=np.int64), n_folds
        )

    def sum_moments(self) -> Summary:
        """Moments of every feature."""
        return local_scaling(self.features, np.zeros(self.features.shape[1]))

    def sum_products(self, scale: Scaling) -> Summary:
        """Products of every feature with the outcome."""
        return local_prescreen(self.features, self.labels, self.folds, self.n_folds, scale)

    def sum_cross_products(self, scale: Scaling, kept: Counts) -> Summary:
        """Cross-products of the kept features, by fold."""
        kept_scale = Scaling(scale.mean[kept], scale.sd[kept], scale.kept[kept])
        return local_gram(self.features[:, kept], self.labels, self.folds, self.n_folds, kept_scale)


def select_alone(plan: StudyPlan, site: str, training: Sequence[PreparedCase]) -> LassoSelection:
    """The features that the LASSO selects on these patients alone, of those on which their readings agree.

    Where the plan declares a release, its minimums hold: the features' moments leave with the models.
    """
    sums, minima = FeatureSums.of(plan, site, training), minima_of(plan.profile)
    positives = int(sums.labels.sum())
    demand = Demand("regression", one_site=plan.site(site).model_release)
    status = find_breach(len(sums.labels) - positives, positives, demand, minima)
    return summary_of(_select(plan, sums, training)) if status.ok else explain_no_selection(status)


def _select(plan: StudyPlan, sums: FeatureSums, training: Sequence[PreparedCase]) -> Selection:
    settings, minima = settings_of(plan), minima_of(plan.profile)
    if not plan.radiomics.readings:
        return select_features(sums, FEATURES, settings, minima)
    twice = {reading: select_read_twice(training, reading) for reading in plan.radiomics.readings}
    for cases in twice.values():
        status = find_breach(len(cases), 0, feature_demand(plan, 1), minima)
        if not status.ok:
            return select_nothing(len(FEATURES), status)
    readings = {
        reading: _sum_for_icc(stack_features_twice(cases, reading)) for reading, cases in twice.items()
    }
    retained = estimate_agreement(readings, criterion_of(plan), minima).retained
    return select_features(sums, FEATURES, settings, minima, retained)


def _sum_for_icc(ratings: Reals) -> Summary:
    """The ICC's sums of features read twice, shape (n, 851, 2), about their own means."""
    by_feature = ratings.transpose(1, 0, 2)
    location = location_of(local_location(by_feature))
    return local_icc(location.apply(by_feature), np.zeros(len(by_feature)))


def settings_of(plan: StudyPlan) -> SelectionSettings:
    """How the plan selects features."""
    return SelectionSettings(plan.radiomics.rule, plan.radiomics.wide_gram_accepted)


def answer_prescreen(sums: FeatureSums, parameters: Parameters) -> Summary:
    """The answer to PRESCREEN: products of every feature with the outcome."""
    return sums.sum_products(_read_scaling(parameters))


def answer_gram(sums: FeatureSums, parameters: Parameters) -> Summary:
    """The answer to GRAM: cross-products of the features that were chosen.

    Raises
    ------
    ProtocolError
        If a feature was asked for that there is not, or twice.
    """
    kept = read_integer_array(parameters, "chosen", 1)
    if kept.size == 0 or kept.min() < 0 or kept.max() >= len(FEATURES) or len(set(kept.tolist())) < kept.size:
        raise ProtocolError(f"{kept.size} features were asked for, not each one of {len(FEATURES)} once")
    return sums.sum_cross_products(_read_scaling(parameters), kept)


def _read_scaling(parameters: Parameters) -> Scaling:
    shape = (len(FEATURES),)
    mean, sd = read_real_array(parameters, "mean", 1), read_real_array(parameters, "sd", 1)
    if mean.shape != shape or sd.shape != shape or (sd <= 0).any():
        raise ProtocolError(f"{mean.size} means and {sd.size} SDs came for {len(FEATURES)} features")
    return Scaling(mean, sd, read_flag_array(parameters, "kept", shape))
