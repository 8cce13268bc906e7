"""Small study plans made by hand: sites by their roles, and one model of each kind."""

from __future__ import annotations

from common.plan.study import StudyPlan

NETWORK = {"name": "Net", "family": "resnet10-narrow", "input_size": 16}
LOGISTIC = {"kind": "logistic", "name": "Clinical", "covariates": ["age"]}
SCALE = {"kind": "scores", "name": "Scale", "column": "vendor"}


def plan_of(sites: dict[str, str], *models: dict[str, object], **changes: object) -> StudyPlan:
    """A plan of these sites.

    Parameters
    ----------
    sites : dict
        Role by name; "train+" releases its local models.
    models : dict
        As in a plan's [[models]]; without any, a score.
    changes
        Further keys of the plan.
    """
    return StudyPlan.model_validate(
        {
            "name": "A study",
            "seed": 7,
            "profile": "simulation",
            "two_site_ack": True,
            "sites": [
                {"name": name, "role": role.rstrip("+"), "model_release": role.endswith("+")}
                for name, role in sites.items()
            ],
            "models": list(models) or [SCALE],
            **({} if "train" in "".join(sites.values()) else {"phases": ["cohort", "evaluation"]}),
            **changes,
        }
    )
