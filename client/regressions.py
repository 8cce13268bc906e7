"""Logistic models at a site: fitted on its patients alone, and the risks that any of them predicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from client.covariates import design_matrix, labels_of
from client.prepare import PreparedCase
from client.scoreboard import cases_of
from common.design import design_of
from common.errors import ModelError, ProtocolError
from common.fitted import fitted_of, predict
from common.headers import Fitted
from common.stats.covariates import local_setup
from common.stats.glm import fit
from common.stats.minima import minima_of
from common.stats.newton import local_newton
from common.storage import write_atomically
from common.study import LogisticModel, StudyPlan
from common.types import Reals


@dataclass(frozen=True)
class SiteRegressions:
    """The plan's logistic models at one site.

    Attributes
    ----------
    plan : StudyPlan
    cases : tuple of PreparedCase
    folder : Path
        Where models of these patients alone are kept.
    """

    plan: StudyPlan
    cases: tuple[PreparedCase, ...]
    folder: Path

    def fit_alone(self, model: LogisticModel) -> Fitted:
        """The model on this site's training patients alone, kept here."""
        design = design_of(self.plan)
        training = cases_of(self.cases, "training")
        matrix, labels = design_matrix(training, design), labels_of(training)
        models = (design.model(model.covariates),)
        (result,) = fit(
            lambda problem, query: local_newton(matrix, labels, problem, query),
            local_setup(matrix, labels, models),
            models,
            minima_of(self.plan.profile),
        )
        fitted = fitted_of(result, design)
        write_atomically(self._path(model), fitted.model_dump_json(indent=1).encode(), private=True)
        return fitted

    def alone(self, model: LogisticModel) -> Fitted:
        """The model that was fitted here.

        Raises
        ------
        ProtocolError
            If none was.
        ModelError
            If its file is damaged.
        """
        try:
            return Fitted.model_validate_json(self._path(model).read_bytes())
        except FileNotFoundError:
            raise ProtocolError(f"no local model {model.name!r} was fitted here under this plan") from None
        except (OSError, ValidationError) as failure:
            raise ModelError(f"{self._path(model)}: damaged ({failure}) -> delete it, run again") from None

    def score(self, model: LogisticModel, coefficients: Reals) -> Reals:
        """Every patient's predicted risk, shape (n,).

        Raises
        ------
        ProtocolError
            If there is not one coefficient a column, and an intercept.
        """
        design = design_of(self.plan)
        if coefficients.shape != (1 + len(design.columns),):
            raise ProtocolError(f"{coefficients.size} coefficients came for {len(design.columns)} columns")
        return predict(
            coefficients, design_matrix(self.cases, design), design.model(model.covariates).columns
        )

    def _path(self, model: LogisticModel) -> Path:
        return self.folder / self.plan.digest()[:16] / model.name / "local.json"
