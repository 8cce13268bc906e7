"""What a plan will make leave the hospital, in plain words, for whoever has to approve it."""

from __future__ import annotations

from client.site import SiteSettings
from common.study import StudyPlan


def describe_plan(plan: StudyPlan, settings: SiteSettings) -> str:
    """The text that is shown before approval.

    Parameters
    ----------
    plan : StudyPlan
    settings : SiteSettings
        The site that is asked.
    """
    site = plan.site(settings.name)
    partners = ", ".join(name for name in plan.site_names if name != site.name) or "nobody else"
    paragraphs = [
        f"Study: {plan.name}\nPlan: {plan.digest()}",
        f"You are: {site.name} ({_ROLES[site.role]})\nWith: {partners}",
        "\n".join(["What leaves this hospital:", *(f"  - {item}" for item in _leaving(plan, settings))]),
        "\n".join(["What never leaves it:", *(f"  - {item}" for item in _STAYING)]),
    ]
    if len(plan.sites) == 2:
        paragraphs.append(
            "With two sites each can compute the other's sums by subtracting its own from the total. "
            "The plan says that all know this."
        )
    return "\n\n".join(paragraphs)


_ROLES = {"train": "its patients train and test models", "external": "its patients only test models"}

_STAYING = (
    "CT images, masks, the cohort table, and any single patient's values or scores",
    "file names, patients' identifiers, and the texts of error messages",
)


def _leaving(plan: StudyPlan, settings: SiteSettings) -> list[str]:
    site = plan.site(settings.name)
    models = ", ".join(model.name for model in plan.models)
    evaluation = plan.evaluation
    items = [
        "counts: patients screened, excluded per reason, included, with and without expansion",
        f"counts per model: scores in {evaluation.bins} bins, and who is above {evaluation.threshold:g}",
        "software versions and the name of the processor that computes",
    ]
    if site.role == "train":
        items.insert(
            0,
            f"model updates: the weights of {models} after training on this site's patients, once in each of "
            f"{plan.federation.rounds} rounds. Weights can hold traces of the patients they were trained on",
        )
    if site.model_release:
        items.append(
            f"RELEASE: the models trained on this hospital's patients alone ({models}), tested elsewhere"
        )
    if settings.synthetic:
        items.append("attention maps over CT slices (this folder declares its patients synthetic)")
    return items
