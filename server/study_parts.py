"""The parts of a study up to its models' scores, side by side; each begins after those it builds on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from rich.progress import Progress

from common.plan.models import SvmModel
from common.plan.sections import Phase
from common.plan.study import Arm, CnnModel, LogisticModel
from common.program import names
from common.program.regressions import Screening, screen_candidates
from common.program.selections import ArmSelection, find_predictors
from common.program.study_program import list_procedures
from common.stats.estimate import Status
from server.exchange import Exchange
from server.lanes import Lane
from server.phases.agreement import compare_readings
from server.phases.cohort import describe_cohorts
from server.phases.fitting import FittedRegression, find_missing_scores, fit_model
from server.phases.scoring import score_by_network, score_by_regression
from server.phases.svm import TrainedSvm, fit_svm, score_by_svm
from server.phases.training import TrainedModel, train_model
from server.procedures import carry_out
from server.results.assembly import StudyOutcome
from server.results.clock import PhaseClock
from server.results.cohort import record_cohort
from server.run import StudyRun
from server.training.turns import list_turns, travels_alone

_LEADING = "training"
"""A round that carries questions of several phases is this one's, if of any: it takes the time."""
_RECORDED: dict[Phase, tuple[str, Callable[[Exchange], Mapping[str, object]]]] = {
    "cohort": (
        names.COHORT_DESCRIPTION,
        lambda exchange: {"cohort": record_cohort(describe_cohorts(exchange))},
    ),
}
"""Phases on which no other builds: procedure, and what each is recorded as, by the field of `Results`."""
_PHASES = ("agreement", *_RECORDED, "regression", "training", "scoring", "fitting")
_Outcome = TypeVar("_Outcome")


def carry_out_parts(
    exchange: Exchange, run: StudyRun, progress: Progress, clock: PhaseClock, outcome: StudyOutcome
) -> StudyOutcome:
    """The outcome after all that the plan asks for before scores are judged.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    run : StudyRun
        The plan, and where models are stored.
    progress : Progress
        Shows how far a training is.
    clock : PhaseClock
        Is told of which phase each round is.
    outcome : StudyOutcome
        After enrolment and preparation.

    Raises
    ------
    RheError
        If a site stays away, refuses or fails.
    """
    training = ("training", "scoring", "fitting")
    of_plan = {*run.plan.phases, *(training if "training" in run.plan.phases else ())}
    with clock.measure_together([name for name in _PHASES if name in of_plan]) as lead:
        parts = _Parts(exchange, run, progress, outcome, lead)
        if "agreement" in of_plan:
            parts.add_agreement()
        for phase in (phase for phase in _RECORDED if phase in of_plan):
            parts.add_recorded(phase)
        if "regression" in of_plan:
            parts.add_screening()
        if "training" in of_plan:
            parts.add_networks()
            parts.add_table_models()
        exchange.lanes.run()
    return parts.collect()


