"""How many rounds of messages a study will take: counted from its procedures, by what each is known to ask.

A round is one set of messages to the sites that is sent at once, as the report counts them. Where a loop ends
depends on the patients: then there is a smallest, a usual and a largest number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from common.messages.groups import hiding_sets_of
from common.plan.mapped_cohorts import averages_maps
from common.plan.models import INDEPENDENT, RADIOMICS, CnnModel, LogisticModel
from common.plan.study import Arm, StudyPlan
from common.program.selections import MOST_PATH_ROUNDS
from common.program.trainings import list_rounds
from common.stats.newton import MAXIMUM_ROUNDS_FIRTH, MAXIMUM_ROUNDS_UNPENALISED
from common.stats.profile_limits import MAXIMUM_ROUNDS_LIMITS
from common.stats.ridge import MAXIMUM_ROUNDS_RIDGE


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
_OPENING = 2
"""Opening a session of hidden sums: joining, admitting."""


def expect_rounds(plan: StudyPlan) -> dict[str, RoundCount]:
    """The rounds of each phase, by its name in the report, if every site answers at once."""
    phases = {
        "enrolment": _exactly(1),
        "preparation": _exactly(1),
        "opening": _exactly(_OPENING * len(hiding_sets_of(plan)) if plan.hides_sums else 0),
        "agreement": _exactly(2 if "agreement" in plan.phases else 0),
        "cohort": _exactly(2 if "cohort" in plan.phases else 0),
        "regression": _screen(plan) if "regression" in plan.phases else NO_ROUNDS,
    }
    if "training" in plan.phases:
        phases["training"] = _add_up(_train(plan))
        phases["scoring"] = _add_up(_score(plan, arm) for _ in plan.networks for arm in plan.all_arms())
        phases["fitting"] = _add_up(_fit(plan))
    if "evaluation" in plan.phases:
        chosen = _exactly(1 if plan.evaluation.operating_point == "youden" else 0)
        phases["evaluation"] = _exactly(2 + len(plan.cards)) + _GRIDS + chosen + _CALIBRATION
        phases["comparison"] = RoundCount(0, 1, 1)
    if "explanation" in plan.phases and (plan.explanation.per_site or averages_maps(plan)):
        kind = "federated" if any(arm.kind == "federated" for arm in plan.all_arms()) else "local"
        arms = sum(arm.kind == kind for arm in plan.all_arms())
        drawn = RoundCount(0, len(plan.networks) * arms, 2 * len(plan.networks) * arms)
        phases["explanation"] = drawn + (_GUARDED if averages_maps(plan) else NO_ROUNDS)
    phases["closing"] = _exactly(len(hiding_sets_of(plan)) if plan.hides_sums else 0)
    return {phase: rounds for phase, rounds in phases.items() if rounds.most}


def _exactly(number: int) -> RoundCount:
    return RoundCount(number, number, number)


def _add_up(counts: Iterator[RoundCount]) -> RoundCount:
    return reduce(lambda one, other: one + other, counts, NO_ROUNDS)


def _screen(plan: StudyPlan) -> RoundCount:
    """Guard, moments and iterations of the univariate models, then the same of one model where any enters."""
    loop = _GUARDED + _NEWTON
    several = RoundCount(0, loop.usual, loop.most)
    return loop + several if plan.regression.candidates else NO_ROUNDS


def _train(plan: StudyPlan) -> Iterator[RoundCount]:
    for model in plan.networks:
        for arm in plan.all_arms():
            if arm.kind == "local":
                yield _release(plan, arm)
            elif arm.kind == "federated":
                yield _exactly(_count_training(plan, model, arm))


def _count_training(plan: StudyPlan, model: CnnModel, arm: Arm) -> int:
    steps = len(list_rounds(plan, model, arm))
    if not plan.hides_sums or len(arm.sites) == 1:
        # The sites' weight comes with their updates
        return steps - 1
    # The last round is closed by a message of its own
    return steps + (_MASKED - 1) * plan.federation.rounds + 1


def _release(plan: StudyPlan, arm: Arm) -> RoundCount:
    """The training of one site's model, and its release."""
    (site,) = arm.sites
    return _exactly(2 if plan.site(site).model_release else 1)


def _score(plan: StudyPlan, arm: Arm) -> RoundCount:
    """Hidden sums' members score first, and sign the model for the others."""
    stays = arm.kind == "local" and not plan.site(arm.sites[0]).model_release
    is_everywhere = set(arm.sites) == set(plan.site_names)
    return _exactly(1 if stays or is_everywhere or not plan.hides_sums else 2)


def _fit(plan: StudyPlan) -> Iterator[RoundCount]:
    if plan.table_models:
        yield from (_select(plan, arm) for arm in plan.all_arms() if arm.kind == "federated")
    for model in plan.table_models:
        for arm in plan.arms_of(model):
            if arm.kind == "local":
                yield _release(plan, arm)
            elif isinstance(model, LogisticModel):
                yield _GUARDED + _NEWTON
            else:
                yield _GUARDED + _RIDGE + _LATER + _RIDGE
            yield _score(plan, arm)


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
