"""What a plan will do, in plain words, before anybody is asked to approve it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from common.cohort.schema import BY_NAME, VARIABLES
from common.plain_text import find_similar
from common.plan.leaving import STAYING, describe_card, describe_hiding, list_leaving
from common.plan.mapped_cohorts import averages_maps
from common.plan.models import INDEPENDENT, RADIOMICS, CardModel, CnnModel, ScoresModel
from common.plan.named_section import NamedSection
from common.plan.needed_columns import choose_columns
from common.plan.sections import Phase
from common.plan.study import AnyModel, StudyPlan
from common.runtime.setting_keys import describe_table
from common.stats.minima import Minima, minima_of

PHASES: dict[Phase, str] = {
    "agreement": "how far readers agree with themselves, with each other and with computed suggestions",
    "cohort": "the patients' features by outcome (Table 1)",
    "regression": "predictors of the outcome, one by one and together (Table 2)",
    "training": "the models are trained",
    "evaluation": "every model on every group of patients, and comparisons of models (Table 3)",
    "explanation": "attention maps (synthetic sites only)",
}
"""What each phase gives; preparation with its flow chart comes before all of them."""

REMEDIES = (
    "every key, with default, meaning and source: docs/plan-reference.md, or rhe-server plan reference; "
    "whether settings contradict each other is checked once each is valid by itself"
)
"""What somebody is told below the faults of a plan."""

_ROLES = {"train": "its patients train and test models", "external": "its patients only test models"}
_DESIGNS = {
    "federated": "trained over the sites, which exchange sums and weights",
    "local": "trained at one site alone",
    "pooled": "trained in one place, on patients who moved there",
}


def explain_plan(plan: StudyPlan) -> Iterator[str]:
    """The lines of the explanation: sites, outcome, phases, models, arms, minima, what leaves, what to do."""
    yield f"{plan.name}\nplan {plan.digest()}"
    yield from _list_items("Sites", _describe_sites(plan))
    yield from _list_items("Outcome", _describe_outcome(plan))
    yield from _list_items("Phases, in this order", _describe_phases(plan))
    yield from _list_items("Models", (_describe_model(plan, model) for model in plan.models))
    yield from _list_items("Arms: on whose patients each model is trained", _describe_arms(plan))
    yield from _list_items(
        "A hospital's table holds these columns, under its own headings or these", _describe_table(plan)
    )
    yield from _list_items(f'Minima (profile "{plan.profile}")', _describe_minima(minima_of(plan.profile)))
    yield from _describe_leaving(plan)
    yield f"\n{describe_hiding(plan)}"


def _list_items(heading: str, items: Iterator[str]) -> Iterator[str]:
    lines = [f"  - {item}" for item in items]
    if lines:
        yield "\n".join((f"\n{heading}:", *lines))


def _describe_sites(plan: StudyPlan) -> Iterator[str]:
    for site in sorted(plan.sites, key=lambda planned: planned.name):
        release = "; the model of its patients alone may leave it" if site.model_release else ""
        yield f"{_name_both(site)}: {_ROLES[site.role]}{release}"


def _name_both(named: NamedSection) -> str:
    """A site or a model as people write it, with the name that files carry where it is another one."""
    return named.name if named.title == named.name else f"{named.title} (in files: {named.name})"


def _describe_outcome(plan: StudyPlan) -> Iterator[str]:
    outcome = plan.cohort.outcome
    if not outcome.by_volumes:
        yield f"{outcome.event}: the table's column {outcome.column}, where 1 means {outcome.meaning}"
        return
    growth = f"ICH grows by {outcome.ich_absolute_ml:g} mL or by {100 * outcome.ich_relative:g} %"
    if outcome.endpoint == "rHE":
        growth += f", IVH grows by {outcome.ivh_absolute_ml:g} mL, or IVH appears"
    yield f"{outcome.event}: {growth}"


def _describe_phases(plan: StudyPlan) -> Iterator[str]:
    yield "preparation: who is included, and why others are not"
    for phase, what in PHASES.items():
        if phase in plan.phases:
            means = ", and their means over tested patients" if phase == "explanation" else ""
            yield f"{phase}: {what}{means if averages_maps(plan) else ''}"
    yield from (f"{phase}" for phase in plan.phases if phase not in PHASES)
    if absent := [phase for phase in PHASES if phase not in plan.phases]:
        yield f"NOT: {', '.join(absent)}"


def _describe_model(plan: StudyPlan, model: AnyModel) -> str:
    if isinstance(model, CnnModel) and model.repeat_of is not None:
        return (
            f"{_name_both(model)}: {model.repeat_of} trained once more, from a seed of its own; its AUC "
            "tells how far chance moves that of the first, and it stands in no other result"
        )
    what = re.split("[:,.] |[.]$", describe_table(type(model)))[0]
    kind = re.sub("^(One|A) | of the study$", "", what)
    return f"{_name_both(model)}: {kind}, {_describe_settings(plan, model)}"


def _describe_settings(plan: StudyPlan, model: AnyModel) -> str:
    if isinstance(model, CnnModel):
        size = " x ".join([str(model.shape.size)] * model.dimensions)
        start = "ImageNet" if model.initialisation == "imagenet" else "random"
        federation = plan.federation
        return (
            f"{model.family} on {size} inputs, from {start} weights, rounds: {federation.rounds}, epochs in "
            f"each: {federation.local_epochs}, batches of {model.settings.batch_size}"
            f"{_tell_options(plan, model)}"
        )
    if isinstance(model, ScoresModel):
        certainty = "a probability" if model.probability else f"the risk {model.risk} with it"
        return f"{model.column}, from {model.low:g} to {model.high:g}, {certainty}{_tell_new(plan, model)}"
    if isinstance(model, CardModel):
        return describe_card(plan, model)
    said = {INDEPENDENT: "the variables that the regression finds independent", RADIOMICS: _tell_pool(plan)}
    return f"of {', '.join(said.get(name, name) for name in model.covariates)}"


def _tell_options(plan: StudyPlan, model: CnnModel) -> str:
    """What a training has beyond the paper's: steps of another kind or number, their rate, an early end."""
    schedule, stopping = model.settings.schedule, plan.federation.early_stopping
    steps = plan.federation.local_steps
    said = "" if steps is None else f", steps in each epoch: {steps}"
    said += ", SGD" if model.settings.optimiser == "sgd" else ""
    said += ", SCAFFOLD" if plan.federation.control_variates else ""
    if schedule is not None:
        warm_up = f" after {schedule.warm_up_epochs} epochs of warm-up" if schedule.warm_up_epochs else ""
        said += f", learning rate {schedule.shape}{warm_up}"
    if stopping is not None:
        said += f", ends early after {stopping.patience} rounds without gain"
    return said


