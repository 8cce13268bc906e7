"""The covariates that a table model uses once its arm's predictors are known."""

from __future__ import annotations

from dataclasses import dataclass

from common.plan.models import INDEPENDENT, RADIOMICS, TableModel


@dataclass(frozen=True)
class Predictors:
    """The covariates that replace the plan's placeholders in one arm.

    Attributes
    ----------
    independent : tuple of str
        Covariates with a p below the plan's in the multivariable model of the arm's training patients.
    radiomics : tuple of str
        Radiomics features that the LASSO selected in the same patients.
    """

    independent: tuple[str, ...] = ()
    radiomics: tuple[str, ...] = ()

    def of(self, model: TableModel) -> tuple[str, ...]:
        """The model's covariates with its placeholders replaced, each once."""
        stands_for = {INDEPENDENT: self.independent, RADIOMICS: self.radiomics}
        names = [name for given in model.covariates for name in stands_for.get(given, (given,))]
        return tuple(dict.fromkeys(names))
