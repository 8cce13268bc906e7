"""Support vector machines on rows that are all in one place, by scikit-learn.

References
----------
Cortes C, Vapnik V. Mach Learn 1995;20:273-297. Platt J. Advances in Large Margin Classifiers 1999:61-74.
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.errors import ModelError
from common.plan.models import SvmModel
from common.types import Flags, Reals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import Pipeline

_MOST_STEPS = 10_000_000
"""libsvm's own limit of its steps, which scikit-learn lifts: a machine on bad data would go on for days."""
_NO_CONVERGENCE = "the support vector machine does not converge -> smaller values in c_grid"
_ALL_FAILED = re.compile(r"All the \d+ fits failed")
"""What scikit-learn's search says if no machine converges."""
_SEEDS = 2**32
"""scikit-learn's seeds lie below."""


@dataclass(frozen=True)
class Choice:
    """What cross-validation chose.

    Attributes
    ----------
    c, gamma : float
        Penalty of the machine and width of its kernel.
    auc : float
        Mean over the folds.
    """

    c: float
    gamma: float
    auc: float


@dataclass(frozen=True)
class LinearForm:
    """A linear machine with Platt's scaling: risk = expit(slope (intercept + weights . x) + offset).

    Attributes
    ----------
    weights : float array, shape (features,)
        Of the random features.
    intercept, slope, offset : float
        Of the decision value and of Platt's scaling, as above.
    """

    weights: Reals
    intercept: float
    slope: float
    offset: float


def choose_kernel(rows: Reals, labels: Flags, model: SvmModel, seed: int) -> Choice:
    """The C and gamma with the best cross-validated AUC; of equals the smaller C, then the smaller gamma.

    Parameters
    ----------
    rows : float array, shape (n, columns)
        Not standardised: each training fold is, by its own moments.
    labels : bool array, shape (n,)
        At least two of each class.
    model : SvmModel
        The plan's, with the grids of C and gamma; a point at which a machine does not converge is no choice.
    seed : int
        Of the folds.

    Raises
    ------
    ModelError
        If no machine converges.
    """
    from sklearn.model_selection import GridSearchCV

    grid = {"svc__C": model.c_grid, "svc__gamma": model.gamma_grid}
    search = GridSearchCV(
        _make_pipeline(), grid, scoring="roc_auc", cv=_make_folds(model, labels, seed), refit=False
    )
    with _insist_on_convergence():
        search.fit(rows, labels)
    if not np.isfinite(search.best_score_):
        raise ModelError(_NO_CONVERGENCE)
    best = search.best_params_
    return Choice(float(best["svc__C"]), float(best["svc__gamma"]), float(search.best_score_))


def fit_exact_machine(
    rows: Reals, labels: Flags, model: SvmModel, choice: Choice, seed: int
) -> CalibratedClassifierCV:
    """The machine on all rows, scaled by Platt on cross-validated decision values.

    It holds support vectors, which are patients' rows: it is never stored and never sent. The same arguments
    give the same machine.

    Raises
    ------
    ModelError
        If it does not converge.
    """
    from sklearn.calibration import CalibratedClassifierCV

    machine = _make_pipeline().set_params(svc__C=choice.c, svc__gamma=choice.gamma)
    calibrated = CalibratedClassifierCV(
        machine, method="sigmoid", cv=_make_folds(model, labels, seed), ensemble=False
    )
    with _insist_on_convergence():
        return calibrated.fit(rows, labels)


def fit_linear_machine(features: Reals, labels: Flags, model: SvmModel, c: float, seed: int) -> LinearForm:
    """The linear machine on random Fourier features, with Platt's scaling as for the exact one.

    Raises
    ------
    ModelError
        If it does not converge.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    machine = SVC(kernel="linear", C=c, max_iter=_MOST_STEPS)
    with _insist_on_convergence():
        calibrated = CalibratedClassifierCV(
            machine, method="sigmoid", cv=_make_folds(model, labels, seed), ensemble=False
        ).fit(features, labels)
    (fitted,) = calibrated.calibrated_classifiers_
    (platt,) = fitted.calibrators
    return LinearForm(
        weights=np.array(fitted.estimator.coef_[0], dtype=np.float64),
        intercept=float(fitted.estimator.intercept_[0]),
        slope=-float(platt.a_),
        offset=-float(platt.b_),
    )


def predict_exact_risks(machine: CalibratedClassifierCV, rows: Reals) -> Reals:
    """Predicted risks of the exact machine, NaN for a row with a missing value, shape (n,)."""
    risks = np.full(len(rows), np.nan)
    complete = ~np.isnan(rows).any(axis=1)
    if complete.any():
        risks[complete] = machine.predict_proba(rows[complete])[:, 1]
    return risks


def _make_pipeline() -> Pipeline:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), SVC(kernel="rbf", max_iter=_MOST_STEPS))


@contextmanager
def _insist_on_convergence() -> Iterator[None]:
    """A context in which a machine that does not converge is an error; in a search, its point is left out.

    Raises
    ------
    ModelError
        If it does not, or at no point of a search.
    ValueError
        Any other of scikit-learn's, as it came.
    """
    from sklearn.exceptions import ConvergenceWarning, FitFailedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        warnings.simplefilter("ignore", FitFailedWarning)
        warnings.filterwarnings("ignore", "One or more of the test scores are non-finite", UserWarning)
        try:
            yield
        except ConvergenceWarning:
            raise ModelError(_NO_CONVERGENCE) from None
        except ValueError as failure:
            if _ALL_FAILED.search(str(failure)) is None:
                raise
            raise ModelError(_NO_CONVERGENCE) from None


def count_folds(model: SvmModel, labels: Flags) -> int:
    """The number of folds: the plan's, or as many as the smaller class has patients where these are fewer."""
    positives = int(labels.sum())
    return min(model.folds, positives, labels.size - positives)


def _make_folds(model: SvmModel, labels: Flags, seed: int) -> StratifiedKFold:
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(count_folds(model, labels), shuffle=True, random_state=seed % _SEEDS)
