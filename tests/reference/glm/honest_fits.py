"""Prints how sharp the questions of simulated honest fits are, and how many the second line refuses.

`python -m tests.reference.glm.honest_fits [FITS] [SEED]`; the bounds of `common.stats.second_line` come from
it. Cohorts of 20 to 300 patients over one to five sites, rare outcomes among them, some of whom the
covariates separate; every question of every fit is looked at as each site sees it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from common.models.fourier import draw_map
from common.stats.calibration import local_calibration, logits, recalibrate
from common.stats.contract import Summary, total
from common.stats.covariates import Model, Term, drop_empty_levels, local_setup
from common.stats.glm import fit
from common.stats.lasso import fold_classes, local_magnitude, local_scaling, magnitude_of, scaling_of
from common.stats.lasso_binomial import advance_path, local_path, start_path
from common.stats.minima import SIMULATION, STANDARD, Minima
from common.stats.newton import Query, local_newton
from common.stats.ridge import advance_ridge, local_ridge, start_ridge
from common.stats.second_line import (
    DISORDER,
    FEWEST,
    GENTLE,
    STEEP,
    Sharpness,
    find_beyond,
    measure_sharpness,
    predict_asked,
)
from common.stats.stack import Problem
from common.types import Flags, Reals

PATIENTS = (20, 30, 40, 60, 93, 150, 300)
RATES = (0.05, 0.1, 0.3, 0.5)
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 100.0)
"""SDs of the coefficients on the standardised scale; by the last, covariates all but determine outcomes."""
COSTS, WIDTHS = (0.1, 1.0, 10.0, 100.0), (0.003, 0.01, 0.03, 0.1)
"""The grids of a plan's support vector machine, by default."""


@dataclass(frozen=True)
class Cohort:
    """Patients of several sites.

    Attributes
    ----------
    matrix : float array, shape (n, columns)
        NaN where missing.
    labels : bool array, shape (n,)
    sites : tuple of bool arrays, shape (n,)
        Whose each patient is.
    terms : tuple of Term
        One a column.
    """

    matrix: Reals
    labels: Flags
    sites: tuple[Flags, ...]
    terms: tuple[Term, ...]


@dataclass
class Watch:
    """What the second line makes of the questions that it is shown.

    Attributes
    ----------
    gentle : float
        As in `second_line.find_beyond`.
    questions, refused : int
        Models of all questions, site by site, and how many of them are beyond the bounds.
    singling : list of Sharpness
        Of those that single patients out.
    """

    gentle: float = GENTLE
    questions: int = 0
    refused: int = 0
    singling: list[Sharpness] = field(default_factory=list)

    def see(self, predictors: Reals, labels: Flags, members: Flags) -> None:
        """Take note of the models of a question at a site, as `second_line.find_beyond` gets them."""
        self.questions += len(predictors)
        self.refused += int(find_beyond(predictors, labels, members, self.gentle).sum())
        for row, chosen in zip(predictors, members, strict=True):
            if chosen.any():
                sharpness = measure_sharpness(row[chosen], labels[chosen])
                self.singling += [sharpness] if sharpness.singles_out(self.gentle) else []


