"""The lines of the link's log that a program may read: connected, or why not.

The supervisor shows them to the user; the words before the text are stable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

CONNECTED = "connected node="
"""Begins a line (after its time) each time the coordinator has let the link in, also after a lost line."""
REFUSED = "refused reason="
"""Begins a line (after its time) when the link is not connected, once for each new reason."""


class Trouble(StrEnum):
    """Why the link is not connected; the link goes on trying whatever the reason."""

    EXPIRED_CERTIFICATE = "expired-certificate"
    """The coordinator's certificate is no longer valid, or this computer's clock is fast."""
    EARLY_CERTIFICATE = "early-certificate"
    """The coordinator's certificate is not yet valid: this computer's clock is slow."""
    FOREIGN_AUTHORITY = "foreign-authority"
    """Another authority than the study's signed the certificate."""
    HOST_NAME = "host-name"
    """The certificate is for another name than the one that the link called."""
    CLIENT_CERTIFICATE = "client-certificate"
    """The gateway wants a client certificate, or refuses the one it got."""
    NO_TLS = "no-tls"
    """What answers does not speak TLS, or no version that both sides allow."""
    CLOCK = "clock"
    """The clocks of both sides differ by more than a signature may be old."""
    NOT_ENROLLED = "not-enrolled"
    """The coordinator does not know the site's key."""
    ALREADY_CONNECTED = "already-connected"
    """Another link is signed in with the same key, or was killed less than a minute ago."""
    UNREACHABLE = "unreachable"
    """Nobody answers: no such name, connection refused, timeout, or the line was cut."""
    PROXY = "proxy"
    """Something between answers instead of the coordinator."""
    OVERLOADED = "overloaded"
    """The coordinator's gateway limits how often it may be asked."""
    VERSION = "version"
    """Coordinator and site run different versions of Flower."""
    COORDINATOR = "coordinator"
    """The coordinator itself fails."""


@dataclass(frozen=True)
class LinkEvent:
    """What the link's log says of its connection.

    Attributes
    ----------
    trouble : Trouble or None
        Why it is not connected; None if it is.
    text : str
        For the user: what is wrong and what to do, or the node's number.
    """

    trouble: Trouble | None
    text: str


_FOREIGN = re.compile(r"[^0-9a-zA-Z._-]+")
_EVENT = re.compile(
    rf"^(?:\S+ )?(?:{CONNECTED}(?P<node>\d+)|{REFUSED}(?P<reason>[a-z-]+): (?P<text>.*))$", re.MULTILINE
)

_OUTCOME = re.compile(
    r"^(?:\S+ )?(?:answered message=.*|failed message=\S+ run=\d+ code=(?P<code>\w+): (?P<text>.*))$",
    re.MULTILINE,
)
_NOT_TAKEN = re.compile(r"^(?:\S+ )?failed message=\S+ run=\d+ code=E_CONTEXT: (?P<text>.*)$", re.MULTILINE)


def format_connected(node: int) -> str:
    """The line, without its time, that says that the coordinator has let the link in."""
    return f"{CONNECTED}{node}"


def format_refused(trouble: Trouble, text: str) -> str:
    """The line, without its time, that says why the link is not connected; line breaks become spaces."""
    return f"{REFUSED}{trouble.value}: {' '.join(text.split())}"


def shorten_name(name: str) -> str:
    """The beginning of a name that the other end chose, without what could end a line or move a cursor."""
    return _FOREIGN.sub("", name[:200])[:12] or "unnamed"


def find_last_event(log: str) -> LinkEvent | None:
    """The last event in the text of a log; None if it holds none."""
    events = list(_EVENT.finditer(log))
    if not events:
        return None
    last = events[-1]
    if last["node"] is not None:
        return LinkEvent(None, last["node"])
    known = {trouble.value: trouble for trouble in Trouble}
    return LinkEvent(known.get(last["reason"], Trouble.COORDINATOR), last["text"])


def find_not_taken(log: str) -> str:
    """Why the link took nothing of a run that asked last, as of another release; empty if it took all."""
    texts = _NOT_TAKEN.findall(log)
    return str(texts[-1]) if texts else ""


def find_stall(log: str) -> str:
    """Why the link gave up the last question, if because the engine stands still; otherwise empty."""
    outcomes = list(_OUTCOME.finditer(log))
    return str(outcomes[-1]["text"]) if outcomes and outcomes[-1]["code"] == "E_STALLED" else ""
