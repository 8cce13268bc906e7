"""Which covariates a logistic model has, and whether it may and can be fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from common.stats.branches import find_below
from common.stats.collinearity import CONDITION_LIMIT, condition_number
from common.stats.contract import Summary
from common.stats.estimate import OK, Status, suppressed, undefined
from common.stats.minima import Minima
from common.stats.stack import Problem, iterate_designs
from common.stats.unusual_values import find_unusual
from common.types import Counts, Flags, Reals

RARE_CELL = suppressed("a cell of a covariate's table below the minimum")
"""The status of a model with a level that too few patients with, or without, the outcome have."""
RARE_PAIR = suppressed("a cell of two covariates' table below the minimum")
"""The status of a model with levels of two covariates that too few patients have together."""
RARE_NUMBER = suppressed("too few patients differ from the usual value of a covariate")
"""The status of a model with a number that all but too few patients with, or without, the outcome share."""


@dataclass(frozen=True)
class Term:
    """One covariate of a model: a number, a yes/no variable, or a factor coded by dummy variables.

    Attributes
    ----------
    name : str
        Name of the covariate.
    columns : tuple of int
        Its columns of the design matrix; for a factor, one per level except the reference level.
    binary : bool
        Whether the columns hold 0 and 1 only.
    """

    name: str
    columns: tuple[int, ...]
    binary: bool = False


@dataclass(frozen=True)
class Model:
    """A logistic model with an intercept.

    Attributes
    ----------
    terms : tuple of Term
        Its covariates, in order; the intercept is not among them.
    """

    terms: tuple[Term, ...]

    @property
    def columns(self) -> tuple[int, ...]:
        """Columns of the design matrix of all terms, in order."""
        return tuple(column for term in self.terms for column in term.columns)


def local_setup(matrix: Reals, labels: Flags, models: Sequence[Model]) -> Summary:
    """One site's sums for the tables and moments of each model, over patients with all of its covariates.

    Parameters
    ----------
    matrix : float array, shape (n, columns)
        NaN where missing.
    labels : bool array, shape (n,)
        True for the outcome.

    Returns
    -------
    Summary
        Counts "classes" (models, 2), negatives first, and "missing" (models,); reals "gram" (models, d, d),
        the products of [1, x] with themselves, and "events" (models, d), their sums over the positives.
        Padded with 0.
    """
    problem = stack_models(models)
    classes = np.zeros((len(models), 2), dtype=np.int64)
    gram, events = np.zeros((*problem.free.shape, problem.free.shape[1])), np.zeros(problem.free.shape)
    for x, sign in iterate_designs(matrix, labels, problem, np.arange(len(models))):
        positive = sign > 0
        gram += np.matmul(x, x.transpose(0, 2, 1))
        events += x @ positive
        classes += np.stack([x[:, 0] @ ~positive, x[:, 0] @ positive], axis=1).astype(np.int64)
    missing = len(labels) - classes.sum(axis=1)
    return Summary({"classes": classes, "missing": missing}, {"gram": gram, "events": events})


def count_cells(matrix: Reals, labels: Flags, models: Sequence[Model]) -> Counts:
    """One site's patients with each level of each model's binary terms, over those with all its covariates.

    The setup's products of a level that one patient has are this patient's row: so the cells come first, also
    those of two levels. A patient who alone has both makes an entry of the information alone, in every round
    of Newton's method, and the rounds are as many equations for the row. A number that all others share does
    the same, for it may be subtracted: so those are counted who differ from the usual value, if there is one.

    Parameters
    ----------
    matrix, labels, models
        As in `local_setup`.

    Returns
    -------
    int array, shape (models, columns, 2 + columns)
        Of each column's level, or of those who differ: the negatives, the positives, then who also is in each
        column's. 0 as padding.
    """
    width = max(len(model.columns) for model in models)
    cells = np.zeros((len(models), width, 2 + width), dtype=np.int64)
    for row, model in enumerate(models):
        rows, size = matrix[:, list(model.columns)], len(model.columns)
        complete = ~np.isnan(rows).any(axis=1)
        held, positive = _find_holders(rows[complete], model), labels[complete]
        by_outcome = np.stack([held[~positive].sum(axis=0), held[positive].sum(axis=0)], axis=1)
        together = held.T.astype(np.int64) @ held.astype(np.int64)
        cells[row, :size, : 2 + size] = np.concatenate([by_outcome, together], axis=1)
    return cells


def _find_holders(rows: Reals, model: Model) -> Flags:
    """Who has each column's level, or differs from its usual number; shape of rows."""
    binary = np.array([term.binary for term in model.terms for _ in term.columns], dtype=np.bool_)
    return np.asarray(np.where(binary, rows != 0, find_unusual(rows)))