def draw_cohort(random: np.random.Generator) -> Cohort:
    """Covariates of several kinds, and outcomes that follow from them more or less."""
    n, columns = int(random.choice(PATIENTS)), int(random.integers(1, 6))
    kinds = random.integers(0, 5, columns).tolist()
    matrix = np.stack([_draw_column(random, kind, n) for kind in kinds], axis=1)
    spread = matrix.std(axis=0)
    z = (matrix - matrix.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    predictor = z @ (random.normal(size=columns) * random.choice(STRENGTHS))
    predictor -= np.quantile(predictor, 1 - random.choice(RATES))
    labels = random.random(n) < 1 / (1 + np.exp(-np.clip(predictor, -500, 500)))
    missing = random.random(matrix.shape) < random.choice([0.0, 0.05])
    number = int(random.choice([1, 2, 3, 5]))
    site = random.choice(number, n, p=random.dirichlet(np.full(number, 2.0)))
    return Cohort(
        np.where(missing, np.nan, matrix),
        labels,
        tuple(site == index for index in range(number)),
        tuple(Term(f"x{place}", (place,), binary=kind == 0) for place, kind in enumerate(kinds)),
    )


def _draw_column(random: np.random.Generator, kind: int, n: int) -> Reals:
    """A binary, normal, skewed, rounded or heavy-tailed covariate."""
    columns: tuple[Callable[[], Reals], ...] = (
        lambda: (random.random(n) < random.choice([0.1, 0.3, 0.5])).astype(np.float64),
        lambda: random.normal(size=n),
        lambda: np.exp(1.2 * random.normal(size=n)),
        lambda: np.round(random.normal(60, 12, size=n)),
        lambda: random.standard_t(2, size=n),
    )
    return columns[kind]()


def watch_regressions(watch: Watch, cohort: Cohort, minima: Minima) -> None:
    """Every covariate alone and all together: likelihood, Firth's method with its steps, profile limits."""
    models = [Model((term,)) for term in cohort.terms]
    models += [Model(cohort.terms)] if len(cohort.terms) > 1 else []
    parts = [(cohort.matrix[site], cohort.labels[site]) for site in cohort.sites]
    setup = total(local_setup(matrix, labels, models) for matrix, labels in parts)
    setup, reduced = drop_empty_levels(setup, models)
    fit(_ask_watched(watch, parts), setup, reduced, minima)


def _ask_watched(watch: Watch, parts: list[tuple[Reals, Flags]]) -> Callable[[Problem, Query], Summary]:
    def ask(problem: Problem, query: Query) -> Summary:
        for matrix, labels in parts:
            predictors, members = predict_asked(matrix, labels, problem, query)
            watch.see(predictors, labels, members)
        return total(local_newton(matrix, labels, problem, query) for matrix, labels in parts)

    return ask


def watch_calibrations(watch: Watch, cohort: Cohort, random: np.random.Generator, minima: Minima) -> None:
    """Scores from useless to perfect, timid to certain beyond what logits can hold."""
    n = len(cohort.labels)
    quality, sharpness = random.choice([0.0, 0.5, 2.0, 20.0], 4), random.choice([0.05, 1.0, 4.0, 30.0], 4)
    forms = sharpness * (random.normal(size=(n, 4)) + quality * (cohort.labels[:, np.newaxis] - 0.5))
    scores = 1 / (1 + np.exp(-forms))
    matrix = np.stack([logits(column) for column in scores.T], axis=1)
    parts = [(matrix[site], cohort.labels[site]) for site in cohort.sites]
    sums = [
        total(local_calibration(column[site], cohort.labels[site]) for site in cohort.sites)
        for column in scores.T
    ]
    recalibrate(_ask_watched(watch, parts), sums, minima)


def watch_machines(watch: Watch, cohort: Cohort, random: np.random.Generator) -> None:
    """Ridge regressions on random Fourier features with the plan's grids, in two folds and without any."""
    complete = ~np.isnan(cohort.matrix).any(axis=1)
    z, labels = cohort.matrix[complete], cohort.labels[complete]
    z = (z - z.mean(axis=0)) / np.maximum(z.std(axis=0), 1e-9)
    sites = [site[complete] for site in cohort.sites]
    folds = random.integers(0, 2, len(labels))
    fourier = draw_map(random, max(2, len(labels) // 8), z.shape[1])
    for width in WIDTHS:
        x = fourier.features(z, width)
        trains = np.stack([folds != fold for fold in (0, 1, 2) for _ in COSTS])
        state = start_ridge(np.tile(1 / np.array(COSTS), 3), x.shape[1])
        while state.active.any():
            asked = np.flatnonzero(state.active)
            for site in sites:
                _see_forms(watch, x[site], labels[site], (trains[asked][:, site], state.trial[asked]))
            answer = total(
                local_ridge(x[site], labels[site], trains[asked][:, site], state.trial[asked])
                for site in sites
            )
            state = advance_ridge(state, answer)


def watch_paths(watch: Watch, cohort: Cohort, random: np.random.Generator, minima: Minima) -> None:
    """The binomial LASSO along its path, in three folds, on twelve features of which the first tell most."""
    n = len(cohort.labels)
    features = random.normal(size=(n, 12)) + np.where(cohort.labels, random.choice([0.5, 8.0]), 0.0)[
        :, np.newaxis
    ] * (np.arange(12) < 2)
    folds = random.integers(0, 3, n)
    classes = fold_classes(cohort.labels, folds, 3)
    if classes.min() == 0:
        return
    magnitude = magnitude_of(total(local_magnitude(features[site]) for site in cohort.sites))
    scale = scaling_of(total(local_scaling(features[site], magnitude) for site in cohort.sites), magnitude)
    state = start_path(classes, 12, minima, 30, wide_gram_accepted=True)
    while state.query.running.any():
        running, query = state.query.running, state.query
        trains = np.stack([folds != fold for fold in range(4)])[running]
        for site in cohort.sites:
            x = scale.standardise(features[site])
            _see_forms(watch, x, cohort.labels[site], (trains[:, site], query.coefficients[running]))
        answer = total(
            local_path(features[site], cohort.labels[site], folds[site], scale, query)
            for site in cohort.sites
        )
        state = advance_path(state, answer, minima, wide_gram_accepted=True)


def _see_forms(watch: Watch, x: Reals, labels: Flags, asked: tuple[Flags, Reals]) -> None:
    trains, coefficients = asked
    watch.see(coefficients[:, :1] + coefficients[:, 1:] @ x.T, labels, trains)


def watch_fits(fits: int, seed: int) -> Iterator[tuple[str, Watch]]:
    """What the second line makes of so many cohorts' fits of each kind, under both minima in turn."""
    random = np.random.default_rng(seed)
    watches = {name: Watch() for name in ("regressions", "calibrations", "machines", "paths")}
    watches["calibrations"].gentle = STEEP
    for number in range(fits):
        cohort, minima = draw_cohort(random), (STANDARD, SIMULATION)[number // 10 % 2]
        watch_regressions(watches["regressions"], cohort, minima)
        watch_calibrations(watches["calibrations"], cohort, random, minima)
        if number % 10 == 0 and min(cohort.labels.sum(), (~cohort.labels).sum()) > 1:
            watch_machines(watches["machines"], cohort, random)
            watch_paths(watches["paths"], cohort, random, minima)
    yield from watches.items()


def main() -> None:
    """Print a row for each kind of fit."""
    fits, seed = (int(text) for text in (sys.argv[1:] + ["1000", "2026"][len(sys.argv) - 1 :])[:2])
    sys.stdout.write(f"bound of the disorder {DISORDER}, judged with {FEWEST} patients of each class\n")
    for name, watch in watch_fits(fits, seed):
        disorder = np.array([sharpness.disorder for sharpness in watch.singling])
        shown = [
            f"{name:13s} {watch.questions:8d} questions, {len(disorder):6d} single out: disorder",
            *(
                f"{quantile:g} %: {_find_quantile(disorder, quantile):.4f}"
                for quantile in (50, 99, 99.9, 100)
            ),
            f"spread up to {max((s.spread for s in watch.singling), default=0.0):.0f}",
            f"refused {watch.refused}",
        ]
        sys.stdout.write("  ".join(shown) + "\n")


def _find_quantile(values: Reals, percent: float) -> float:
    return float(np.quantile(values, percent / 100)) if values.size else 0.0


if __name__ == "__main__":
    main()
