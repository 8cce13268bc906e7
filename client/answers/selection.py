"""A site's part in the selection of radiomics features, and the selection on its patients alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from client.answers.agreement import select_read_again, stack_features
from client.answers.inquiry import Backing, Inquiry
from client.answers.patient_arrays import labels_of, make_selectable_matrix
from client.answers.product_limits import refuse_wide_products
from client.answers.singling import refuse_singling_out
from client.cohort.cases import PreparedCase
from common.cards.selected import explain_no_selection, summary_of
from common.errors import ProtocolError
from common.messages.catalogue import Operation
from common.messages.headers import LassoSelection
from common.messages.protocol import Parameters
from common.messages.questions import read_flag_array, read_integer_array, read_path, read_real_array
from common.plan.agreement import criterion_of, feature_demand
from common.plan.design import list_selectable
from common.plan.study import StudyPlan
from common.radiomics.features import FEATURES
from common.radiomics.lasso_selection import (
    FEWEST_FOLDS,
    Selection,
    SelectionSettings,
    complete_features,
    select_features,
    select_nothing,
)
from common.radiomics.stable_features import estimate_agreement
from common.stats.contract import Summary, join_summaries
from common.stats.folds import choose_folds, deal_folds, find_members, list_numbers
from common.stats.guard import Demand, find_breach
from common.stats.icc import RatingLocation, local_icc, local_location, location_of
from common.stats.lasso import LassoFamily, Scaling, local_gram, local_magnitude, local_scaling
from common.stats.lasso_binomial import PathQuery, local_path
from common.stats.minima import minima_of
from common.stats.prescreen import local_prescreen
from common.stats.unusual_values import count_unusual
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
        How many folds there are.
    """

    features: Reals
    labels: Flags
    folds: Counts
    n_folds: int

    @classmethod
    def of(
        cls,
        seed: int,
        site: str,
        training: Sequence[PreparedCase],
        n_folds: int,
        names: Sequence[str] = FEATURES,
    ) -> FeatureSums:
        """The training patients who have every feature, dealt into so many folds."""
        features = make_selectable_matrix(training, names)
        complete = complete_features(features)
        labels = labels_of(training)
        folds = deal_complete(seed, site, training, complete, n_folds)
        return cls(features[complete], labels[complete], folds[complete], n_folds)

    @property
    def fold_sizes(self) -> Counts:
        """Patients of each fold, shape (n_folds,)."""
        return np.bincount(self.folds, minlength=self.n_folds)

    def sum_magnitudes(self) -> Summary:
        """Sums of every feature and of its magnitudes."""
        return local_magnitude(self.features)

    def sum_moments(self, magnitude: RatingLocation) -> Summary:
        """Moments of every feature about public constants, and who differs from its usual value, by fold.

        Cross-products with a feature that one patient of a fold has are this patient's features.
        """
        unusual = count_unusual(self.features, self.folds, self.n_folds)
        return join_summaries([local_scaling(self.features, magnitude), unusual])

    def sum_products(self, scale: Scaling) -> Summary:
        """Products of every feature with the outcome."""
        return local_prescreen(self.features, self.labels, self.folds, self.n_folds, scale)

    def sum_cross_products(self, scale: Scaling, kept: Counts) -> Summary:
        """Cross-products of the kept features, by fold."""
        return local_gram(
            self.features[:, kept], self.labels, self.folds, self.n_folds, _keep_columns(scale, kept)
        )

    def sum_path(self, scale: Scaling, kept: Counts, query: PathQuery) -> Summary:
        """One round of the binomial LASSO on the kept features.

        Raises
        ------
        SmallNumberError
            If a fit singles patients out and does not fit them.
        """
        features, of_kept = self.features[:, kept], _keep_columns(scale, kept)
        running = np.flatnonzero(query.running)
        coefficients = query.coefficients[running]
        predictors = coefficients[:, :1] + coefficients[:, 1:] @ of_kept.standardise(features).T
        refuse_singling_out("a LASSO", predictors, self.labels, self.folds != running[:, np.newaxis])
        return local_path(features, self.labels, self.folds, of_kept, query)


def deal_complete(
    seed: int, site: str, training: Sequence[PreparedCase], complete: Flags, n_folds: int
) -> Counts:
    """The fold of each training patient who has all that an analysis needs, -1 for the others, shape (n,).

    The seed is the one with which the site draws, not the plan's where it mixes in its secret.
    """
    names = [training[place].patient.identifier for place in np.flatnonzero(complete).tolist()]
    folds = np.full(len(training), -1, dtype=np.int64)
    folds[complete] = deal_folds(seed, site, names, labels_of(training)[complete], n_folds)
    return folds