def judge_cells(
    classes: Counts, cells: Counts, model: Model, minima: Minima, *, accept_rare_pairs: bool = False
) -> Status:
    """Whether every cell of a model's tables of level by outcome, and by another's level, may be released.

    Parameters
    ----------
    classes : int array, shape (2,)
        Patients with all covariates, negatives first.
    cells : int array, shape (columns, 2 + columns)
        Of this model, summed over sites, as `count_cells` gives them.
    accept_rare_pairs : bool
        Whether few patients may share levels of two covariates.
    """
    places = list(_place_terms(model))
    for place, is_binary in places:
        levels = cells[place, :2]
        if is_binary:
            levels = np.concatenate([levels, [classes - levels.sum(axis=0)]])
        if not minima.may_release(levels).all():
            return RARE_CELL if is_binary else RARE_NUMBER
    for one, two in combinations(() if accept_rare_pairs else places, 2):
        if not minima.may_release(_tabulate(cells, (one, two), int(classes.sum()))).all():
            return RARE_PAIR
    return OK


def _place_terms(model: Model) -> Iterator[tuple[slice, bool]]:
    """Where the columns of each term lie among the model's, and whether they are levels."""
    place = 0
    for term in model.terms:
        yield slice(place, place + len(term.columns)), term.binary
        place += len(term.columns)


def _tabulate(cells: Counts, places: tuple[tuple[slice, bool], tuple[slice, bool]], patients: int) -> Counts:
    """The table of two terms, the reference levels last: what has any follows by subtraction, numbers do not.

    Parameters
    ----------
    cells : int array, shape (columns, 2 + columns)
    places : (slice, bool) of each term
        As `_place_terms` gives them.
    patients : int
        With all covariates.
    """
    (one, has_rows), (two, has_columns) = places
    table, rows, columns = cells[one, 2:][:, two], cells[one, :2].sum(axis=1), cells[two, :2].sum(axis=1)
    if has_columns:
        table = np.concatenate([table, (rows - table.sum(axis=1))[:, np.newaxis]], axis=1)
        columns = np.append(columns, patients - columns.sum())
    if has_rows:
        table = np.concatenate([table, [columns - table.sum(axis=0)]])
    return table


def stack_models(models: Sequence[Model]) -> Problem:
    """The models as one problem: columns padded to one width, not standardised, all coefficients free."""
    width = 1 + max(len(model.columns) for model in models)
    columns = np.full((len(models), width - 1), -1, dtype=np.int64)
    for row, model in enumerate(models):
        columns[row, : len(model.columns)] = model.columns
    used = int(columns.max(initial=-1)) + 1
    problem = Problem(columns, np.zeros((0, 0), dtype=np.bool_), np.zeros(used), np.ones(used), firth=False)
    return replace(problem, free=problem.present)


def judge_size(negatives: int, positives: int, columns: int, minima: Minima) -> Status:
    """Whether there are enough patients for a model of so many columns of covariates."""
    if min(negatives, positives) == 0:
        return suppressed("patients of one class only")
    too_few = negatives + positives < minima.model_rows * (columns + 1)
    if too_few or min(negatives, positives) < minima.model_class:
        return suppressed("too few patients for the number of coefficients")
    return OK


