"""Support vector machines in random Fourier features, as sites and coordinator must agree on them.

The exact machine is a sum of kernels over patients' rows and never leaves its site. What leaves is linear in
features whose map derives from the plan's seed: weights, an intercept, means and standard deviations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from common.errors import ProtocolError
from common.messages.headers import FittedSvm, Standardised
from common.messages.protocol import Parameters
from common.messages.questions import read_integer_array, read_real_array
from common.models.fourier import FourierMap, draw_map
from common.plan.design import Design
from common.plan.models import SvmModel
from common.plan.study import StudyPlan
from common.seeds import generator
from common.stats.contract import Summary
from common.stats.covariates import Model, binary_tables, drop_empty_levels, moments
from common.stats.estimate import OK, Status, suppressed, undefined
from common.stats.minima import Minima
from common.types import Counts, Reals

NOBODY = -1
"""Stands for the fold of a model that leaves out no fold."""
FEWEST_SVM_FOLDS = 2
"""Fewer folds than this are no cross-validation."""
NO_COVARIATE = undefined("no covariate was found independent or selected")
"""Status of a model whose placeholders stand for no covariate."""


@dataclass(frozen=True)
class Scales:
    """How columns of the plan's design become z-scores.

    Attributes
    ----------
    columns : int64 array, shape (columns,)
        Indices of the columns in the design.
    mean, sd : float64 arrays, shape (columns,)
        Mean and standard deviation of the training patients, in the column's unit; sd > 0.
    """

    columns: Counts
    mean: Reals
    sd: Reals

    def standardise(self, matrix: Reals) -> Reals:
        """The z-scores of a design matrix' rows, NaN where missing, shape (n, columns)."""
        return np.asarray((matrix[:, self.columns] - self.mean) / self.sd)


@dataclass(frozen=True)
class SvmQuery:
    """Several linear forms about which sites are asked.

    Attributes
    ----------
    scales : Scales
        Gives the z-scores from which features are computed.
    gammas : float64 array, shape (models,)
        Kernel width of each model.
    left_out : int64 array, shape (models,)
        Fold whose patients do not train each model; `NOBODY` for none.
    coefficients : float64 array, shape (models, 1 + features)
        The intercept comes first.
    folds : int
        How many folds there are; the fewest where no model leaves one out.
    """

    scales: Scales
    gammas: Reals
    left_out: Counts
    coefficients: Reals
    folds: int = FEWEST_SVM_FOLDS


def write_query(query: SvmQuery) -> Parameters:
    """The question as arrays of a message."""
    return {
        "columns": query.scales.columns,
        "mean": query.scales.mean,
        "sd": query.scales.sd,
        "gammas": query.gammas,
        "left_out": query.left_out,
        "coefficients": query.coefficients,
        "folds": np.array([query.folds]),
    }


def read_query(parameters: Parameters, model: SvmModel, columns: int) -> SvmQuery:
    """The question in a message, checked against the plan.

    Parameters
    ----------
    model : SvmModel
        The plan's model.
    columns : int
        Number of columns of the site's design matrix.

    Raises
    ------
    ProtocolError
        If an array is missing, has another shape, or does not fit the plan.
    """
    chosen = read_integer_array(parameters, "columns", 1)
    mean, sd = read_real_array(parameters, "mean", 1), read_real_array(parameters, "sd", 1)
    gammas, left_out = read_real_array(parameters, "gammas", 1), read_integer_array(parameters, "left_out", 1)
    coefficients = read_real_array(parameters, "coefficients", 2)
    folds = read_integer_array(parameters, "folds", 1)
    if not chosen.size or chosen.min() < 0 or chosen.max() >= columns:
        raise ProtocolError(f"{model.name}: {chosen.size} columns came, not some of {columns}")
    if mean.shape != chosen.shape or sd.shape != chosen.shape or not (sd > 0).all():
        raise ProtocolError(f"{model.name}: {mean.size} means and {sd.size} SDs of {chosen.size} columns")
    if gammas.shape != left_out.shape or len(coefficients) != gammas.size:
        raise ProtocolError(f"{model.name}: {gammas.size} models came with {len(coefficients)} coefficients")
    if folds.size != 1 or not FEWEST_SVM_FOLDS <= folds[0] <= model.folds:
        raise ProtocolError(f"{model.name}: {folds.tolist()} folds came, of the plan's {model.folds}")
    if (
        not np.isin(gammas, model.gamma_grid).all()
        or not np.isin(left_out, range(NOBODY, int(folds[0]))).all()
    ):
        raise ProtocolError(f"{model.name}: a gamma or fold came that the plan does not have")
    if not 1 <= coefficients.shape[1] - 1 <= model.fourier_features:
        raise ProtocolError(f"{model.name}: {coefficients.shape[1] - 1} features, not 1 to the plan's")
    return SvmQuery(Scales(chosen, mean, sd), gammas, left_out, coefficients, int(folds[0]))


