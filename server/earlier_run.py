"""What became of the run before this one, where whoever resumes the study has to know it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from common.errors import StorageError
from common.runtime.watch.plain_times import tell_clock
from server.watch.event_words import describe_pause
from server.watch.study_state import RunState, read_study_state


def describe_earlier_run(folder: Path) -> str:
    """That the last run of the study in a folder was killed, or finished it, and what this run then does.

    Empty if it said its end itself and there is something left to do.

    To be asked before this run writes its own state there.

    Parameters
    ----------
    folder : Path
        Of the study; this process alone works in it.
    """
    state = None
    with suppress(StorageError):
        # A damaged one is written anew
        state = read_study_state(folder)
    if state is not None and state.condition == "finished":
        return (
            f"this study was finished {tell_clock(state.ended)}: its results are in {folder}; all is "
            "computed again from what is kept here and at the sites, to the same numbers, and the report "
            f"gets a new date; rhe-server report {folder / 'results.json'} only writes the page anew"
        )
    if state is None or state.ended:
        return ""
    return (
        f"run {state.run} of this study said nothing of its end: it was killed, or its computer went off, "
        f"after {tell_clock(state.updated)}{_describe_place(state)}; this run goes on from there, what was "
        "done is read from this folder, what was in hand is asked again"
    )


def _describe_place(state: RunState) -> str:
    """Where the run was, such as " in training (flat, federated: 3 of 8 rounds done)"."""
    phases = ", ".join(phase.name for phase in state.phases if phase.goes_on)
    trainings = ", ".join(
        f"{training.model}, {training.arm}: {training.round} of {training.of} rounds done"
        for training in state.trainings
        if not training.is_done
    )
    place = f" in {phases}" if phases else ""
    waited = f", {describe_pause(state.pause)}" if state.pause.sites else ""
    return f"{place} ({trainings}){waited}" if trainings else f"{place}{waited}"
