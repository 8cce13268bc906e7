"""What is kept no longer than needed: rounds and sessions past their deadline, and those an operator ends.

It takes neither the plan nor the engine, so that it can be done after a study has died.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from common.secagg.codes import SecAggError
from common.secagg.site.files import SiteFiles
from common.secagg.site.history import Ended
from common.secagg.site.rules import Clock
from common.secagg.site.session import forget_keys
from common.secagg.site.state import read_state
from common.secagg.wire.messages import NO_DIGEST, RoundRequest

_UNREADABLE_AGE_S = 7 * 86_400
"""How long a state that cannot be read stays after its last writing: no deadline lies farther ahead."""


@dataclass(frozen=True)
class OpenFolder:
    """What a phase has on the disk.

    Attributes
    ----------
    path : Path
        The phase's folder.
    request : RoundRequest or None
        The question of its round or session; None if there is no state, or none that can be read.
    hdr : str
        SHA-256 of the question's header, 64 hexadecimal digits; empty without a question.
    has_state : bool
        False if its process was killed before the round or session was open.
    touched_s : float
        When something in it was written last, Unix time in seconds.
    """

    path: Path
    request: RoundRequest | None
    hdr: str
    has_state: bool
    touched_s: float

    def __str__(self) -> str:
        """In words, for a terminal: phase, number, and until when it is open."""
        if self.request is None:
            return f"{self.path.name}: what cannot be read any more"
        asked = self.request
        until = datetime.fromtimestamp(asked.deadline, UTC)
        return f"{asked.phase}: {asked.mode} {asked.round}, until {until:%Y-%m-%d %H:%M} UTC"

    @property
    def phase(self) -> str:
        """Name of the phase; empty if it is unknown."""
        return "" if self.request is None else self.request.phase

    def why_expired(self, now: int) -> str:
        """Why it has to be erased at this Unix time, in seconds; empty if it has not."""
        if not self.has_state:
            return "orphan"
        if self.request is None:
            return "damaged" if self.touched_s + _UNREADABLE_AGE_S < now else ""
        return "deadline" if self.request.deadline < now else ""


def list_open(files: SiteFiles, phase: str | None = None) -> list[OpenFolder]:
    """What a phase, by default every one, has on the disk, be it damaged, or older than the witness."""
    folders = [_look_into(path) for path in files.list_folders()]
    return [folder for folder in folders if phase is None or folder.phase == phase]


def sweep(files: SiteFiles, clock: Clock) -> int:
    """How many rounds and sessions were erased because their deadline is past.

    It does not wait for a message. What processes left that were killed before their round was open is
    erased, too, and so is what cannot be read any more, a week after it was written.

    Raises
    ------
    SecAggError
        E_BUSY if a message is being answered.
    StorageError
        If a line cannot be written; all the same everything is erased.
    """
    with files.lock_unchecked():
        return sweep_locked(files, clock)


def sweep_locked(files: SiteFiles, clock: Clock) -> int:
    """Like `sweep`, for a caller that already holds the lock."""
    folders = list_open(files)
    expired = [(folder, why) for folder in folders if (why := folder.why_expired(clock()))]
    _erase(files, clock, expired)
    if len(expired) == len(folders):
        forget_keys(files.folder)
    return len(expired)


def erase_open(files: SiteFiles, clock: Clock, phase: str | None = None) -> list[OpenFolder]:
    """What was open and is erased now, at the wish of the site's operator.

    The coordinator is told E_ABORTED when it next asks about it.

    Parameters
    ----------
    files : SiteFiles
    clock : callable
        Tells the time.
    phase : str, optional
        Name of the phase; by default all phases.

    Raises
    ------
    SecAggError
        E_BUSY if a message is being answered; E_NO_STATE if nothing is open; E_RESTORED or E_STATE_CORRUPT
        as `SiteFiles.lock`.
    """
    with files.lock():
        folders = list_open(files, phase)
        if not folders:
            raise SecAggError(f"nothing is open{f' in phase {phase}' if phase else ''}", code="E_NO_STATE")
        for folder in folders:
            if folder.phase:
                files.record(Ended(phase=folder.phase, hdr=folder.hdr, status="aborted", result=NO_DIGEST))
        _erase(files, clock, [(folder, "aborted") for folder in folders])
        forget_keys(files.folder)
        return folders


def write_erased(folders: list[OpenFolder]) -> str:
    """What was erased, for a program: one JSON object; what could not be read has its folder's name alone."""
    entries = [
        {"folder": folder.path.name}
        if (asked := folder.request) is None
        else {
            "folder": folder.path.name,
            "phase": asked.phase,
            "mode": asked.mode,
            "round": asked.round,
            "deadline": asked.deadline,
            "hdr": folder.hdr,
        }
        for folder in folders
    ]
    return json.dumps({"erased": entries}, indent=2)


def _look_into(path: Path) -> OpenFolder:
    touched_s = max((file.stat().st_mtime for file in path.iterdir()), default=0.0)
    try:
        state = read_state((path / "state").read_bytes())
        return OpenFolder(path, state.asked, state.hdr, has_state=True, touched_s=touched_s)
    except FileNotFoundError:
        return OpenFolder(path, None, "", has_state=False, touched_s=touched_s)
    except (OSError, SecAggError, ValueError):
        return OpenFolder(path, None, "", has_state=True, touched_s=touched_s)


def _erase(files: SiteFiles, clock: Clock, folders: list[tuple[OpenFolder, str]]) -> None:
    # All of it, before a line that cannot be written stops anything
    for folder, _ in folders:
        files.wipe_folder(folder.path)
        if folder.request is not None:
            files.models_of(folder.request.phase).drop()
    for folder, why in folders:
        line: dict[str, object] = {"event": "ERASE", "time": clock(), "reason": why}
        asked = folder.request
        if asked is not None:
            line |= {"study": asked.study, "plan": asked.plan, "roster": asked.roster}
            line |= {"phase": asked.phase, "round": asked.round, "hdr": folder.hdr}
        files.audit.append({**line, **files.describe_history()})
