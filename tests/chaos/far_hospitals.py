"""Hospitals that are far: a gateway between that dies, and a wire that loses packets."""

from __future__ import annotations

import signal
import time
from functools import partial

import psutil

from tests.chaos.deaths import kill_superlink
from tests.chaos.disturbed import Disturbed, Fault, Happening
from tests.chaos.lossy_wire import LOST
from tests.chaos.small_study import kill_hard, wait_until


def kill_gateway(at: Happening, away_s: float = 0.0) -> None:
    """nginx and its workers; for so long nobody starts it again."""
    keeper = psutil.Process(at.study.find("coordinator").process.pid)
    if away_s:
        keeper.send_signal(signal.SIGSTOP)
    found = [child for child in keeper.children(recursive=True) if child.name() == "nginx"]
    if not found:
        raise LookupError("no nginx is at work")
    for process in found:
        kill_hard(process)
    if away_s:
        time.sleep(away_s)
        keeper.send_signal(signal.SIGCONT)


def spoil_wire(at: Happening) -> None:
    """From now on the wire is late and loses packets, until the end; five at once."""
    wire = at.study.find("wire")
    wire.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: LOST in wire.tail(), "packets that are lost", 60)


_FIRST_ASK = "b: not connected: .* -> ask the coordinator whether `rhe-server start` runs; if it does"

GATEWAYS = (
    Disturbed(
        "gateway",
        (
            Fault(
                "kill -9 of the gateway (nginx)",
                "cohort",
                kill_gateway,
                here="nginx died .* hospitals come back by themselves",
            ),
            Fault(
                "gateway killed, and away for 20 s",
                "regression",
                partial(kill_gateway, away_s=20),
                here="nginx died .* hospitals come back by themselves",
                there=_FIRST_ASK,
            ),
            Fault(
                "kill -9 of the SuperLink behind the gateway",
                "evaluation",
                kill_superlink,
                here="SuperLink.* is started again|the SuperLink is back",
                there=r"the gateway at .* \(HTTP 502\) -> ask the coordinator whether",
            ),
        ),
        gateway="nginx",
    ),
    Disturbed(
        "wire",
        (Fault("200 ms late, 5 % of IP packets lost", "evaluation", spoil_wire, bound_s=150),),
        gateway="nginx",
        wire=True,
    ),
)
"""Studies whose hospitals reach the coordinator through its gateway."""
