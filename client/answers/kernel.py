"""Support vector machines on rows that are all in one place, by scikit-learn.

References
----------
Cortes C, Vapnik V. Mach Learn 1995;20:273-297. Platt J. Advances in Large Margin Classifiers 1999:61-74.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.plan.models import SvmModel
from common.types import Flags, Reals

if TYPE_CHECKING:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import Pipeline

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
        At least as many of each class as there are folds.
    model : SvmModel
        The plan's, with the grids of C and gamma.
    seed : int
        Of the folds.
    """
    from sklearn.model_selection import GridSearchCV

    grid = {"svc__C": model.c_grid, "svc__gamma": model.gamma_grid}
    search = GridSearchCV(_make_pipeline(), grid, scoring="roc_auc", cv=_make_folds(model, seed), refit=False)
    search.fit(rows, labels)
    best = search.best_params_
    return Choice(float(best["svc__C"]), float(best["svc__gamma"]), float(search.best_score_))


def fit_exact_machine(
    rows: Reals, labels: Flags, model: SvmModel, choice: Choice, seed: int
) -> CalibratedClassifierCV:
    """The machine on all rows, scaled by Platt on cross-validated decision values.

    It holds support vectors, which are patients' rows: it is never stored and never sent. The same arguments
    give the same machine.
    """
    from sklearn.calibration import CalibratedClassifierCV

    machine = _make_pipeline().set_params(svc__C=choice.c, svc__gamma=choice.gamma)
    calibrated = CalibratedClassifierCV(
        machine, method="sigmoid", cv=_make_folds(model, seed), ensemble=False
    )
    return calibrated.fit(rows, labels)


def fit_linear_machine(features: Reals, labels: Flags, model: SvmModel, c: float, seed: int) -> LinearForm:
    """The linear machine on random Fourier features, with Platt's scaling as for the exact one."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    calibrated = CalibratedClassifierCV(
        SVC(kernel="linear", C=c), method="sigmoid", cv=_make_folds(model, seed), ensemble=False
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

    return make_pipeline(StandardScaler(), SVC(kernel="rbf"))


def _make_folds(model: SvmModel, seed: int) -> StratifiedKFold:
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(model.folds, shuffle=True, random_state=seed % _SEEDS)
