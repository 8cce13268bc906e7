"""A site's part in the selection of radiomics features, and the selection on its patients alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from client.agreement import features_twice, training_twice
from client.covariates import feature_matrix, labels_of
from client.prepare import PreparedCase
from common.agreement import criterion_of, feature_demand
from common.errors import ProtocolError
from common.headers import LassoSelection
from common.protocol import Parameters
from common.questions import flags, integers, reals
from common.radiomics.features import FEATURES
from common.radiomics.reproducibility import agreement
from common.radiomics.selection import (
    Selection,
    SelectionSettings,
    complete_features,
    fold_of,
    nothing_judged,
    select_features,
)
from common.selected import not_selected, summary_of
from common.stats.contract import Summary
from common.stats.guard import Demand, breach
from common.stats.icc import local_icc, local_location, location_of
from common.stats.lasso import Scaling, local_gram, local_scaling
from common.stats.minima import minima_of
from common.stats.prescreen import local_prescreen
from common.study import StudyPlan
from common.types import Counts, Flags, Reals


@dataclass(frozen=True)
class FeatureSums:
    """The sums of one site's training patients who have every feature.

    Attributes
    ----------
    features : float array, shape (n, features)
    labels : bool array, shape (n,)
    folds : int array, shape (n,)
    n_folds : int
    """

    features: Reals
    labels: Flags
    folds: Counts
    n_folds: int

    @classmethod
    def of(cls, plan: StudyPlan, site: str, training: Sequence[PreparedCase]) -> FeatureSums:
        """Of a site's training patients."""
        features = feature_matrix(training)
        kept = np.flatnonzero(complete_features(features))
        n_folds = plan.radiomics.folds
        names = [training[index].patient.identifier for index in kept.tolist()]
        folds = [fold_of(plan.seed, site, name, n_folds) for name in names]
        return cls(features[kept], labels_of(training)[kept], np.array(folds, dtype=np.int64), n_folds)

    def scaling(self) -> Summary:
        """Moments of every feature."""
        return local_scaling(self.features, np.zeros(self.features.shape[1]))

    def prescreen(self, scale: Scaling) -> Summary:
        """Products of every feature with the outcome."""
        return local_prescreen(self.features, self.labels, self.folds, self.n_folds, scale)

    def gram(self, scale: Scaling, kept: Counts) -> Summary:
        """Cross-products of the kept features, by fold."""
        own = Scaling(scale.mean[kept], scale.sd[kept], scale.kept[kept])
        return local_gram(self.features[:, kept], self.labels, self.folds, self.n_folds, own)


def select_alone(plan: StudyPlan, site: str, training: Sequence[PreparedCase]) -> LassoSelection:
    """The features that the LASSO selects on these patients alone, of those on which their readings agree.

    With the minima of a release where the plan declares one: the features' moments leave with the models.
    """
    sums, minima = FeatureSums.of(plan, site, training), minima_of(plan.profile)
    positives = int(sums.labels.sum())
    demand = Demand("regression", one_site=plan.site(site).model_release)
    status = breach(len(sums.labels) - positives, positives, demand, minima)
    return summary_of(_selected(plan, sums, training)) if status.ok else not_selected(status)


def _selected(plan: StudyPlan, sums: FeatureSums, training: Sequence[PreparedCase]) -> Selection:
    settings, minima = settings_of(plan), minima_of(plan.profile)
    if not plan.radiomics.readings:
        return select_features(sums, FEATURES, settings, minima)
    twice = {reading: training_twice(training, reading) for reading in plan.radiomics.readings}
    for cases in twice.values():
        status = breach(len(cases), 0, feature_demand(plan, 1), minima)
        if not status.ok:
            return nothing_judged(len(FEATURES), status)
    readings = {reading: _icc_sums(features_twice(cases, reading)) for reading, cases in twice.items()}
    retained = agreement(readings, criterion_of(plan), minima).retained
    return select_features(sums, FEATURES, settings, minima, retained)


def _icc_sums(ratings: Reals) -> Summary:
    """Of features, shape (n, 851, 2), about their own means."""
    by_feature = ratings.transpose(1, 0, 2)
    location = location_of(local_location(by_feature))
    return local_icc(location.applied(by_feature), np.zeros(len(by_feature)))


def settings_of(plan: StudyPlan) -> SelectionSettings:
    """How the plan selects features."""
    return SelectionSettings(plan.radiomics.rule, plan.radiomics.wide_gram_accepted)


def answer_prescreen(sums: FeatureSums, parameters: Parameters) -> Summary:
    """Answer to PRESCREEN."""
    return sums.prescreen(_scaling(parameters))


def answer_gram(sums: FeatureSums, parameters: Parameters) -> Summary:
    """Answer to GRAM."""
    kept = integers(parameters, "chosen", 1)
    if kept.size == 0 or kept.min() < 0 or kept.max() >= len(FEATURES) or len(set(kept.tolist())) < kept.size:
        raise ProtocolError(f"{kept.size} features were asked for, not each one of {len(FEATURES)} once")
    return sums.gram(_scaling(parameters), kept)


def _scaling(parameters: Parameters) -> Scaling:
    shape = (len(FEATURES),)
    mean, sd = reals(parameters, "mean", 1), reals(parameters, "sd", 1)
    if mean.shape != shape or sd.shape != shape or (sd <= 0).any():
        raise ProtocolError(f"{mean.size} means and {sd.size} SDs came for {len(FEATURES)} features")
    return Scaling(mean, sd, flags(parameters, "kept", shape))
