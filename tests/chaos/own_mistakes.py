"""What people do wrong: two of the same, a wrong clock, another version, a full disk."""

from __future__ import annotations

import errno
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from common.runtime.processes import stop_child
from tests.chaos.disturbed import Disturbed, Fault, Happening
from tests.chaos.small_study import SHIFTED, wait_until

AHEAD = {"PYTHONPATH": str(SHIFTED), "RHE_CHAOS_CLOCK": "600"}
BEHIND = AHEAD | {"RHE_CHAOS_CLOCK": "-600"}
OTHER = {"PYTHONPATH": str(SHIFTED), "RHE_CHAOS_VERSION": "0.0.1"}

_FULL_WAIT_S = 40.0


def put_right(at: Happening, name: str) -> None:
    """The run ends; the hospital installs what it should and starts again; the run is repeated."""
    at.await_end(120)
    _start_again(at, name, {})
    at.resume()


def set_clock_wrong(at: Happening, name: str, environment: dict[str, str]) -> None:
    """A hospital is started again with a wrong clock; once that is told it is started with a right one."""
    log = at.study.folder / f"{name}.log"
    size = log.stat().st_size
    _start_again(at, name, environment, connects=False)
    wait_until(
        lambda: "clock" in log.read_text(errors="replace")[size:] or not at.study.find("study").running,
        "word of the clock",
        60,
    )
    _start_again(at, name, {})
    if not at.study.find("study").running:
        at.resume()


def _start_again(at: Happening, name: str, environment: dict[str, str], *, connects: bool = True) -> None:
    stop_child(at.study.find(name), 30.0)
    at.study.environments[name] = environment
    site = at.study.start_site(name)
    if connects:
        wait_until(lambda: ": connected to" in site.tail(), f"{name} connected", 120)


def start_site_twice(at: Happening, name: str) -> None:
    """A second `rhe-client start` of a hospital that runs."""
    second = at.study.start_site(name, log=f"{name}-second")
    wait_until(lambda: not second.running, "the end of the second site", 60)
    at.ended = f"second ended ({second.process.returncode}), first went on"


def run_twice(at: Happening) -> None:
    """A second `rhe-server run` of a study that runs, in the same folder."""
    second = at.study.start_study("--resume", log="second")
    wait_until(lambda: not second.running, "the end of the second run", 60)
    at.ended = f"second ended ({second.process.returncode}), first went on"


def run_elsewhere(at: Happening) -> None:
    """A second `rhe-server run` of a study that runs, into a folder of its own."""
    second = at.study.start_study("--wait", "0", out=at.study.folder / "elsewhere", log="second")
    wait_until(lambda: not second.running, "the end of the second run", 120)
    at.ended = f"second ended ({second.process.returncode}), first went on"


def start_coordinator_twice(at: Happening) -> None:
    """A second `rhe-server start` of a coordinator that runs."""
    command = ("rhe-server", "start", at.study.office, "--gateway", "loopback")
    second = at.study.start("second", *command)
    wait_until(lambda: not second.running, "the end of the second coordinator", 60)
    at.ended = f"second ended ({second.process.returncode}), first went on"


@contextmanager
def fill(folder: Path) -> Iterator[None]:
    """A file system of this folder that has no byte left."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError as failure:
                    if failure.errno != errno.ENOSPC:
                        raise
        yield
    finally:
        filler.unlink(missing_ok=True)


def fill_disk(at: Happening, folder: str) -> None:
    """A full disk for as long as it takes until somebody complains; then space is freed."""
    with fill(at.study.folder / folder):
        try:
            at.await_end(_FULL_WAIT_S)
            time.sleep(3)
        except TimeoutError:
            at.ended = f"waited for {_FULL_WAIT_S:.0f} s, went on"
    name = folder.rpartition("/")[2]
    if name in at.study.names and not at.study.find(name).running:
        site = at.study.start_site(name)
        wait_until(lambda: ": connected to" in site.tail(), f"{name} connected", 120)
    if not at.study.find("study").running:
        at.resume()


@contextmanager
def small_disks(folder: Path, names: tuple[str, ...]) -> Iterator[None]:
    """File systems of 48 MB at these folders, in memory; they need root.

    Raises
    ------
    RuntimeError
        If they cannot be mounted.
    """
    mounted = []
    try:
        for name in names:
            (folder / name).mkdir(parents=True, mode=0o700)
            command = ["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs", str(folder / name)]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"no small disk: {done.stderr.strip()}")
            mounted.append(folder / name)
        yield
    finally:
        for path in mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=False)


_CLOCK = "b: not connected: this computer's clock is 10 minutes .* -> set both by NTP"
_PAUSED = "waiting for b since .* -> |b is back"

MISTAKES = (
    Disturbed(
        "other",
        (
            Fault(
                "b has rhe 0.0.1",
                "",
                partial(put_right, name="b"),
                here="b: .*install the same rhe at both ends|b has rhe 0.0.1",
                there="b: .*another bundle .*-> install the same rhe",
                bound_s=150,
            ),
            Fault(
                "clock of b 10 min ahead",
                "cohort",
                partial(set_clock_wrong, name="b", environment=AHEAD),
                _PAUSED,
                _CLOCK,
                150,
            ),
            Fault(
                "clock of b 10 min behind",
                "regression",
                partial(set_clock_wrong, name="b", environment=BEHIND),
                _PAUSED,
                _CLOCK,
                150,
            ),
        ),
        environments={"b": OTHER},
    ),
    Disturbed(
        "twice",
        (
            Fault(
                "site b started twice",
                "cohort",
                partial(start_site_twice, name="b"),
                there="this site is running already -> ",
            ),
            Fault(
                "two runs in one folder", "regression", run_twice, here="another process is working here -> "
            ),
            Fault(
                "coordinator started twice",
                "regression",
                start_coordinator_twice,
                here="another process is working here -> |-> ",
            ),
            Fault(
                "a second run into another folder",
                "evaluation",
                run_elsewhere,
                here="rhe-server: .* -> ",
                bound_s=150,
            ),
        ),
    ),
    Disturbed(
        "disk",
        (
            Fault(
                "disk of b full until it is noticed",
                "regression",
                partial(fill_disk, folder="states/b"),
                here="b: .*disk is full .*-> free space",
                there="the disk is full .*-> free some space",
                bound_s=180,
            ),
            Fault(
                "coordinator's disk full until it is noticed",
                "evaluation",
                partial(fill_disk, folder="out"),
                here="disk is full -> free some space",
                bound_s=180,
            ),
        ),
        disks=("states/b", "out"),
    ),
)
"""Studies whose faults people make."""