@dataclass
class _Parts:
    """The parts of one study, which are added in the study's order."""

    exchange: Exchange
    run: StudyRun
    progress: Progress
    outcome: StudyOutcome
    lead: Callable[[str], None]
    _collected: list[Callable[[StudyOutcome], StudyOutcome]] = field(default_factory=list)
    _screening: Lane[Screening] | None = None
    _trained: dict[str, Lane[TrainedModel]] = field(default_factory=dict)
    _scored: dict[str, Lane[TrainedModel]] = field(default_factory=dict)
    _selections: dict[str, Lane[ArmSelection]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._builds_on = {one.name: one.builds_on for one in list_procedures(self.run.plan)}

        def tell(phases: Sequence[str]) -> None:
            self.lead(_LEADING if _LEADING in phases else phases[0])

        self._lanes = self.exchange.open_lanes(tell)

    def collect(self) -> StudyOutcome:
        """What all parts came to."""
        outcome = self.outcome
        for take in self._collected:
            outcome = take(outcome)
        return outcome

    def add_agreement(self) -> None:
        """How far readers agree."""
        lane = self._add(names.READER_AGREEMENT, "agreement", lambda: compare_readings(self.exchange))
        self._collected.append(lambda outcome: replace(outcome, readings=lane.outcome))

    def add_recorded(self, phase: Phase) -> None:
        """A phase on which no other builds, such as Table 1."""
        name, record = _RECORDED[phase]
        lane = self._add(name, phase, lambda: record(self.exchange))
        self._collected.append(lambda outcome: replace(outcome, records={**outcome.records, **lane.outcome}))

    def add_screening(self) -> None:
        """Table 2."""
        plan = self.run.plan

        def screen() -> Screening:
            return carry_out(self.exchange, names.SCREENING, screen_candidates(plan, plan.training_sites))

        lane = self._screening = self._add(names.SCREENING, "regression", screen)
        self._collected.append(lambda outcome: replace(outcome, screening=lane.outcome))

    def add_networks(self) -> None:
        """Every network in every arm is trained, then scores; large ones are trained one after the other."""
        plan, turns = self.run.plan, dict(list_turns(self.run.plan))
        wanted = [(model, arm) for model in plan.networks for arm in plan.all_arms()]
        for model, arm in wanted:
            self._add_training(model, arm, turns[names.name_training(model, arm)])
        for model, arm in wanted:
            self._add_network_scoring(model, arm)
        scored = tuple(self._scored.values())
        self._collected.append(
            lambda outcome: replace(outcome, trained=tuple(lane.outcome for lane in scored))
        )

    def add_table_models(self) -> None:
        """Predictors are selected in each federated arm; then models of the table are fitted, and score."""
        plan = self.run.plan
        if plan.table_models:
            for arm in (arm for arm in plan.all_arms() if arm.kind == "federated"):
                self._add_selection(arm)
        fitted = [self._add_fit(model, arm) for model in plan.regressions for arm in plan.arms_of(model)]
        kept = [model for model in plan.table_models if isinstance(model, SvmModel)]
        machines = [self._add_svm(model, arm) for model in kept for arm in plan.arms_of(model)]
        selections = tuple(self._selections.values())
        self._collected.append(
            lambda outcome: replace(
                outcome,
                selections=tuple(lane.outcome for lane in selections),
                fitted=tuple(lane.outcome for lane in fitted),
                machines=tuple(lane.outcome for lane in machines),
            )
        )

    def _add_training(self, model: CnnModel, arm: Arm, waits_for: tuple[str, ...]) -> None:
        wanted = (model, arm, self.outcome.preparation)
        name, is_alone = names.name_training(model, arm), travels_alone(model)

        def train() -> TrainedModel:
            return train_model(self.exchange, self.run, self.progress, wanted)

        self._trained[name] = self._add(name, "training", train, waits_for, is_alone=is_alone)

    def _add_network_scoring(self, model: CnnModel, arm: Arm) -> None:
        trained = self._trained[names.name_training(model, arm)]

        def score() -> TrainedModel:
            return score_by_network(self.exchange, self.run, trained.outcome)

        name = names.name_scoring(model, arm)
        self._scored[name] = self._add(name, "scoring", score, (trained.name,), is_alone=trained.is_alone)

    def _add_selection(self, arm: Arm) -> None:
        name = names.name_selection(arm)

        def select() -> ArmSelection:
            takes_known = self._screening is not None and names.SCREENING in self._builds_on[name]
            known = self._screening.outcome if self._screening is not None and takes_known else None
            return carry_out(self.exchange, name, find_predictors(self.run.plan, arm, known))

        self._selections[arm.name] = self._add(name, "fitting", select)

    def _add_fit(self, model: LogisticModel, arm: Arm) -> Lane[FittedRegression]:
        selected = self._selections.get(arm.name)

        def fit() -> FittedRegression:
            wanted = (model, arm, None if selected is None else selected.outcome)
            return fit_model(self.exchange, self.run, wanted, self._find_obstacles(arm))

        lane = self._add(names.name_fit(model, arm), "fitting", fit)
        self._add(
            names.name_scoring(model, arm),
            "fitting",
            lambda: score_by_regression(self.exchange, lane.outcome),
        )
        return lane

    def _add_svm(self, model: SvmModel, arm: Arm) -> Lane[TrainedSvm]:
        selected = self._selections.get(arm.name)

        def fit() -> TrainedSvm:
            wanted = (model, arm, None if selected is None else selected.outcome)
            return fit_svm(self.exchange, self.run, wanted, self._find_obstacles(arm))

        lane = self._add(names.name_fit(model, arm), "fitting", fit)
        self._add(
            names.name_scoring(model, arm), "fitting", lambda: score_by_svm(self.exchange, lane.outcome)
        )
        return lane

    def _find_obstacles(self, arm: Arm) -> dict[tuple[str, str], Status]:
        """Why models cannot be fitted in the arm: they take the score of a network that there is not."""
        ended = [lane.outcome for lane in self._scored.values() if lane.has_ended]
        return find_missing_scores(self.run.plan, [network for network in ended if network.arm == arm])

    def _add(
        self,
        name: str,
        phase: str,
        work: Callable[[], _Outcome],
        after: tuple[str, ...] = (),
        *,
        is_alone: bool = False,
    ) -> Lane[_Outcome]:
        builds_on = (*self._builds_on.get(name, ()), *after)
        told = self.exchange.watch.watch_part(name, work)
        return self._lanes.add(name, phase, told, builds_on, is_alone=is_alone)
