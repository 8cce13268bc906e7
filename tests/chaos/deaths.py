"""Processes that are killed, lines that are cut, sites that are away."""

from __future__ import annotations

import signal
import time
from functools import partial

import psutil

from common.runtime.processes import stop_child
from tests.chaos.disturbed import Disturbed, Fault, Happening
from tests.chaos.small_study import find_process, kill_hard


def kill_engine(at: Happening, name: str) -> None:
    """The engine of one hospital."""
    kill_hard(find_process(at.study.find(name), "rhe-client", "engine"))


def kill_link(at: Happening, name: str) -> None:
    """The link of one hospital."""
    kill_hard(find_process(at.study.find(name), "rhe-client", "link"))


def kill_superlink(at: Happening) -> None:
    """The coordinator's SuperLink."""
    kill_hard(find_process(at.study.find("coordinator"), "rhe-server", "superlink"))


def kill_site(at: Happening, name: str) -> None:
    """Everything at one hospital, as a power cut does; a person starts it again after 5 s."""
    _kill_all(at, name)
    time.sleep(5)
    at.study.connect_site(name)


def kill_run(at: Happening) -> None:
    """The coordinator's run; a person runs it again."""
    kill_hard(find_run(at))
    at.await_end(30)
    at.resume()


def kill_coordinator(at: Happening) -> None:
    """Run, supervisor and SuperLink of the coordinator, as a power cut does; a person starts both again."""
    kill_hard(find_run(at))
    _kill_all(at, "coordinator")
    at.await_end(30)
    at.study.start_coordinator()
    at.resume()


def find_run(at: Happening) -> psutil.Process:
    """The process of `rhe-server run`."""
    return psutil.Process(at.study.find("study").process.pid)


def _kill_all(at: Happening, name: str) -> None:
    child = at.study.find(name)
    family = [psutil.Process(child.process.pid)]
    family += family[0].children(recursive=True)
    for process in family:
        try:
            kill_hard(process)
        except ProcessLookupError:
            continue
    child.process.wait(30)
    psutil.wait_procs(family[1:], timeout=30)


def cut_line(at: Happening, name: str, seconds: float) -> None:
    """The network between one hospital and the coordinator."""
    line = at.study.lines[name]
    line.cut()
    time.sleep(seconds)
    line.mend()


def slow_lines(at: Happening) -> None:
    """All pieces of all lines come 200 ms late, and one in twenty is lost and sent again; until the end."""
    for line in at.study.lines.values():
        line.delay_s, line.loss = 0.2, 0.05


def leave_and_return(at: Happening, name: str, seconds: float) -> None:
    """A hospital ends its site, as for the night, and starts it again."""
    stop_child(at.study.find(name), 30.0)
    time.sleep(seconds)
    at.study.connect_site(name)


def freeze_link(at: Happening, name: str, seconds: float) -> None:
    """A link that stands still and closes nothing."""
    link = find_process(at.study.find(name), "rhe-client", "link")
    link.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    link.send_signal(signal.SIGCONT)


def _engine(phase: str, name: str = "b") -> Fault:
    there = f"{name}: the engine was killed .* started again"
    return Fault(f"kill -9 of the engine of {name}", phase, partial(kill_engine, name=name), there=there)


def _link(phase: str, name: str = "b") -> Fault:
    there = f"{name}: the link was killed .* started again"
    return Fault(f"kill -9 of the link of {name}", phase, partial(kill_link, name=name), there=there)


def _superlink(phase: str) -> Fault:
    return Fault(
        "kill -9 of the SuperLink",
        phase,
        kill_superlink,
        here="SuperLink.* is started again|the SuperLink is back",
    )


_KILLED = "of this study said nothing of its end: it was killed.* goes on from there"


def _run(phase: str) -> Fault:
    return Fault("kill -9 of the coordinator's run", phase, kill_run, here=_KILLED)


def _cut(phase: str, seconds: float, name: str = "b") -> Fault:
    here = f"waiting for {name} since .* -> |{name} is back" if seconds > 30 else ""
    there = f"{name}: not connected: .*->" if seconds > 30 else ""
    title = f"network of {name} cut for {seconds:.0f} s"
    return Fault(title, phase, partial(cut_line, name=name, seconds=seconds), here, there, seconds + 90)


_AWAY = r"waiting for b since .* -> see that `rhe-client start` runs there|b is back"

DEATHS = (
    Disturbed("killed-1", (_engine("cohort"), _link("regression"), _superlink("evaluation"))),
    Disturbed("killed-2", (_link("cohort"), _superlink("regression"), _engine("evaluation"))),
    Disturbed("killed-3", (_superlink("cohort"), _engine("regression"), _link("evaluation"))),
    Disturbed("coordinator", (_run("cohort"), _run("regression"), _run("evaluation"))),
    Disturbed(
        "power",
        (
            Fault(
                "power loss at b (everything killed)",
                "cohort",
                partial(kill_site, name="b"),
                there="b: connected to",
            ),
            Fault(
                "power loss at the coordinator",
                "evaluation",
                kill_coordinator,
                here=_KILLED,
                there="not connected: .*->",
            ),
        ),
    ),
    Disturbed(
        "lines",
        (
            _cut("cohort", 5),
            _cut("regression", 60),
        ),
    ),
    Disturbed("long-cut", (_cut("cohort", 600),), options=("--wait", "1"), is_long=True),
    Disturbed(
        "slow",
        (Fault("200 ms late, 5 % sent twice", "evaluation", slow_lines),),
    ),
    Disturbed(
        "away",
        (
            Fault(
                "b is ended, and back after 20 s",
                "cohort",
                partial(leave_and_return, name="b", seconds=20),
                here=_AWAY,
                there="b: connected to",
            ),
            Fault(
                "link of b stands still for 5 s (SIGSTOP)",
                "regression",
                partial(freeze_link, name="b", seconds=5),
            ),
            Fault(
                "link of b stands still for 60 s (SIGSTOP)",
                "evaluation",
                partial(freeze_link, name="b", seconds=60),
                bound_s=150,
            ),
        ),
    ),
    Disturbed(
        "five",
        (
            _engine("cohort", "c"),
            _cut("regression", 5, "d"),
            _superlink("regression"),
            _link("evaluation", "e"),
        ),
        names=("a", "b", "c", "d", "e"),
    ),
)
"""Studies whose faults somebody else causes."""
