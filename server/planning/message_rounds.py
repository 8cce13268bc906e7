"""How many rounds of messages a study will take: counted from its procedures, by what each is known to ask.

A round is one set of messages to the sites that is sent at once, as the report counts them. Procedures that
do not build on one another ask together: a phase has the rounds that it has beyond those of phases before it.
Where a loop ends depends on the patients: then there is a smallest, a usual and a largest number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from common.messages.groups import hiding_sets_of
from common.plan.early_stopping import find_earliest_end
from common.plan.mapped_cohorts import averages_maps
from common.plan.models import INDEPENDENT, RADIOMICS, CnnModel, LogisticModel
from common.plan.repeated_trainings import list_first_networks
from common.plan.study import Arm, StudyPlan
from common.program import names
from common.program.selections import MOST_PATH_ROUNDS
from common.program.study_program import list_procedures
from common.program.trainings import list_rounds
from common.stats.newton import MAXIMUM_ROUNDS_FIRTH, MAXIMUM_ROUNDS_UNPENALISED
from common.stats.profile_limits import MAXIMUM_ROUNDS_LIMITS
from common.stats.ridge import MAXIMUM_ROUNDS_RIDGE
from server.training.turns import list_turns, travels_alone


@dataclass(frozen=True)
class RoundCount:
    """How many rounds something takes.

    Attributes
    ----------
    fewest, usual, most : int
        If too few patients end each analysis at its guard round; as measured on simulated patients; by the
        program's own limits. A site that is late, or misses a round, costs more.
    """

    fewest: int
    usual: int
    most: int

    def __add__(self, other: RoundCount) -> RoundCount:
        """Of both, one after the other."""
        return RoundCount(self.fewest + other.fewest, self.usual + other.usual, self.most + other.most)


NO_ROUNDS = RoundCount(0, 0, 0)
_NEWTON = RoundCount(0, 10, MAXIMUM_ROUNDS_UNPENALISED + MAXIMUM_ROUNDS_FIRTH + MAXIMUM_ROUNDS_LIMITS)
"""A regression: Newton's method; where an outcome is separated, Firth's, and profile limits."""
_RIDGE = RoundCount(0, 9, MAXIMUM_ROUNDS_RIDGE)
_PATH = RoundCount(0, 300, MOST_PATH_ROUNDS)
_CALIBRATION = RoundCount(0, 10, MAXIMUM_ROUNDS_UNPENALISED + 1)
_GRIDS = RoundCount(0, 6, 14)
_LATER = RoundCount(0, 1, 1)
"""One more round, only if there are enough patients."""
_GUARDED = RoundCount(1, 2, 2)
"""A guard round, and what comes after it only if there are enough patients."""
_MASKED = 3
"""A hidden training round: joining, masked updates, seeds."""
_TOGETHER = ("training", "agreement", "cohort", "regression", "scoring", "fitting")
"""Phases whose questions travel together: such a round is the training's, otherwise the first's."""
_IN_ORDER = ("agreement", "cohort", "regression", "training", "scoring", "fitting")
_OPENING = 2
"""Opening a session of hidden sums: joining, admitting."""


def expect_rounds(plan: StudyPlan) -> dict[str, RoundCount]:
    """The rounds of each phase, by its name in the report, if every site answers at once."""
    phases = {
        "enrolment": _exactly(1),
        "preparation": _exactly(1),
        "opening": _exactly(_OPENING * len(hiding_sets_of(plan)) if plan.hides_sums else 0),
        **_count_together(plan),
    }
    if "evaluation" in plan.phases:
        chosen = _exactly(1 if plan.evaluation.operating_point == "youden" else 0)
        phases["evaluation"] = _exactly(2 + len(plan.cards)) + _GRIDS + chosen + _CALIBRATION
        phases["comparison"] = RoundCount(0, 1, 1)
    if "explanation" in plan.phases and (plan.explanation.per_site or averages_maps(plan)):
        kind = "federated" if any(arm.kind == "federated" for arm in plan.all_arms()) else "local"
        arms = sum(arm.kind == kind for arm in plan.all_arms())
        maps = len(list_first_networks(plan.models)) * arms
        drawn = RoundCount(0, maps, 2 * maps)
        phases["explanation"] = drawn + (_GUARDED if averages_maps(plan) else NO_ROUNDS)
    phases["closing"] = _exactly(1)
    return {phase: rounds for phase, rounds in phases.items() if rounds.most or phase in _TOGETHER}


def _exactly(number: int) -> RoundCount:
    return RoundCount(number, number, number)


def _add_up(counts: Iterator[RoundCount]) -> RoundCount:
    return reduce(lambda one, other: one + other, counts, NO_ROUNDS)


def _count_together(plan: StudyPlan) -> dict[str, RoundCount]:
    """The rounds of phases whose questions travel together, in the study's order."""
    counts = {name: (phase, rounds) for phase, name, rounds in _list_parts(plan)}
    builds_on = {procedure.name: procedure.builds_on for procedure in list_procedures(plan)}
    for name, before in list_turns(plan):
        builds_on[name] = (*builds_on.get(name, ()), *before)
    usual = _find_ends({name: rounds.usual for name, (_, rounds) in counts.items()}, builds_on)
    together: dict[str, RoundCount] = {}
    covered = 0
    for phase in _TOGETHER:
        of_phase = {name: rounds for name, (known, rounds) in counts.items() if known == phase}
        if not of_phase:
            continue
        end = max(usual[name] for name in of_phase)
        most = max(_find_ends({name: one.most for name, one in of_phase.items()}, builds_on).values())
        beyond, covered = max(0, end - covered), max(end, covered)
        fewest = max(_find_ends({name: one.fewest for name, one in of_phase.items()}, builds_on).values())
        # All of its questions may travel with those of other phases; a training leads
        fewest = min(fewest, beyond) if phase == _TOGETHER[0] else 0
        together[phase] = RoundCount(fewest, beyond, max(beyond, most))
    if _TOGETHER[0] in together:
        # Another session may be opened on its way, and what is too long for one message goes in two
        small = sum(not travels_alone(model) for model in plan.networks) * len(plan.all_arms())
        together[_TOGETHER[0]] += RoundCount(0, 0, small + _OPENING * bool(plan.hides_sums))
    for phase, rounds in _list_alone(plan):
        together[phase] += rounds
    return dict(sorted(together.items(), key=lambda item: _IN_ORDER.index(item[0])))


