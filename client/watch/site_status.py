"""`rhe-client status`: what a site's engine is at, by its files alone; it starts nothing and loads little."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from client.watch.site_board import describe_site_state
from client.watch.site_state import WATCH_FOLDER, EngineState, read_site_state
from common.errors import SiteError
from common.runtime.accounts import account_of, become
from common.runtime.storage import is_taken


@dataclass(frozen=True)
class SiteStatus:
    """What can be told of one site.

    Attributes
    ----------
    state : EngineState
        As its file says.
    is_running : bool
        Whether an engine is at work now.
    """

    state: EngineState
    is_running: bool

    def write_json(self) -> str:
        """One JSON object: the state, and whether the engine runs."""
        told = {"is_running": self.is_running, **self.state.write_json()}
        return json.dumps(told, ensure_ascii=False, indent=2)

    def write_lines(self) -> list[str]:
        """The state in words."""
        return describe_site_state(self.state, is_running=self.is_running).write_text()


def find_site_status(folder: Path, state: Path) -> SiteStatus:
    """The status of a site; root goes on as the state's owner.

    Parameters
    ----------
    folder : Path
        The site's folder, for messages.
    state : Path
        Its state.

    Raises
    ------
    SiteError
        If no engine has run there.
    StorageError
        If the state cannot be read.
    """
    missing = SiteError(
        f"{folder}: no engine has run here with this rhe -> rhe-client start {folder}; if its state is "
        "elsewhere, name it with --state; of a simulation in one process rhe-server status tells"
    )
    if not state.is_dir():
        raise missing
    if os.geteuid() == 0:
        become(account_of(state.stat().st_uid))
    # First: what ends between the two looks has ended
    is_running = is_taken(state / WATCH_FOLDER)
    written = read_site_state(state)
    if written is None:
        raise missing
    return SiteStatus(written, is_running)
