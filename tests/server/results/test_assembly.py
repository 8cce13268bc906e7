"""What the results make of the phases."""

from sites.plans import plan_of

from common.messages.headers import LassoSelection
from server.phases.fitting import FittedRegression
from server.phases.svm import TrainedSvm
from server.results.assembly import StudyOutcome, _list_selections

MACHINE = {"kind": "svm", "name": "Machine", "covariates": ["radiomics"]}
COMBINED = {"kind": "logistic", "name": "Combined", "covariates": ["radiomics"]}
CLINICAL = {"kind": "logistic", "name": "Clinical", "covariates": ["age"]}
SELECTION = LassoSelection(candidates=851, prescreened=0, status="suppressed", reason="too few")


def test_a_local_selection_is_told_once_by_whichever_released_model_has_it():
    """The paper's design has no federated arm; a machine alone may take radiomics there."""
    plan = plan_of({"a": "train+", "b": "external"}, MACHINE, COMBINED, CLINICAL)
    combined, clinical = plan.regressions
    (machine,) = (model for model in plan.table_models if model.name == "Machine")
    (arm,) = plan.all_arms()
    fitted = (FittedRegression(clinical, arm, None), FittedRegression(combined, arm, None, SELECTION))
    by_machine = (TrainedSvm(machine, arm, None, SELECTION),)

    for told in ({"machines": by_machine}, {"fitted": fitted}, {"fitted": fitted, "machines": by_machine}):
        (found,) = _list_selections(StudyOutcome({}, None, **told))
        assert (found.arm, found.kind, found.standing.reason) == ("local-a", "local", "too few")
    assert not list(_list_selections(StudyOutcome({}, None, fitted=fitted[:1])))
