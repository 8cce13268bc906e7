"""A model of an earlier study in a plan: its section, the file that the section names, and whether both fit.

Coordinator and sites ask the same of the file: that it is the one of the plan's digest, that its card says
what the plan says of it, and that the plan prepares what it takes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from common.cards.card import (
    Content,
    ModelCard,
    NetworkContent,
    TableContent,
    design_of_card,
    own_variables_of,
)
from common.cards.card_file import CardedModel, load_card
from common.errors import ModelError, NotThePlanError, StorageError
from common.imaging.preprocess import PREPROCESSING_ALGORITHM
from common.plan.extraction import extraction_of, feature_version
from common.plan.models import BRAIN, SCORE_OF, CardModel
from common.plan.own_variables import declare_while_reading
from common.plan.study import StudyPlan


def name_trainers(card: ModelCard) -> tuple[str, ...]:
    """Sites whose patients trained the model, or chose its round; also one that missed all rounds."""
    return tuple(centre.site for centre in card.training)


def list_inputs(content: TableContent) -> tuple[str, ...]:
    """The covariates that a model of the table takes, each once."""
    return tuple(dict.fromkeys(column.variable for column in design_of_card(content).columns))


def describe_in_plan(path: Path) -> CardModel:
    """The section with which a plan names the model in a file.

    Raises
    ------
    ModelError
        If the file holds no model of a study, or one that can be no part of another.
    StorageError
        If it cannot be read.
    """
    card, content = load_card(path).card, read_card_file(path)
    fields: dict[str, object] = {
        "kind": "card",
        "name": card.model,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "computes": card.content.kind,
        "trained_by": name_trainers(card),
        "threshold": card.operating_point,
    }
    if isinstance(card.content, NetworkContent):
        shape = card.content.shape
        fields |= {"dimensions": shape.dimensions, "input_size": shape.size}
    else:
        _refuse_unusable(str(path), card.content)
        fields["covariates"] = list_inputs(card.content)
    with declare_while_reading(_list_declared(card.content)):
        return CardModel.model_validate(fields)


def _list_declared(content: Content) -> list[dict[str, object]]:
    """What the model's own plan declared of the variables that it takes."""
    covariates = () if isinstance(content, NetworkContent) else content.covariates
    return [one.declared.model_dump() for one in covariates if one.declared is not None]


def read_card_file(path: Path) -> bytes:
    """The bytes of a model's file.

    Raises
    ------
    ModelError
        If there is none.
    StorageError
        If it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(
            f"{path}: no such file -> put the model's file there, or name its folder with --cards"
        ) from None
    except OSError as failure:
        raise StorageError(f"{path}: cannot be read ({failure.strerror})") from None


def insist_planned(content: bytes, model: CardModel) -> None:
    """Refuse a file that is not the one of the plan.

    Raises
    ------
    NotThePlanError
        If its digest is another.
    """
    digest = hashlib.sha256(content).hexdigest()
    if digest != model.sha256:
        raise NotThePlanError(
            f"{model.name}: the file has SHA-256 {digest[:12]}..., the plan names {model.sha256[:12]}... -> "
            f"give the file {model.file} from which the plan was made, unaltered"
        )


def load_planned_card(path: Path, model: CardModel, plan: StudyPlan) -> CardedModel:
    """The model in the plan's file, once it is known that the plan prepares what it takes.

    Raises
    ------
    ModelError
        If the file is damaged, or holds another model than the plan says, or the plan does not fit it; with
        everything that is wrong.
    StorageError
        If it cannot be read.
    """
    carded = load_card(path)
    misfits = [*_compare_with_section(carded.card, model), *_compare_with_plan(carded.card, plan)]
    if misfits:
        raise ModelError(
            f"{model.name}: the model of {model.file} does not fit this plan: {'; '.join(misfits)}"
        )
    return carded


def _compare_with_section(card: ModelCard, model: CardModel) -> Iterator[str]:
    content, remedy = card.content, "copy what rhe-server plan card prints"
    if content.kind != model.computes:
        yield f"it is a {content.kind} model, the plan says {model.computes} -> {remedy}"
        return
    if missing := sorted(set(name_trainers(card)) - set(model.trained_by)):
        yield f"{', '.join(missing)} trained it, too -> add to trained_by"
    if card.operating_point != model.threshold:
        yield f"its threshold is {card.operating_point!r}, not {model.threshold!r} -> {remedy}"
    if isinstance(content, NetworkContent):
        if content.shape != model.shape:
            shape = content.shape
            yield f"its inputs are {shape.dimensions}D of {shape.size} pixels -> {remedy}"
    elif set(list_inputs(content)) != set(model.covariates):
        yield f"its covariates are {', '.join(list_inputs(content))} -> {remedy}"


def _compare_with_plan(card: ModelCard, plan: StudyPlan) -> Iterator[str]:
    if card.outcome != plan.cohort.outcome:
        theirs, ours = card.outcome.event, plan.cohort.outcome.event
        named = f"{theirs} by another definition" if theirs == ours else f"{theirs}, not {ours}"
        yield f"it predicts {named} -> cohort.outcome = {_write_differing(card.outcome, plan.cohort.outcome)}"
    content = card.content
    if isinstance(content, NetworkContent):
        if content.recipe != plan.preprocessing:
            yield f"it takes inputs by preprocessing = {_write_differing(content.recipe, plan.preprocessing)}"
        if content.algorithm != PREPROCESSING_ALGORITHM:
            yield (
                f"it takes inputs of preprocessing {content.algorithm}, this rhe makes "
                f"{PREPROCESSING_ALGORITHM} -> validate with the rhe that trained it"
            )
    else:
        yield from _compare_table(content, plan)


def _compare_table(content: TableContent, plan: StudyPlan) -> Iterator[str]:
    if content.radiomics is not None:
        if content.radiomics.settings != extraction_of(plan):
            yield (
                "its radiomics are extracted by "
                f"{_write_differing(content.radiomics.settings, extraction_of(plan))}, see radiomics.voi and "
                "preprocessing.spacing_mm"
            )
        if content.radiomics.version != feature_version():
            yield f"it takes features of {content.radiomics.version}, this rhe extracts {feature_version()}"
    brain_a = design_of_card(content).brain_a
    if BRAIN in list_inputs(content) and brain_a != plan.cohort.brain_a:
        yield f'A of its BRAIN score is "{brain_a}" -> cohort.brain_a'
    for name, variable in own_variables_of(content).items():
        ours = plan.own_variables.get(name)
        if ours is None:
            yield f"it takes the variable {name!r}, which this plan lacks -> declare it under [[variables]]"
        elif ours != variable:
            yield f"it takes {name!r} as {variable.allowed}, this plan declares {ours.allowed}"


def _refuse_unusable(what: str, content: TableContent) -> None:
    """Refuse a model that there is not, or that takes another model's score.

    Raises
    ------
    ModelError
        If it is one of these.
    """
    if not content.fitted.standing.ok:
        raise ModelError(
            f"{what}: the model was not fitted: {content.fitted.reason} -> there is nothing to validate"
        )
    taken = [name for name in list_inputs(content) if name.startswith(SCORE_OF)]
    if taken:
        raise ModelError(
            f"{what}: takes the score of {', '.join(taken)}, which another file computes -> validate that "
            "network itself, or a model without it"
        )


def _write_differing(theirs: object, ours: object) -> str:
    """The settings in which two records differ, as the model has them."""
    known = vars(ours)
    differing = {name: value for name, value in vars(theirs).items() if value != known.get(name)}
    return json.dumps(differing, default=list)
