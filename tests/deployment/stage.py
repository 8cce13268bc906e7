"""The machine in which the hosts live: this process' own, which the kernel takes away with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.deployment import namespaces as ns
from tests.deployment.hosts import LOGS

TOOLS = ("ip", "nginx")
"""Programs of the system without which a part cannot be run."""
_INSTALL_S = 120


def find_hindrances() -> list[str]:
    """Why hosts cannot be made on this machine; empty if they can."""
    hindrances = []
    if not sys.platform.startswith("linux"):
        return [f"namespaces are Linux's, this is {sys.platform}"]
    if os.geteuid():
        hindrances.append(f"only root may make hosts and users, this is user {os.geteuid()}")
    hindrances += [f"no program {tool} on this machine" for tool in TOOLS if shutil.which(tool) is None]
    if not hindrances:
        status = os.waitpid(ns.fork_process(_try_namespaces), 0)[1]
        if status:
            hindrances.append("this machine does not let root make namespaces")
    return hindrances


def provide_nginx() -> str:
    """Install nginx if it is missing and this user may; a line that says so, or nothing."""
    if shutil.which("nginx") or os.geteuid() or shutil.which("apt-get") is None:
        return ""
    print("nginx is missing: apt-get install nginx-light", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", "nginx-light"]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_INSTALL_S
        )
    except subprocess.TimeoutExpired:
        return f"nginx could not be installed in {_INSTALL_S} s\n"
    if done.returncode:
        return f"nginx could not be installed: {done.stderr.strip()[-300:]}\n"
    return "nginx was installed by apt-get; apt-get remove nginx-light takes it away\n"


def work_apart(work: Callable[[], int]) -> int:
    """The status of work done in namespaces of its own, of which nothing outlives it or this process."""

    def live() -> int:
        ns.end_with_parent()
        ns.separate_mounts()
        ns.mount("tmpfs", LOGS.parent, "tmpfs")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return work()
        except KeyboardInterrupt:
            return 130
        except SystemExit as end:
            return int(end.code or 0)

    def separate() -> int:
        ns.end_with_parent()
        ns.leave_namespaces(ns.NEW_MOUNTS | ns.NEW_NETWORK | ns.NEW_PROCESSES)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        inner = ns.fork_process(live)
        return os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])

    outer = ns.fork_process(separate)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return os.waitstatus_to_exitcode(os.waitpid(outer, 0)[1])
    except KeyboardInterrupt:
        return 130


def list_visible(*checkouts: Path) -> list[Path]:
    """Folders that every user of a host may read: the program, and the Python that runs it."""
    return [Path(sys.base_prefix).resolve(), *(folder.resolve() for folder in checkouts)]


def _try_namespaces() -> int:
    ns.leave_namespaces(ns.NEW_MOUNTS | ns.NEW_NETWORK | ns.NEW_PROCESSES)
    return 0