def _tell_pool(plan: StudyPlan) -> str:
    """Among what the LASSO selects; whether images are read for it."""
    columns = plan.selectable_columns
    pool = ", ".join(columns) if columns else "851 features that rhe computes of every lesion's CT and mask"
    return f"what the LASSO selects among {pool}"


def _tell_new(plan: StudyPlan, model: ScoresModel) -> str:
    """That hospitals have to add a score's column, and which known one may be meant by it."""
    known = [*BY_NAME, *(planned.name for planned in plan.variables)]
    if model.column in known:
        return ""
    similar = find_similar(model.column, known)
    meant = f' (or is "{similar}" meant?)' if similar else ""
    return f"; hospitals add this column for it alone{meant}"


def _describe_arms(plan: StudyPlan) -> Iterator[str]:
    if not plan.trained_models or "training" not in plan.phases:
        return
    for arm in plan.all_arms():
        trained = [model.name for model in plan.trained_models if arm in plan.arms_of(model)]
        others = [name for name in plan.site_names if name not in arm.sites]
        tested = f"; tested beyond them at {', '.join(others)}" if others else ""
        yield (
            f"{arm.name} ({_DESIGNS[arm.kind]}): patients of {', '.join(arm.sites)} train "
            f"{', '.join(trained)}{tested}"
        )


def _describe_table(plan: StudyPlan) -> Iterator[str]:
    wanted = choose_columns(plan)
    groups: dict[str, list[str]] = {}
    for variable in VARIABLES:
        if wanted.needs(variable) and (wanted.images or variable.group != "files"):
            groups.setdefault(variable.group, []).append(variable.name)
    for variable in wanted.declared:
        groups.setdefault("declared by the plan", []).append(variable.name)
    yield from (f"{group}: {', '.join(columns)}" for group, columns in groups.items())
    if plan.cohort.outcome.by_volumes:
        yield (
            "follow-up: followup_mask with followup_ct, or followup_ich_volume_ml and followup_ivh_volume_ml "
            "(the baseline's, where they are blank, are measured on its mask)"
        )
    yield "an empty table with them, and their meaning: rhe-client new FOLDER --plan FILE"


def _describe_minima(minima: Minima) -> Iterator[str]:
    if minima.cell == minima.group == minima.per_class == minima.model_rows == minima.site_patients == 1:
        yield "none: numbers of single patients are shown"
    else:
        yield f"a number of patients is shown if it is 0 or at least {minima.cell}"
        yield f"a mean, SD or quartile is of at least {minima.group} patients"
        yield f"an AUC or a calibration is of at least {minima.per_class} patients of each outcome"
        yield (
            f"a regression is of at least {minima.model_class} patients of the rarer outcome, and "
            f"{minima.model_rows} patients per coefficient"
        )
        yield (
            f"a result of one site alone is of at least {minima.site_patients} patients, and of "
            f"{minima.site_per_class} of each outcome"
        )
    yield "each site's own site.toml may demand more"


def _describe_leaving(plan: StudyPlan) -> Iterator[str]:
    for role, who in (("train", "a site whose patients train"), ("external", "a site that only tests")):
        for site in plan.sites:
            if site.role == role:
                yield from _list_items(
                    f"What leaves {who}, as {site.name}", iter(list_leaving(plan, site.name))
                )
                break
    yield from _list_items("What never leaves a site", iter(STAYING))


def list_next_steps(path: str) -> tuple[str, ...]:
    """What somebody does who has a valid plan.

    Parameters
    ----------
    path : str
        The plan's file, as the user named it.
    """
    quoted = shlex.quote(path)
    return (
        f"try it on simulated patients: rhe-simulate centres --plan {quoted} --out FOLDER",
        f"then: rhe-server init FOLDER --plan {quoted} --host NAME",
        "every key, with default, meaning and source: docs/plan-reference.md, or rhe-server plan reference",
    )


def report_check(path: str, plan: StudyPlan | None, faults: tuple[str, ...]) -> dict[str, Any]:
    """The answer of `plan check --json`.

    Parameters
    ----------
    path : str
        The plan's file, as the user named it.
    plan : StudyPlan or None
        The plan, where it is valid.
    faults : tuple of str
        What is wrong with it, else.
    """
    told: dict[str, Any] = {"file": path, "valid": plan is not None, "faults": list(faults)}
    if plan is not None:
        told |= {
            "name": plan.name,
            "sha256": plan.digest(),
            "sites": {site.name: site.role for site in plan.sites},
            "phases": list(plan.phases),
            "models": [model.name for model in plan.models],
            "arms": {arm.name: list(arm.sites) for arm in plan.all_arms()},
            "explanation": "\n".join(explain_plan(plan)),
        }
    return told
