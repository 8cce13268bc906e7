"""Contradictions between settings of a plan: its sites, arms, phases, privacy and models.

Each check takes only the sections that it compares, so this module does not depend on the plan itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from common.cohort.score_columns import find_score_columns
from common.plan.models import AnyModel, CnnModel, ScoresModel, TableModel
from common.plan.repeated_trainings import is_repeat
from common.plan.sections import Agreement, Arms, Evaluation, Phase, PlannedSite, Privacy, Radiomics
from common.plan.update_noise import part_noise
from common.stats.profile import Profile


def refuse_together(*checks: Callable[[], None]) -> None:
    """Make every check, and refuse what all of them refuse at once: one line for each contradiction.

    Raises
    ------
    ValueError
        With the contradictions, in the order of the checks.
    """
    refusals = []
    for check in checks:
        try:
            check()
        except ValueError as refusal:
            refusals.append(str(refusal))
    if refusals:
        raise ValueError("\n".join(dict.fromkeys(refusals)))


def check_sites(sites: Sequence[PlannedSite], *, trains: bool) -> None:
    """Refuse two sites with the same name, and a study that trains but has no training site.

    Parameters
    ----------
    sites : sequence of PlannedSite
    trains : bool
        Whether the plan has a model or a regression that needs training patients.

    Raises
    ------
    ValueError
        With the contradiction and what to change.
    """
    names = [site.name.lower() for site in sites]
    if len(set(names)) < len(names):
        raise ValueError(f"two sites have the same name: {sorted(names)} -> rename one")
    if trains and not _select_training(sites):
        raise ValueError('no site has role = "train" -> give at least one site that role')


def check_arms(arms: Arms, sites: Sequence[PlannedSite], profile: Profile) -> None:
    """Refuse arms that the sites or the profile do not allow.

    Raises
    ------
    ValueError
        With the contradiction and what to change.
    """
    if arms.design == "leave-one-centre-out" and len(_select_training(sites)) < 2:
        raise ValueError("leave-one-centre-out needs at least two training sites")
    if arms.pooled_model and profile != "simulation":
        raise ValueError('pooled_model moves patients and exists only with profile = "simulation"')


def check_two_sites(sites: Sequence[PlannedSite], *, acknowledged: bool) -> None:
    """Refuse a plan of two sites that does not state what each learns of the other.

    Raises
    ------
    ValueError
        With what to change.
    """
    if len(sites) == 2 and not acknowledged:
        raise ValueError(
            "with two sites each learns the other's sums by subtraction -> two_site_ack = true states that "
            "all know this"
        )


def check_phases(phases: Sequence[Phase], *, trains: bool) -> None:
    """Refuse a phase that is listed twice, or that needs models when the plan leaves out training.

    Parameters
    ----------
    phases : sequence of Phase
    trains : bool
        Whether the plan has a model that is trained.

    Raises
    ------
    ValueError
        With the contradiction and what to change.
    """
    if len(set(phases)) < len(phases):
        raise ValueError(f"phases lists a phase twice: {list(phases)} -> name each once")
    needs_training = {"evaluation", "explanation"} & set(phases) and trains
    if needs_training and "training" not in phases:
        raise ValueError('evaluation and explanation need the models of training -> add "training" to phases')


def check_privacy(
    privacy: Privacy, sites: Sequence[PlannedSite], arms: Arms, networks: Sequence[CnnModel]
) -> None:
    """Refuse noise without masks, and arms that undo what hides sums.

    Raises
    ------
    ValueError
        With the contradiction and what to change.
    """
    hides_sums = privacy.hides_sums_of(len(sites))
    if hides_sums and arms.design == "leave-one-centre-out" and not arms.subtraction_ack:
        raise ValueError(
            "leave-one-centre-out: the sums with and without a centre tell what it contributed -> "
            "arms.subtraction_ack = true states that all hospitals know this"
        )
    if privacy.noise is not None and not hides_sums:
        raise ValueError(
            "noise is added under masks -> privacy.secure = true and at least two sites, or no privacy.noise"
        )
    if arms.design == "leave-one-centre-out" and any(model.first_weights for model in networks):
        raise ValueError("leave-one-centre-out arms start with other weights each -> leave first_weights out")
    starts_alike = any(model.initialisation == "imagenet" for model in networks)
    is_told = arms.shared_start_ack or not (hides_sums and arms.design == "leave-one-centre-out")
    if starts_alike and not is_told:
        raise ValueError(
            "leave-one-centre-out arms that all start from ImageNet weights tell by subtraction what the "
            'first round measured of one centre\'s patients -> initialisation = "random", or '
            "arms.shared_start_ack = true states that all hospitals know this"
        )


def check_noise(privacy: Privacy, sites: int, multiplier: float | None) -> None:
    """Refuse less noise than whole numbers can hold.

    Raises
    ------
    ValueError
        With the multiplier and what to change.
    """
    for part in ("weights", "buffers"):
        part_noise(privacy, sites, multiplier, part)


def check_models(models: Sequence[AnyModel], evaluation: Evaluation) -> None:
    """Refuse models with the same name, contradictory score columns, and references to missing models.

    Raises
    ------
    ValueError
        With every contradiction and what to change.
    """
    refuse_together(
        lambda: _check_model_names(models),
        lambda: _check_score_columns(models),
        lambda: _check_taken_networks(models),
        lambda: _check_reference(models, evaluation),
        lambda: _check_values(models, evaluation),
    )


def _check_model_names(models: Sequence[AnyModel]) -> None:
    first = dict[str, str]()
    for model in models:
        lowered = model.name.lower()
        if lowered in first:
            said = f"{first[lowered]!r} and {model.title!r}"
            raise ValueError(f"two models have the same name: {said}; capitals do not count -> rename one")
        first[lowered] = model.title


def _check_score_columns(models: Sequence[AnyModel]) -> None:
    find_score_columns((model.column, model.low, model.high) for model in _select_scores(models))


def _check_taken_networks(models: Sequence[AnyModel]) -> None:
    networks = {model.name for model in models if isinstance(model, CnnModel) and not is_repeat(model)}
    taken = {name for model in models if isinstance(model, TableModel) for name in model.networks}
    if strangers := taken - networks:
        raise ValueError(
            f"a model takes the score of {', '.join(sorted(strangers))}: no network of the plan -> "
            f"choose among {', '.join(sorted(networks)) or 'none'}"
        )


def _check_reference(models: Sequence[AnyModel], evaluation: Evaluation) -> None:
    reference = evaluation.reference_model
    names = [model.name for model in models if not is_repeat(model)]
    if reference is not None and reference not in names:
        raise ValueError(
            f"evaluation.reference_model {reference!r} is none of the models -> choose among "
            f"{', '.join(names)}"
        )


def _check_values(models: Sequence[AnyModel], evaluation: Evaluation) -> None:
    # Ties of a score of few values are exact only if no two of its values share a bin.
    for model in _select_scores(models):
        if model.values is not None and model.values > evaluation.bins:
            raise ValueError(
                f"the score {model.name!r} can take {model.values} values, more than evaluation.bins = "
                f"{evaluation.bins} -> more bins, or no step"
            )


def check_readings(agreement: Agreement, radiomics: Radiomics) -> None:
    """Refuse readings in which features must be reproducible and that no reader makes.

    Raises
    ------
    ValueError
        With the readings that the plan's readers make.
    """
    if strangers := [name for name in radiomics.readings if name not in agreement.criteria]:
        raise ValueError(
            f"radiomics.readings names {', '.join(strangers)}, which the readers of the plan do not make -> "
            f"choose among {', '.join(agreement.criteria)}, or name further agreement.readers"
        )


def _select_training(sites: Sequence[PlannedSite]) -> list[PlannedSite]:
    return [site for site in sites if site.role == "train"]


def _select_scores(models: Sequence[AnyModel]) -> list[ScoresModel]:
    return [model for model in models if isinstance(model, ScoresModel)]
