"""Events of a study in a few words: for the lines of its log, and for its board."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from common.runtime.watch.plain_times import tell_clock
from server.watch.study_state import Condition, Pause, TrainingProgress


class LineCollector(logging.Handler):
    """Hands on what is logged, but not what one module itself said.

    Parameters
    ----------
    keep : callable
        Takes each line.
    own : str
        Name of that module's logger.
    """

    def __init__(self, keep: Callable[[str], None], own: str) -> None:
        super().__init__(logging.INFO)
        self._keep, self._own = keep, own

    def emit(self, record: logging.LogRecord) -> None:
        """Hand on one record."""
        if record.name != self._own:
            self._keep(record.getMessage())


def describe_question(operation: str, context: Mapping[str, object]) -> str:
    """What is asked: ``train resnet18 federated, round 3``."""
    about = (context.get(name) for name in ("stage", "model", "arm"))
    number = context.get("round")
    return " ".join(str(word) for word in (operation, *about) if word) + (
        f", round {number}" if number else ""
    )


def describe_judgement(training: TrainingProgress) -> str:
    """Its validation AUC, as far as that is shown, after a comma; empty if none was judged."""
    if training.withheld:
        return f", validation AUC {training.withheld}"
    if training.validation_auc is None:
        return ""
    which = "" if training.judged == training.round else f" of round {training.judged}"
    return f", validation AUC{which} {training.validation_auc:.3f}"


def explain_run_end(failure: BaseException) -> tuple[Condition, str]:
    """How a run ended that did not finish, and why."""
    if isinstance(failure, KeyboardInterrupt | SystemExit | GeneratorExit):
        return "interrupted", "ended by whoever started it; --resume goes on"
    return "failed", " ".join(str(failure).split()) or type(failure).__name__


def describe_pause(pause: Pause, now: float | None = None) -> str:
    """Since when the study waits, and for whom: ``paused since 14:03, waiting for center2``."""
    return f"paused since {tell_clock(pause.since, now)}, waiting for {', '.join(pause.sites)}"


def describe_wait(pause: Pause, now: float | None = None) -> str:
    """Of a run that failed, who was away and since when: it may have gone on without them meanwhile."""
    return f"having waited for {', '.join(pause.sites)} since {tell_clock(pause.since, now)}"


def describe_return(pause: Pause) -> str:
    """How a run is continued that ended in a pause, or without one."""
    return (
        f"--resume goes on once {', '.join(pause.sites)} can be reached"
        if pause.sites
        else "--resume goes on"
    )