def find_fold_members(
    seed: int, site: str, training: Sequence[PreparedCase], complete: Flags, numbers: Sequence[int]
) -> Flags:
    """Who is in each fold of each of these numbers of folds, shape (folds of all numbers, n)."""
    return find_members([deal_complete(seed, site, training, complete, n) for n in numbers], numbers)


def _keep_columns(scale: Scaling, kept: Counts) -> Scaling:
    return Scaling(scale.mean[kept], scale.sd[kept], scale.kept[kept])


def select_alone(
    plan: StudyPlan, site: str, training: Sequence[PreparedCase], own_seed: int | None = None
) -> LassoSelection:
    """The features that the LASSO selects on these patients alone, of those on which their readings agree.

    Where the plan declares a release, its minimums hold: the features' moments leave with the models.
    """
    names = list_selectable(plan)
    labels, complete = labels_of(training), complete_features(make_selectable_matrix(training, names))
    minima, positives = minima_of(plan.profile), int(np.count_nonzero(labels & complete))
    demand = Demand("regression", one_site=plan.site(site).model_release)
    status = find_breach(int(np.count_nonzero(complete)) - positives, positives, demand, minima)
    if not status.ok:
        return explain_no_selection(status, len(names))
    numbers, seed = (
        list_numbers(plan.radiomics.folds, FEWEST_FOLDS),
        plan.seed if own_seed is None else own_seed,
    )
    members = find_fold_members(seed, site, training, complete, numbers)
    classes = np.stack([(members & ~labels).sum(axis=1), (members & labels).sum(axis=1)], axis=1)
    folds = choose_folds(classes, plan.radiomics.folds, FEWEST_FOLDS, minima)
    if not folds.status.ok:
        return explain_no_selection(folds.status, len(names))
    sums = FeatureSums.of(seed, site, training, folds.number, names)
    # A site alone asks nobody: no round of messages is counted.
    return summary_of(replace(_select(plan, sums, training), folds=folds, rounds=0))


def _select(plan: StudyPlan, sums: FeatureSums, training: Sequence[PreparedCase]) -> Selection:
    settings, minima = settings_of(plan), minima_of(plan.profile)
    if not plan.radiomics.readings:
        return select_features(sums, list_selectable(plan), settings, minima)
    behind = {name: plan.agreement.readings_behind(name) for name in plan.radiomics.readings}
    twice = {name: select_read_again(training, readings) for name, readings in behind.items()}
    for cases in twice.values():
        status = find_breach(len(cases), 0, feature_demand(plan, 1), minima)
        if not status.ok:
            return select_nothing(len(FEATURES), status)
    readings = {name: _sum_for_icc(stack_features(cases, behind[name])) for name, cases in twice.items()}
    retained = estimate_agreement(readings, criterion_of(plan), minima).retained
    return select_features(sums, FEATURES, settings, minima, retained)


def _sum_for_icc(ratings: Reals) -> Summary:
    """The ICC's sums of features read repeatedly, shape (n, 851, readings), about their own means."""
    by_feature = ratings.transpose(1, 0, 2)
    location = location_of(local_location(by_feature))
    return local_icc(location.apply(by_feature), np.zeros(len(by_feature)))


def settings_of(plan: StudyPlan) -> SelectionSettings:
    """How the plan selects features."""
    radiomics = plan.radiomics
    return SelectionSettings(radiomics.rule, radiomics.wide_gram_accepted, radiomics.family)