def _find_ends(counts: Mapping[str, int], builds_on: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """In which round each procedure ends, from the rounds of each, if all begin as soon as they may."""
    ends: dict[str, int] = {}
    # Those on which one builds stand before it
    for name in sorted(counts, key=list(builds_on).index):
        before = [ends[earlier] for earlier in builds_on[name] if earlier in ends]
        ends[name] = counts[name] + max(before, default=0)
    return ends


def _list_parts(plan: StudyPlan) -> Iterator[tuple[str, str, RoundCount]]:
    """Phase, name and rounds of each procedure; no rounds of one that travels alone."""
    if "agreement" in plan.phases:
        yield "agreement", names.READER_AGREEMENT, _exactly(2)
    if "cohort" in plan.phases:
        yield "cohort", names.COHORT_DESCRIPTION, _exactly(2)
    if "regression" in plan.phases:
        yield "regression", names.SCREENING, _screen(plan)
    if "training" not in plan.phases:
        return
    for phase, name, model, rounds in _list_networks(plan):
        yield phase, name, NO_ROUNDS if travels_alone(model) else rounds
    for name, rounds in _fit(plan):
        yield "fitting", name, rounds


def _list_alone(plan: StudyPlan) -> list[tuple[str, RoundCount]]:
    """Phase and rounds of whatever is of networks that are too large to travel with other questions."""
    if "training" not in plan.phases:
        return []
    return [(phase, rounds) for phase, _, model, rounds in _list_networks(plan) if travels_alone(model)]


def _list_networks(plan: StudyPlan) -> Iterator[tuple[str, str, CnnModel, RoundCount]]:
    """Phase, name, network and rounds of each training, then of each scoring."""
    for model in plan.networks:
        for arm in plan.all_arms():
            if arm.kind == "local":
                yield "training", names.name_training(model, arm), model, _release(plan, arm)
            elif arm.kind == "federated":
                yield "training", names.name_training(model, arm), model, _train(plan, model, arm)
    for model in plan.networks:
        for arm in plan.all_arms():
            yield "scoring", names.name_scoring(model, arm), model, _score(plan, arm)


def _screen(plan: StudyPlan) -> RoundCount:
    """Guard, moments and iterations of the univariate models, then the same of one model where any enters."""
    loop = _GUARDED + _NEWTON
    several = RoundCount(0, loop.usual, loop.most)
    return loop + several if plan.regression.candidates else NO_ROUNDS


def _train(plan: StudyPlan, model: CnnModel, arm: Arm) -> RoundCount:
    """A training over sites; where it may end early, that it does so as soon as it can is not expected."""
    whole = _count_training(plan, model, arm, plan.federation.rounds)
    if plan.federation.early_stopping is None:
        return _exactly(whole)
    fewest = _count_training(plan, model, arm, find_earliest_end(plan.federation.early_stopping))
    return RoundCount(fewest, whole, whole)


def _count_training(plan: StudyPlan, model: CnnModel, arm: Arm, rounds: int) -> int:
    """Messages of a training that ends after so many rounds."""
    steps = len(list_rounds(plan, model, arm)) - plan.federation.rounds + rounds
    if not plan.hides_sums or len(arm.sites) == 1:
        # The sites' weight comes with their updates
        return steps - 1
    # The last round is closed by a message of its own
    return steps + (_MASKED - 1) * rounds + 1


def _release(plan: StudyPlan, arm: Arm) -> RoundCount:
    """The training of one site's model, and its release."""
    (site,) = arm.sites
    return _exactly(2 if plan.site(site).model_release else 1)


def _score(plan: StudyPlan, arm: Arm) -> RoundCount:
    """Hidden sums' members score first, and sign the model for the others."""
    stays = arm.kind == "local" and not plan.site(arm.sites[0]).model_release
    is_everywhere = set(arm.sites) == set(plan.site_names)
    return _exactly(1 if stays or is_everywhere or not plan.hides_sums else 2)


def _fit(plan: StudyPlan) -> Iterator[tuple[str, RoundCount]]:
    """Name and rounds of each selection, fit and scoring of the table's models."""
    if plan.table_models:
        for arm in (arm for arm in plan.all_arms() if arm.kind == "federated"):
            yield names.name_selection(arm), _select(plan, arm)
    for model in plan.table_models:
        for arm in plan.arms_of(model):
            if arm.kind == "local":
                yield names.name_fit(model, arm), _release(plan, arm)
            elif isinstance(model, LogisticModel):
                yield names.name_fit(model, arm), _GUARDED + _NEWTON
            else:
                yield names.name_fit(model, arm), _GUARDED + _RIDGE + _LATER + _RIDGE
            yield names.name_scoring(model, arm), _score(plan, arm)


def _select(plan: StudyPlan, arm: Arm) -> RoundCount:
    """Independent covariates, unless Table 2 is of the same patients; then the LASSO with its readings."""
    taken = {name for model in plan.table_models for name in model.covariates}
    rounds = NO_ROUNDS
    if INDEPENDENT in taken and not ("regression" in plan.phases and arm.sites == plan.training_sites):
        rounds += _screen(plan)
    if RADIOMICS in taken:
        rounds += RoundCount(1, 3, 3) if plan.radiomics.readings else NO_ROUNDS
        # Patients, magnitudes, moments, products with the outcome, cross-products
        rounds += RoundCount(0, 4, 4) + (_LATER if plan.radiomics.family == "gaussian" else _PATH)
    return rounds
