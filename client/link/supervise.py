"""What `rhe-client start` does: keep the engine and the link to the coordinator alive, and end both together.

The engine reads patients' files and has no network; the link has the network and reads none. A coordinator
notices a killed link only after about 45 seconds and refuses its successor until then: it is tried again.
"""

from __future__ import annotations

import logging
import re
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from client.membership.membership import Membership
from common.errors import ExchangeError, SiteError
from common.runtime.processes import (
    LOOPBACK,
    Child,
    ShowLine,
    adopt_descendants,
    flower_environment,
    start_child,
    stop_child,
)
from common.runtime.storage import lock_folder, make_private_folder

_log = logging.getLogger(__name__)

_POLL_S = 0.5
_PATIENCE_S = 180.0
"""How long a refused link is tried again, in seconds; at least 90, see above."""
_PAUSE_S = 5.0
_FINAL_EXIT_CODES = {
    302: "the node's key is damaged -> restore it, or init again and send the new card",
    604: "a file of the link is missing -> init again",
    606: "coordinator and hospital run different versions of Flower -> install the same rhe",
}
_ENGINE_FAILURES = 3
_ENGINE_WINDOW_S = 120.0


def find_free_port() -> int:
    """A TCP port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def keep_site(member: Membership, address: str | None, say: ShowLine) -> None:
    """Run engine and link until Ctrl-C or SIGTERM, and start again whichever dies.

    Parameters
    ----------
    member : Membership
        The site, which has joined and approved a study.
    address : str or None
        Where the coordinator is reached, if not as the invitation says (through a proxy).
    say : callable
        Shows a line to the user.

    Raises
    ------
    RheError
        If the plan is not approved, or engine or link cannot run.
    """
    member.read_approved_plan()
    with lock_folder(make_private_folder(member.link_home)), adopt_descendants():
        supervisor = _Supervisor(member, address or member.invitation.address, say)
        try:
            supervisor.begin()
            while True:
                supervisor.look_after()
                time.sleep(_POLL_S)
        finally:
            supervisor.end()


@dataclass
class _Supervisor:
    """Engine and link of one site."""

    member: Membership
    address: str
    say: ShowLine
    _engine: Child | None = None
    _link: Child | None = None
    _connected: bool = False
    _engine_deaths: list[float] = field(default_factory=list)
    _refused_since: float | None = None
    _next_link: float = 0.0

    def begin(self) -> None:
        """Start engine and link."""
        self._engine = self._start_engine()
        self._link = self._start_link()
        self.say(
            f"{self.member.settings.name}: engine and link to {self.address} are started; Ctrl-C ends both"
        )

    def look_after(self) -> None:
        """Start again what has died, and show when the coordinator has let the link in."""
        if self._engine is not None and not self._engine.running:
            self._engine = self._replace_engine(self._engine)
        if self._link is None:
            if time.monotonic() >= self._next_link:
                self._link = self._start_link()
        elif not self._link.running:
            self._handle_dead_link(self._link)
            self._link = None
        elif not self._connected and "SuperNode ID:" in self._link.tail():
            self._connected, self._refused_since = True, None
            self.say(f"{self.member.settings.name}: connected to {self.address}")

    def end(self) -> None:
        """End the link first, so that it signs off, then the engine."""
        for child in (self._link, self._engine):
            if child is not None:
                stop_child(child)

    def _start_engine(self) -> Child:
        member = self.member
        program = str(Path(sys.executable).with_name("rhe-client"))
        command = [program, "engine", str(member.folder), "--state", str(member.state)]
        return start_child("engine", command, log=member.logs / "engine.log")

    def _replace_engine(self, dead: Child) -> Child:
        status = dead.process.returncode
        if status > 0:
            lines = dead.tail().strip().splitlines()
            raise SiteError(f"the engine cannot run: {lines[-1] if lines else f'exit code {status}'}")
        now = time.monotonic()
        self._engine_deaths = [*(at for at in self._engine_deaths if now - at < _ENGINE_WINDOW_S), now]
        if len(self._engine_deaths) > _ENGINE_FAILURES:
            raise SiteError(f"the engine died {len(self._engine_deaths)} times in a row -> see {dead.log}")
        self.say(
            f"{self.member.settings.name}: the engine was killed (signal {-status}) and is started again"
        )
        return self._start_engine()

    def _start_link(self) -> Child:
        member = self.member
        self._connected = False
        command = [
            str(Path(sys.executable).with_name("flower-supernode")),
            *("--superlink", self.address),
            *("--root-certificates", str(member.authority)),
            *("--auth-supernode-private-key", str(member.link_key)),
            *("--host", LOOPBACK, "--port", str(find_free_port())),
            *("--node-config", f'engine="unix:{member.socket}"'),
        ]
        return start_child("link", command, flower_environment(member.link_home), member.logs / "link.log")

    def _handle_dead_link(self, dead: Child) -> None:
        codes = [int(code) for code in re.findall(r"Exit Code: (\d+)", dead.tail())]
        name = self.member.settings.name
        for code in codes:
            if code in _FINAL_EXIT_CODES:
                raise SiteError(f"the link cannot run: {_FINAL_EXIT_CODES[code]}")
        now = time.monotonic()
        if self._connected or self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since > _PATIENCE_S:
            raise ExchangeError(
                f"the coordinator at {self.address} refuses this site's node -> send it {self.member.card}, "
                f"and see that no second rhe-client runs for {name}; details in {dead.log}"
            )
        self._next_link = now + _PAUSE_S
        self.say(f"{name}: the link ended ({_explain_exit(codes)}); trying again in {_PAUSE_S:.0f} s")


def _explain_exit(codes: list[int]) -> str:
    if 305 in codes:
        return "the coordinator does not let it in: not enrolled yet, or a killed predecessor counts for 45 s"
    return "it was killed"