def fit_status(setup: Summary, row: int, model: Model, minima: Minima) -> Status:
    """Whether a model may and can be fitted, as the sum of the setup round tells.

    Parameters
    ----------
    setup : Summary
        The sum of `local_setup` over the sites.
    row : int
        Of the model in the setup.
    """
    n0, n1 = (int(n) for n in setup.counts["classes"][row])
    enough = judge_size(n0, n1, len(model.columns), minima)
    if not enough.ok:
        return enough
    if any(not minima.may_release(table).all() for table in binary_tables(setup, row, model)):
        return RARE_CELL
    if (moments(setup, row, model)[1] == 0).any():
        return undefined("a covariate is constant")
    if len(model.columns) > 1 and find_below(
        CONDITION_LIMIT, condition_number(correlation(setup, row, model))
    ):
        return undefined(f"collinear covariates among {', '.join(term.name for term in model.terms)}")
    return OK


def binary_tables(setup: Summary, row: int, model: Model) -> list[Counts]:
    """For each binary term the table of level by outcome, shape (levels, 2); the reference level is last."""
    n0, n1 = (int(n) for n in setup.counts["classes"][row])
    gram, events = setup.reals["gram"][row], setup.reals["events"][row]
    tables = []
    position = 1
    for term in model.terms:
        places = range(position, position + len(term.columns))
        position += len(term.columns)
        if not term.binary:
            continue
        cells = [(round(gram[0, i] - events[i]), round(events[i])) for i in places]
        reference = (n0 - sum(cell[0] for cell in cells), n1 - sum(cell[1] for cell in cells))
        tables.append(np.array([*cells, reference], dtype=np.int64))
    return tables


def has_zero_cell(setup: Summary, row: int, model: Model) -> bool:
    """Whether a cell of covariate by outcome is empty: then maximum likelihood would run to infinity."""
    return any((table == 0).any() for table in binary_tables(setup, row, model))


def moments(setup: Summary, row: int, model: Model) -> tuple[Reals, Reals]:
    """Mean and SD (ddof 0) of the model's columns, each of shape (columns,).

    An SD that rounding alone explains is 0.
    """
    d = len(model.columns) + 1
    gram = setup.reals["gram"][row, :d, :d]
    mean = gram[0, 1:] / gram[0, 0]
    square = np.diag(gram)[1:] / gram[0, 0]
    variance = square - mean**2
    return mean, np.sqrt(np.where(variance <= 2.0**-40 * square, 0.0, variance))


def correlation(setup: Summary, row: int, model: Model) -> Reals:
    """The correlation matrix of the model's columns, shape (columns, columns); none may be constant."""
    d = len(model.columns) + 1
    gram = setup.reals["gram"][row, :d, :d]
    mean, sd = moments(setup, row, model)
    covariance = gram[1:, 1:] / gram[0, 0] - np.outer(mean, mean)
    return np.asarray(covariance / np.outer(sd, sd))


def drop_empty_levels(setup: Summary, models: Sequence[Model]) -> tuple[Summary, tuple[Model, ...]]:
    """The setup and the models without those levels of a factor that no patient has.

    A factor of which all patients have the reference level stays: it is constant, and the fit reports that.
    """
    gram, events = np.zeros(setup.reals["gram"].shape), np.zeros(setup.reals["events"].shape)
    reduced = []
    for row, model in enumerate(models):
        used = setup.reals["gram"][row].diagonal() > 0
        kept, terms = [0], []
        position = 1
        for term in model.terms:
            places = range(position, position + len(term.columns))
            position += len(term.columns)
            present = [place for place in places if used[place]]
            kept_places = present if term.binary and present else list(places)
            kept += kept_places
            terms.append(
                replace(term, columns=tuple(term.columns[place - places[0]] for place in kept_places))
            )
        size = len(kept)
        gram[row, :size, :size] = setup.reals["gram"][row][np.ix_(kept, kept)]
        events[row, :size] = setup.reals["events"][row][kept]
        reduced.append(Model(tuple(terms)))
    return Summary(setup.counts, {"gram": gram, "events": events}), tuple(reduced)
