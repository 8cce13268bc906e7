"""Where a study stands, in words: for a terminal, a page, and `rhe-server status`."""

from __future__ import annotations

import time
from collections.abc import Iterator

from common.runtime.watch.board import Board, Fact, ShownBar, ShownParty, Tone
from common.runtime.watch.plain_times import read_moment, tell_clock, tell_length, tell_size
from server.watch.event_words import describe_pause, describe_return, describe_wait
from server.watch.study_state import RunState, SiteContact, TrainingProgress

_LOCAL = "local-"
_MOST_TRAININGS = 4
_MOST_STEPS = 3


def describe_study(state: RunState, *, is_running: bool = True, now: float | None = None) -> Board:
    """The board of a study.

    Parameters
    ----------
    state : RunState
        As it is, or as its file says.
    is_running : bool
        Whether a process works on it.
    now : float, optional
        Seconds since 1970; by default the present.
    """
    at = time.time() if now is None else now
    condition, tone = _describe_condition(state, at, is_running=is_running)
    return Board(
        title=state.name or "study",
        condition=condition,
        tone=tone,
        bars=tuple(_list_bars(state, at)),
        parties=tuple(_describe_site(site, state, at, is_running=is_running) for site in state.sites),
        facts=tuple(_list_facts(state, at)),
        lines=state.lines,
    )


def describe_time_left(state: RunState) -> str:
    """How long it will still take: ``about 2 h 5 min``, or why that is not known."""
    seconds = state.time_left.seconds
    if seconds is None:
        return state.time_left.basis
    # Nobody knows how long it waits
    later = ", once it goes on" if state.condition == "paused" else ""
    return f"about {tell_length(max(round(seconds), 1))}{later}"


def _describe_condition(state: RunState, now: float, *, is_running: bool) -> tuple[str, Tone]:
    if state.ended:
        return _describe_end(state, now)
    if not is_running:
        at = f"killed at {tell_clock(state.updated, now)} or a little later (no end was written)"
        return f"not running, {at}{_describe_during(state, now)}; {describe_return(state.pause)}", "bad"
    if state.condition == "paused":
        return (
            f"paused, waiting for {', '.join(state.pause.sites)} since {tell_clock(state.pause.since)}",
            "waiting",
        )
    if state.phases and all(phase.seconds is not None for phase in state.phases):
        return f"writing results; running since {tell_clock(state.started, now)}", "busy"
    return (
        f"running since {tell_clock(state.started, now)}" if state.started else "is being started"
    ), "busy"


def _describe_end(state: RunState, now: float) -> tuple[str, Tone]:
    ended = tell_clock(state.ended, now)
    if state.condition == "finished":
        took = _tell_age(state.started, read_moment(state.ended) or now)
        return f"finished at {ended}, after {took}", "good"
    if state.condition == "failed":
        waited = f", {describe_wait(state.pause, now)}" if state.pause.sites else ""
        return f"not running, failed at {ended}{waited}: {state.ending}", "bad"
    during = _describe_during(state, now)
    return f"not running, interrupted at {ended}{during}; {describe_return(state.pause)}", "waiting"


def _describe_during(state: RunState, now: float) -> str:
    return f" while {describe_pause(state.pause, now)}" if state.pause.sites else ""


def _list_bars(state: RunState, now: float) -> Iterator[ShownBar]:
    ended = sum(phase.seconds is not None for phase in state.phases)
    if state.condition == "finished":
        yield ShownBar("phases", len(state.phases), len(state.phases))
        return
    going = [phase.name for phase in state.phases if phase.goes_on]
    if state.phases:
        at = min(ended + bool(going), len(state.phases))
        yield ShownBar("phase", at, len(state.phases), f"now {', '.join(going)}" if going else "")
    if state.steps.of:
        yield ShownBar("steps", state.steps.done, state.steps.of)
    for training in _choose_trainings(state):
        name = f"{training.model}, {training.arm}"
        if training.arm.startswith(_LOCAL):
            yield _describe_local(name, training, state, now)
        else:
            yield ShownBar(name, training.round, training.of, _describe_training(training))


def _choose_trainings(state: RunState) -> list[TrainingProgress]:
    """Those that go on, the federated ones first: of a local one, only its end is heard."""
    going = [training for training in state.trainings if not training.is_done]
    return sorted(going, key=lambda training: training.arm.startswith(_LOCAL))[:_MOST_TRAININGS]


def _describe_local(label: str, training: TrainingProgress, state: RunState, now: float) -> ShownBar:
    """Who trains alone, for how long and at which epoch; what comes of it, only its end tells."""
    name = training.arm.removeprefix(_LOCAL)
    site = next((site for site in state.sites if site.name == name), None)
    if site is None or not site.owes or f"{training.model} {training.arm}" not in site.asked:
        return ShownBar(label, 0, 0, "at its site, which tells of its end")
    told = f"{name} trains {training.model} alone, for {_tell_age(site.asked_at, now)}"
    if site.epochs:
        told += f", epoch {site.epoch} of {site.epochs}"
    return ShownBar(label, site.epoch, site.epochs, told)


def _describe_training(training: TrainingProgress) -> str:
    told = [] if training.loss is None else [f"loss {training.loss:.4f}"]
    if training.withheld:
        told.append(f"validation AUC {training.withheld}")
    elif training.validation_auc is not None:
        told.append(f"validation AUC {training.validation_auc:.3f} (round {training.judged})")
    return ", ".join(told)


def _describe_site(site: SiteContact, state: RunState, now: float, *, is_running: bool) -> ShownParty:
    heard = f"last heard at {tell_clock(site.heard, now)}" if site.heard else "not heard of in this run"
    if not is_running or state.condition not in {"running", "paused"}:
        return ShownParty(site.name, heard, "quiet")
    if site.name in state.pause.sites or (site.heard and not site.connected and not site.owes):
        return ShownParty(site.name, f"cannot be reached; {heard}", "waiting")
    if site.owes and not site.connected:
        # It was found among those that have a link here
        return ShownParty(
            site.name, f"connected, asked {_tell_age(site.asked_at, now)} ago who it is", "busy"
        )
    if site.owes:
        epoch = f", epoch {site.epoch} of {site.epochs}" if site.epochs else ""
        told = f"at work for {_tell_age(site.asked_at, now)}: {site.asked}{epoch}"
        return ShownParty(site.name, told, "busy")
    if site.connected:
        asked = f": {site.asked}" if site.asked else ""
        return ShownParty(site.name, f"answered {_tell_age(site.heard, now)} ago{asked}", "good")
    return ShownParty(site.name, "not connected yet" if not site.heard else heard, "waiting")


def _list_facts(state: RunState, now: float) -> Iterator[Fact]:
    if state.condition in {"running", "paused"}:
        yield Fact("time left", describe_time_left(state))
        if state.steps.now:
            yield Fact("steps now", ", ".join(state.steps.now[-_MOST_STEPS:]))
    traffic = state.traffic
    yield Fact("messages", f"{traffic.messages:,} in {traffic.rounds:,} rounds")
    yield Fact("sent", tell_size(traffic.bytes_sent))
    yield Fact("received", tell_size(traffic.bytes_received))
    yield Fact("disk free", tell_size(state.disk_free_bytes))
    if state.run:
        yield Fact("run", f"{state.run}, begun at {tell_clock(state.started, now)}")


def _tell_age(moment: str, now: float) -> str:
    at = read_moment(moment)
    return "an unknown time" if at is None else tell_length(float(max(int(now - at), 0)))