def list_featured_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The training patients, and who of them has every feature."""
    complete = complete_features(make_selectable_matrix(inquiry.training, list_selectable(inquiry.plan)))
    yield Backing(
        what="features were",
        sites=inquiry.sites,
        cohort="training",
        complete=complete[np.newaxis],
        labels=labels_of(inquiry.training),
        columns=(0,),
        folds=_find_folds(inquiry, complete) if inquiry.is_guard else None,
    )


def _find_folds(inquiry: Inquiry, complete: Flags) -> Flags:
    numbers = list_numbers(inquiry.plan.radiomics.folds, FEWEST_FOLDS)
    return find_fold_members(inquiry.seed, inquiry.site, inquiry.training, complete, numbers)


def open_features(inquiry: Inquiry, *, dealt: bool = True) -> FeatureSums:
    """The training patients who have every feature, dealt into the folds of a question that has some.

    Raises
    ------
    ProtocolError
        If it says none that the plan permits.
    """
    plan, folds = inquiry.plan, FEWEST_FOLDS
    if dealt:
        folds = read_folds(inquiry.parameters, plan.radiomics.folds, FEWEST_FOLDS)
    return FeatureSums.of(inquiry.seed, inquiry.site, inquiry.training, folds, list_selectable(plan))


def refuse_unplanned_products(inquiry: Inquiry) -> None:
    """Refuse products of more features than a fold can carry, or for a LASSO that the plan does not have.

    Raises
    ------
    ProtocolError
        If the plan's LASSO is of the other family.
    SmallNumberError
        If there are too many features.
    """
    plan, asked = inquiry.plan, inquiry.header.operation
    family: LassoFamily = "binomial" if asked is Operation.PATH else "gaussian"
    if plan.radiomics.family != family:
        raise ProtocolError(f"a {family} LASSO was asked for, the plan's is {plan.radiomics.family}")
    sums = open_features(inquiry)
    features, accepted = read_chosen(sums, inquiry.parameters).size, plan.radiomics.wide_gram_accepted
    refuse_wide_products(plan, inquiry.sites, sums.fold_sizes, features, accepted=accepted)


def answer_scaling(sums: FeatureSums, parameters: Parameters) -> Summary:
    """The answer to SCALING: moments of every feature about public constants.

    Raises
    ------
    ProtocolError
        If there is not one constant and one positive scale for each feature.
    """
    centre, scale = read_real_array(parameters, "centre", 1), read_real_array(parameters, "scale", 1)
    shape = (sums.features.shape[1],)
    if centre.shape != shape or scale.shape != shape or (scale <= 0).any():
        raise ProtocolError(f"{centre.size} centres and {scale.size} scales came for {shape[0]} features")
    return sums.sum_moments(RatingLocation(centre, scale))


def read_folds(parameters: Parameters, planned: int, fewest: int) -> int:
    """The number of folds that a question is about.

    Raises
    ------
    ProtocolError
        If it is not one of those that the plan permits.
    """
    numbers = read_integer_array(parameters, "folds", 1)
    if numbers.size != 1 or int(numbers[0]) not in list_numbers(planned, fewest):
        raise ProtocolError(f"{numbers.tolist()} folds were asked for, of at most {planned}")
    return int(numbers[0])


def answer_prescreen(sums: FeatureSums, parameters: Parameters) -> Summary:
    """The answer to PRESCREEN: products of every feature with the outcome."""
    return sums.sum_products(_read_scaling(sums, parameters))


def answer_gram(sums: FeatureSums, parameters: Parameters) -> Summary:
    """The answer to GRAM: cross-products of the features that were chosen.

    Raises
    ------
    ProtocolError
        If a feature was asked for that there is not, or twice.
    """
    return sums.sum_cross_products(_read_scaling(sums, parameters), read_chosen(sums, parameters))


def answer_path(sums: FeatureSums, parameters: Parameters) -> Summary:
    """The answer to PATH: gradients and weighted cross-products of the chosen features.

    Raises
    ------
    ProtocolError
        If a feature was asked for that there is not, or twice, or the question is malformed.
    """
    kept = read_chosen(sums, parameters)
    return sums.sum_path(
        _read_scaling(sums, parameters), kept, read_path(parameters, sums.n_folds, kept.size)
    )


def read_chosen(sums: FeatureSums, parameters: Parameters) -> Counts:
    """Positions of the features that a question is about.

    Raises
    ------
    ProtocolError
        If a feature was asked for that there is not, or twice.
    """
    kept, known = read_integer_array(parameters, "chosen", 1), sums.features.shape[1]
    if kept.size == 0 or kept.min() < 0 or kept.max() >= known or len(set(kept.tolist())) < kept.size:
        raise ProtocolError(f"{kept.size} features were asked for, not each one of {known} once")
    return kept


def _read_scaling(sums: FeatureSums, parameters: Parameters) -> Scaling:
    shape = (sums.features.shape[1],)
    mean, sd = read_real_array(parameters, "mean", 1), read_real_array(parameters, "sd", 1)
    if mean.shape != shape or sd.shape != shape or (sd <= 0).any():
        raise ProtocolError(f"{mean.size} means and {sd.size} SDs came for {shape[0]} features")
    return Scaling(mean, sd, read_flag_array(parameters, "kept", shape))
