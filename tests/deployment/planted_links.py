"""Symbolic links that the link's user plants in its own folder, for root or the engine to follow."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.deployment.federation import HOME, Federation
from tests.deployment.hosts import WorkError, wait_until
from tests.deployment.table import Attack, Seen

_VICTIM = Path("/srv/victim")
_START_S = 60.0


def try_planted_links(federation: Federation) -> Seen:
    """Everything in the link's folder leads to root's files; then root starts the site, and joins again."""
    site = federation.sites["b"]
    host, process = site.host, site.process
    if process is None:
        raise WorkError("site b does not run")
    process.stop()
    host.perform("root", make_victim, site.link_state)
    before = host.perform("root", describe_folder, _VICTIM)
    planted = host.perform(site.link_user, plant_links, site.link_state)
    user = "root" if site.engine_user != site.link_user else site.engine_user
    process = federation.begin(host, user, "rhe-client", "start", site.folder)
    site.process = process
    wait_until(lambda: process.poll() is not None or "connected" in process.read(), _START_S)
    joining = (
        "--invitation",
        HOME / "study.invitation" if user == "root" else site.folder / "study.invitation",
    )
    federation.begin(host, user, "rhe-client", "init", site.folder, *joining).wait(_START_S)
    after = host.perform("root", describe_folder, _VICTIM)
    changed = sorted({path for path, _ in set(before) ^ set(after)})
    words = " ".join(process.read().split())[-120:]
    return Seen(
        bool(changed),
        f"changed through {planted} links: {changed[:4]}"
        if changed
        else f"{planted} links, nothing followed; {words}",
    )


def make_victim(folder: Path) -> None:
    """A copy of a folder that belongs to root, and that nobody else may change."""
    shutil.copytree(folder, _VICTIM, ignore=shutil.ignore_patterns("*.sock"))
    for path in (_VICTIM, *_VICTIM.rglob("*")):
        os.chown(path, 0, 0)
        path.chmod(0o700 if path.is_dir() else 0o600)


def plant_links(folder: Path) -> int:
    """How many entries of a folder this user has replaced by links to root's files."""
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        (folder / name).rename(folder / f"{name}.own")
        (folder / name).symlink_to(_VICTIM / name)
    return len(names)


def describe_folder(folder: Path) -> list[tuple[str, str]]:
    """Each entry with its owner, mode and content."""
    described = []
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes().hex() if path.is_file() else ""
        described.append((str(path), f"{status.st_uid} {status.st_mode:o} {content}"))
    return described


ATTACKS = (
    Attack(
        "link's user: links to root's files in its folder, then a restart",
        "no second user: nobody started as root",
        try_planted_links,
    ),
)
