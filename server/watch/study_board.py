"""Where a study stands, in words: for a terminal, a page, and `rhe-server status`."""

from __future__ import annotations

import time
from collections.abc import Iterator

from common.runtime.watch.board import Bar, Board, Fact, Party, Tone
from common.runtime.watch.plain_times import read_moment, tell_clock, tell_length, tell_size
from server.watch.study_state import SiteContact, StudyState


def describe_study(state: StudyState, *, is_running: bool = True, now: float | None = None) -> Board:
    """The board of a study.

    Parameters
    ----------
    state : StudyState
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
        bars=tuple(_list_bars(state, is_running=is_running)),
        parties=tuple(_describe_site(site, state, at, is_running=is_running) for site in state.sites),
        facts=tuple(_list_facts(state, at)),
        lines=state.lines,
    )


def describe_time_left(state: StudyState) -> str:
    """How long it will still take: ``about 2 h 5 min``, or why that is not known."""
    seconds = state.time_left.seconds
    return state.time_left.basis if seconds is None else f"about {tell_length(max(seconds, 1.0))}"


def _describe_condition(state: StudyState, now: float, *, is_running: bool) -> tuple[str, Tone]:
    if state.ended:
        return _describe_end(state, now)
    if not is_running:
        last = tell_clock(state.updated, now)
        return (
            f"not running, killed at {last} or a little later (no end was written); --resume goes on",
            "bad",
        )
    if state.condition == "paused":
        return (
            f"paused, waiting for {', '.join(state.pause.sites)} since {tell_clock(state.pause.since)}",
            "waiting",
        )
    return (
        f"running since {tell_clock(state.started, now)}" if state.started else "is being started"
    ), "busy"


def _describe_end(state: StudyState, now: float) -> tuple[str, Tone]:
    ended = tell_clock(state.ended, now)
    if state.condition == "finished":
        took = _tell_age(state.started, read_moment(state.ended) or now)
        return f"finished at {ended}, after {took}", "good"
    if state.condition == "failed":
        return f"not running, failed at {ended}: {state.ending}", "bad"
    return f"not running, interrupted at {ended}; --resume goes on", "waiting"


def _list_bars(state: StudyState, *, is_running: bool) -> Iterator[Bar]:
    phase, training = state.phase, state.training
    if state.condition == "finished":
        yield Bar("all phases", phase.of, phase.of)
        return
    if phase.number:
        left = f"{describe_time_left(state)} left" if state.time_left.seconds else ""
        yield Bar(f"phase {phase.name}", phase.number, phase.of, left if is_running else "")
    if phase.name == "training" and training.model:
        yield Bar(f"{training.model}, {training.arm}", training.round, training.of, _describe_training(state))


def _describe_training(state: StudyState) -> str:
    training = state.training
    told = [] if training.loss is None else [f"loss {training.loss:.4f}"]
    if training.withheld:
        told.append(f"validation AUC {training.withheld}")
    elif training.validation_auc is not None:
        told.append(f"validation AUC {training.validation_auc:.3f} (round {training.judged})")
    return ", ".join(told)


def _describe_site(site: SiteContact, state: StudyState, now: float, *, is_running: bool) -> Party:
    heard = f"last heard at {tell_clock(site.heard, now)}" if site.heard else "not heard of in this run"
    if not is_running or state.condition not in {"running", "paused"}:
        return Party(site.name, heard, "quiet")
    if site.name in state.pause.sites:
        return Party(site.name, f"cannot be reached; {heard}", "waiting")
    if site.owes and site.connected:
        return Party(site.name, f"works on {site.asked} for {_tell_age(site.asked_at, now)}", "busy")
    if site.connected:
        return Party(
            site.name, f"answered {site.asked} {_tell_age(site.heard, now)} ago".replace("  ", " "), "good"
        )
    return Party(site.name, "not connected yet" if not site.heard else heard, "waiting")


def _list_facts(state: StudyState, now: float) -> Iterator[Fact]:
    if state.condition in {"running", "paused"}:
        yield Fact("time left", describe_time_left(state))
        if state.procedure.number:
            step = f"{state.procedure.number} of {state.procedure.of} ({state.procedure.name})"
            yield Fact("step", step)
    traffic = state.traffic
    yield Fact("messages", f"{traffic.messages:,} in {traffic.rounds:,} rounds")
    yield Fact("sent", tell_size(traffic.bytes_sent))
    yield Fact("received", tell_size(traffic.bytes_received))
    yield Fact("disk free", tell_size(state.disk_free_bytes))
    if state.run:
        yield Fact("run", f"{state.run}, begun at {tell_clock(state.started, now)}")


def _tell_age(moment: str, now: float) -> str:
    at = read_moment(moment)
    return "an unknown time" if at is None else tell_length(float(max(round(now - at), 0)))
