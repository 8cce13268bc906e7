"""The section of a plan that names a model of an earlier study, and whether the plan fits that model."""

from __future__ import annotations

import json
from pathlib import Path

from common.cards.card_in_plan import load_planned_card
from common.errors import PlanError
from common.plan.models import CardModel
from common.plan.study import StudyPlan

_OPTIONAL = ("covariates", "dimensions", "input_size")


def write_section(section: CardModel) -> str:
    """The section as TOML, to be pasted into a plan."""
    fields = section.model_dump(mode="json")
    lines = ["[[models]]"]
    lines += [
        f"{name} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in fields.items()
        if value or name not in _OPTIONAL
    ]
    return "\n".join(lines)


def check_cards_of(plan: StudyPlan, section: CardModel, path: Path) -> str:
    """What to say of a plan that names the model in a file, and prepares what it takes.

    Raises
    ------
    PlanError
        If the plan does not name the file.
    ModelError
        If it does not fit the model; with everything that is wrong.
    """
    named = [model for model in plan.cards if model.sha256 == section.sha256]
    if not named:
        raise PlanError(
            f"the plan names no model of SHA-256 {section.sha256[:12]}... -> paste the section above"
        )
    for model in named:
        load_planned_card(path, model, plan)
    return f"# the plan {plan.name!r} names it as {', '.join(model.name for model in named)}, and fits it"