def map_of(plan: StudyPlan, model: SvmModel, features: int, columns: int) -> FourierMap:
    """The model's random features, the same at every site and in every arm."""
    return draw_named_map(plan.seed, model.name, features, columns)


def draw_named_map(seed: int, model: str, features: int, columns: int) -> FourierMap:
    """The random features for a study's seed and a model's name, both of which the model's card holds."""
    return draw_map(generator(seed, "fourier-features", model), features, columns)


def scales_of(setup: Summary, model: Model, minima: Minima, centre: Reals) -> tuple[Scales | None, Status]:
    """Means and SDs of a model's columns without constant ones, from its setup round.

    Parameters
    ----------
    setup : Summary
        The sum of `common.stats.covariates.local_setup` of this one model.
    centre : float array, shape (columns of the design,)
        What was subtracted from each column before.

    Returns
    -------
    scales : Scales or None
        None where the status is not ok.
    status : Status
    """
    setup, (reduced,) = drop_empty_levels(setup, [model])
    if any(not minima.may_release(table).all() for table in binary_tables(setup, 0, reduced)):
        return None, suppressed("a cell of a covariate's table below the minimum")
    mean, sd = moments(setup, 0, reduced)
    varies = sd > 0
    if not varies.any():
        return None, undefined("every covariate is constant")
    columns = np.array(reduced.columns, dtype=np.int64)
    return Scales(columns[varies], (mean + centre[columns])[varies], sd[varies]), OK


def standardised_of(scales: Scales, design: Design) -> tuple[Standardised, ...]:
    """Means and SDs with the columns named as in the design."""
    rows = zip(scales.columns.tolist(), scales.mean.tolist(), scales.sd.tolist(), strict=True)
    return tuple(
        Standardised(
            variable=design.columns[column].variable, level=design.columns[column].level, mean=mean, sd=sd
        )
        for column, mean, sd in rows
    )


def form_of(fitted: FittedSvm, design: Design) -> SvmQuery:
    """The fitted machine as one linear form; its risk is expit of the form.

    Raises
    ------
    ValueError
        If there is no machine, or the design lacks one of its columns.
    """
    if fitted.gamma is None:
        raise ValueError(f"no machine: {fitted.reason}")
    places = {(column.variable, column.level): place for place, column in enumerate(design.columns)}
    unknown = [column.variable for column in fitted.columns if (column.variable, column.level) not in places]
    if unknown:
        raise ValueError(f"the plan's models have no covariate {unknown[0]!r}")
    scales = Scales(
        np.array([places[column.variable, column.level] for column in fitted.columns], dtype=np.int64),
        np.array([column.mean for column in fitted.columns]),
        np.array([column.sd for column in fitted.columns]),
    )
    intercept = fitted.slope * fitted.intercept + fitted.offset
    coefficients = np.array([[intercept, *(fitted.slope * weight for weight in fitted.weights)]])
    return SvmQuery(scales, np.array([fitted.gamma]), np.array([NOBODY]), coefficients)


def risks_of(form: SvmQuery, z: Reals, fourier: FourierMap) -> Reals:
    """Risks by a single linear form, shape (n,); NaN for a patient without a value of one of its columns.

    Parameters
    ----------
    z : float array, shape (n, columns)
        Standardised by the form's scales.
    """
    return np.asarray(expit(predict_form(form, z, fourier)))


def predict_form(form: SvmQuery, z: Reals, fourier: FourierMap) -> Reals:
    """Values of a single linear form, shape (n,), the log odds of `risks_of`; parameters as there."""
    features = fourier.features(z, float(form.gammas[0]))
    return np.asarray(form.coefficients[0, 0] + features @ form.coefficients[0, 1:])


def explain_no_machine(status: Status) -> FittedSvm:
    """The record of a machine that could not be fitted, with the reason."""
    return FittedSvm(method="not fitted", status=status.kind, reason=status.reason)
