"""Which models are baselines: those that any hospital could use without a network."""

from __future__ import annotations

from server.report.subject import Subject

_SCORE = "score:"
"""How a plan names another model's score among a model's covariates."""


def list_baselines(subject: Subject) -> frozenset[str]:
    """Names of the models that are no network, take no network's score, and are not the reference."""
    results = subject.results
    networks = {curve.model for curve in results.training}
    inputs: dict[str, list[str]] = {
        str(model.get("name")): [str(name) for name in model.get("covariates") or ()]
        for model in results.study.plan.get("models") or ()
    }
    fed = {
        name
        for name, covariates in inputs.items()
        if any(covariate.removeprefix(_SCORE) in networks for covariate in covariates if _SCORE in covariate)
    }
    return frozenset(
        model.name
        for model in subject.models
        if model.name not in networks | fed and not subject.is_reference(model.name)
    )
