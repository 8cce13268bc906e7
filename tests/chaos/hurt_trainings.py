"""Networks in training: who trains dies, has no memory, takes longer than an engine may stand still."""

from __future__ import annotations

import signal
import time
from functools import partial

from tests.chaos.deaths import (
    kill_coordinator,
    kill_engine,
    kill_link,
    kill_run,
    kill_site,
    kill_superlink,
    leave_and_return,
)
from tests.chaos.disturbed import Disturbed, Fault, Happening
from tests.chaos.small_plans import NETWORK, NETWORKS, SHORT
from tests.chaos.small_study import SHIFTED, find_process, wait_until

_STALL_S = 60
SLOW = {"PYTHONPATH": str(SHIFTED), "RHE_CHAOS_STEP": "0.4"}
"""Makes a local training of the small network take some seconds, and so be met by the fault."""
SLOWER = SLOW | {"RHE_CHAOS_STEP": "8.5"}
TOO_LARGE = {"PYTHONPATH": str(SHIFTED), "RHE_CHAOS_MEMORY": "b:wide"}
KILLED = r"run \d+ of this study said nothing of its end: it was killed.* goes on from there"


def stop_engine_until_told(at: Happening, name: str) -> None:
    """An engine that stands still; once that is told a person starts the site again, as the message says."""
    engine = find_process(at.study.find(name), "rhe-client", "engine")
    engine.send_signal(signal.SIGSTOP)
    log = at.study.folder / "study.log"
    size = log.stat().st_size
    wait_until(
        lambda: (
            "makes no progress" in log.read_text(errors="replace")[size:]
            or not at.study.find("study").running
        ),
        "word of the engine",
        90,
    )
    there = at.study.folder / f"{name}.log"
    wait_until(lambda: "not got on" in there.read_text(errors="replace"), f"word of the engine at {name}", 10)
    leave_and_return(at, name, 0)


def wait_until_told_of_memory(at: Happening) -> None:
    """The batch of one network does not fit; nobody does anything."""
    log = at.study.folder / "study.log"
    wait_until(
        lambda: "E_MEMORY" in log.read_text(errors="replace") or not at.study.find("study").running,
        "word of the memory",
        120,
    )


def wait_until_trained(at: Happening) -> None:
    """Nothing happens but a training that lasts longer than the stall limit."""
    begun = time.monotonic()
    log = at.study.folder / "study.log"
    size = log.stat().st_size
    wait_until(
        lambda: ": round 1 of 2" in log.read_text(errors="replace")[size:], "the end of the round", 200
    )
    lasted = time.monotonic() - begun
    if lasted <= _STALL_S:
        raise RuntimeError(f"the training took {lasted:.0f} s, the stall limit is {_STALL_S} s")


def kill_link_of_busy_engine(at: Happening, name: str) -> None:
    """The link that asked for a training is killed while it lasts: its successor meets a busy engine."""
    log = at.study.folder / f"{name}.log"
    wait_until(lambda: "asked: training" in log.read_text(errors="replace"), "the training", 120)
    kill_link(at, name)


def _in_round(number: int, fault: Fault) -> Fault:
    return Fault(
        f"{fault.title}, in round {number}",
        "training",
        fault.happen,
        fault.here,
        fault.there,
        fault.bound_s,
        rf"^train .*round {number}\b",
    )


def _engine(name: str) -> Fault:
    there = f"{name}: the engine was killed .* started again"
    return Fault(f"kill -9 of the engine of {name}", "", partial(kill_engine, name=name), there=there)


def _link(name: str) -> Fault:
    there = f"{name}: the link was killed .* started again"
    return Fault(f"kill -9 of the link of {name}", "", partial(kill_link, name=name), there=there)


def _power(name: str) -> Fault:
    there = f"{name}: connected to"
    return Fault(f"power loss at {name}", "", partial(kill_site, name=name), there=there)


_RUN = Fault("kill -9 of the coordinator's run", "", kill_run, here=KILLED)
_OFFICE = Fault(
    "power loss at the coordinator", "", kill_coordinator, here=KILLED, there="not connected: .*->"
)
_SUPERLINK = Fault(
    "kill -9 of the SuperLink",
    "",
    kill_superlink,
    here="the SuperLink is back",
    there="not connected: .* -> ask the coordinator whether",
)

TRAININGS = (
    Disturbed(
        "networks",
        (
            _in_round(1, _engine("b")),
            _in_round(2, _link("b")),
            _in_round(3, _RUN),
            _in_round(4, _SUPERLINK),
        ),
        plan=NETWORK,
        burden=SLOW,
    ),
    Disturbed(
        "networks-dark",
        (_in_round(2, _power("b")), _in_round(4, _OFFICE)),
        plan=NETWORK,
        burden=SLOW,
    ),
    Disturbed(
        "networks-five",
        (
            _in_round(1, _engine("c")),
            _in_round(2, _link("d")),
            _in_round(3, _RUN),
            _in_round(4, _power("e")),
            _in_round(5, _OFFICE),
        ),
        names=("a", "b", "c", "d", "e"),
        plan=NETWORK,
        burden=SLOW,
    ),
    Disturbed(
        "memory",
        (
            Fault(
                "GPU of b out of memory for a network",
                "training",
                wait_until_told_of_memory,
                here="wide, federated: b: .*E_MEMORY.* -> free it there",
                there="training of wide, federated, round 1: no result .*out of memory -> free the GPU",
                bound_s=240,
            ),
        ),
        plan=NETWORKS,
        burden=TOO_LARGE,
    ),
    Disturbed(
        "stall",
        (
            Fault(
                f"a local training of 68 s, stall limit {_STALL_S} s",
                "training",
                wait_until_trained,
                bound_s=240,
                asked=r"^train .*round 1\b",
                never="makes no progress|E_STALLED|paused",
            ),
            Fault(
                f"engine of b stands still (SIGSTOP), stall limit {_STALL_S} s",
                "training",
                partial(stop_engine_until_told, name="b"),
                here="waiting for b since .*makes no progress.* -> ",
                there="b: .*(no progress|stands still|not got on).*->",
                bound_s=240,
                asked=r"^train .*round 2\b",
            ),
        ),
        plan=SHORT,
        burden=SLOWER,
        options=("--wait", "0.1", "--stall", str(_STALL_S)),
    ),
    Disturbed(
        "asked-again",
        (
            Fault(
                f"kill -9 of the link of b in a training of 88 s, stall limit {_STALL_S} s",
                "training",
                partial(kill_link_of_busy_engine, name="b"),
                there=_link("b").there,
                bound_s=240,
                asked=r"^train .*round 1\b",
                never="makes no progress|E_STALLED|not got on",
            ),
        ),
        plan=SHORT,
        # What the successor asks waits longer than the limit, also if it comes late
        burden=SLOW | {"RHE_CHAOS_STEP": "11"},
        options=("--wait", "0.1", "--stall", str(_STALL_S)),
    ),
)
"""Studies whose networks are disturbed while they are trained."""
