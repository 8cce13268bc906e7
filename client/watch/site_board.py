"""What a hospital's engine is at, in words: for a terminal, a page, and `rhe-client status`."""

from __future__ import annotations

import time
from collections.abc import Iterator

from client.watch.site_state import Computation, EngineState
from common.runtime.watch.board import Board, Fact, ShownBar, ShownParty, Tone
from common.runtime.watch.plain_times import read_moment, tell_clock, tell_length, tell_size

_QUIET_S = 120.0
"""Without a question, until it is said why there may be none."""


def describe_site_state(
    state: EngineState, *, is_running: bool = True, connection: str = "", now: float | None = None
) -> Board:
    """The board of a site.

    Parameters
    ----------
    state : EngineState
        As its file says.
    is_running : bool
        Whether an engine is at work.
    connection : str
        Whether its link reaches the coordinator, in words; empty where that is not known.
    now : float, optional
        Seconds since 1970; by default the present.
    """
    at = time.time() if now is None else now
    condition, tone = _describe_condition(state, at, is_running=is_running)
    if is_running and not state.computing.what and not connection.startswith("not connected"):
        condition += _explain_quiet(state, at)
    heard = f"last question {_tell_age(state.heard, at)} ago" if state.heard else "has not asked yet"
    words = "; ".join(part for part in (connection, heard) if part)
    return Board(
        title=f"{state.site}, study {state.study}" if state.study else state.site or "site",
        condition=condition,
        tone=tone,
        bars=tuple(_list_bars(state.computing)) if is_running else (),
        parties=(ShownParty("coordinator", words, _choose_tone(state, connection)),),
        facts=tuple(_list_facts(state, at)),
        lines=state.lines,
    )


def _describe_condition(state: EngineState, now: float, *, is_running: bool) -> tuple[str, Tone]:
    if state.closed and not state.computing.what:
        return _describe_closed(state, now, is_running=is_running)
    if not is_running and state.ended:
        return f"not running, ended at {tell_clock(state.ended, now)}; rhe-client start goes on", "waiting"
    if not is_running:
        last = tell_clock(state.updated, now)
        return f"not running, killed at {last} or a little later; rhe-client start goes on", "bad"
    if state.computing.what:
        return f"computes for {_tell_age(state.computing.since, now)}: {state.computing.what}", "busy"
    return "waits for the coordinator's next question", "good"


def _describe_closed(state: EngineState, now: float, *, is_running: bool) -> tuple[str, Tone]:
    told = f"all questions of this study were answered ({tell_clock(state.closed, now)})"
    again = "should the coordinator go on with --resume, start it again"
    if is_running:
        return f"{told}: Ctrl-C may end this site; {again}", "good"
    return f"not running; {told}; {again}", "quiet"


def _explain_quiet(state: EngineState, now: float) -> str:
    """Why no question may have come for minutes within a study; empty if one has, or none is to come."""
    moments = (read_moment(state.heard), read_moment(state.answered_at))
    quiet = now - max((at for at in moments if at is not None), default=now)
    if quiet < _QUIET_S or state.closed:
        return ""
    told = f"none for {tell_length(float(int(quiet)))}: another hospital may be at work or away"
    return f" ({told}; the coordinator sees which)"


def _choose_tone(state: EngineState, connection: str) -> Tone:
    if connection.startswith("not connected"):
        return "bad"
    return "good" if state.heard else "quiet"


def _list_bars(computing: Computation) -> Iterator[ShownBar]:
    if computing.part == "epoch" and computing.of:
        yield ShownBar("epoch", computing.done, computing.of)
    elif computing.of:
        yield ShownBar("done", computing.done, computing.of, "percent")


def _list_facts(state: EngineState, now: float) -> Iterator[Fact]:
    if state.phase and not state.closed:
        yield Fact("phase", state.phase)
    left = ", ".join(f"{number:,} {kind}" for kind, number in sorted(state.left.answers.items()))
    yield Fact("left today (UTC)", left or "nothing")
    yield Fact("answers since the start", f"{state.answered:,}")
    if state.memory.total_bytes:
        used, total = tell_size(state.memory.used_bytes), tell_size(state.memory.total_bytes)
        yield Fact("GPU memory", f"{used} of {total}")
    yield Fact("disk free", tell_size(state.disk_free_bytes))
    yield Fact("engine", f"process {state.pid}, begun at {tell_clock(state.started, now)}")


def _tell_age(moment: str, now: float) -> str:
    at = read_moment(moment)
    return "an unknown time" if at is None else tell_length(float(max(int(now - at), 0)))
