"""The covariates that a table model uses once its arm's predictors are known."""

from __future__ import annotations

from dataclasses import dataclass

from common.plan.models import INDEPENDENT, RADIOMICS, TableModel
from common.stats.estimate import OK, Status

WITHOUT_RADIOMICS = "without radiomics: withheld because"
"""How the reason begins why a model that takes radiomics was not fitted."""


@dataclass(frozen=True)
class Predictors:
    """The covariates that replace the plan's placeholders in one arm.

    Attributes
    ----------
    independent : tuple of str
        Covariates with a p below the plan's in the multivariable model of the arm's training patients.
    radiomics : tuple of str
        Radiomics features that the LASSO selected in the same patients.
    selection : Status
        Whether the LASSO could select, and if not, why.
    """

    independent: tuple[str, ...] = ()
    radiomics: tuple[str, ...] = ()
    selection: Status = OK

    def of(self, model: TableModel) -> tuple[str, ...]:
        """The model's covariates with its placeholders replaced, each once."""
        stands_for = {INDEPENDENT: self.independent, RADIOMICS: self.radiomics}
        names = [name for given in model.covariates for name in stands_for.get(given, (given,))]
        return tuple(dict.fromkeys(names))

    def judge(self, model: TableModel) -> Status:
        """Whether the model can be the plan's; not if it takes radiomics and no LASSO could select any.

        What could be fitted to its other covariates would be another model under the same name. Where the
        LASSO ran and kept no feature, the model is the plan's, without one.
        """
        if RADIOMICS not in model.covariates or self.selection.ok:
            return OK
        return Status(self.selection.kind, f"{WITHOUT_RADIOMICS} {self.selection.reason}")
