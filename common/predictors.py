"""Which covariates a model of the table really takes, once its arm's predictors are known."""

from __future__ import annotations

from dataclasses import dataclass

from common.study_models import INDEPENDENT, RADIOMICS, TableModel


@dataclass(frozen=True)
class Predictors:
    """What stands for the plan's placeholders in one arm.

    Attributes
    ----------
    independent : tuple of str
        Covariates with a p below the plan's in the multivariable model of the arm's training patients.
    radiomics : tuple of str
        Features that the LASSO selected in them.
    """

    independent: tuple[str, ...] = ()
    radiomics: tuple[str, ...] = ()

    def of(self, model: TableModel) -> tuple[str, ...]:
        """The model's covariates by their own names, each once."""
        stands_for = {INDEPENDENT: self.independent, RADIOMICS: self.radiomics}
        names = [name for given in model.covariates for name in stands_for.get(given, (given,))]
        return tuple(dict.fromkeys(names))
