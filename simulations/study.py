"""One study over site folders of this machine, on the backend that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import PlanError
from common.study import load_plan

if TYPE_CHECKING:
    from rich.progress import Progress


@dataclass(frozen=True)
class StudyRequest:
    """What a researcher asked for.

    Attributes
    ----------
    plan : Path
        The plan's file.
    sites : mapping of str to Path
        Folder by site.
    out : Path
    backend : {"in-process", "flower"}
    resume : bool
    pretrained : Path or None
        Torchvision's files.
    """

    plan: Path
    sites: Mapping[str, Path]
    out: Path
    backend: str
    resume: bool = False
    pretrained: Path | None = None


def run_study(request: StudyRequest, progress: Progress) -> None:
    """Runs the study and writes results and report into its folder.

    Raises
    ------
    RheError
        Whatever is wrong with plan, folders, sites or training.
    """
    if request.backend == "flower":
        from simulations.flower_backend import run_over_flower

        run_over_flower(request, progress)
        return
    from server.run import StudyRun
    from simulations.parties import simulated_key
    from simulations.two_centres import run_in_process

    plan = load_plan(request.plan)
    run = StudyRun(
        plan=plan,
        out=request.out,
        key=simulated_key(plan),
        backend=request.backend,
        pretrained=request.pretrained,
        resume=request.resume,
    )
    run_in_process(run, request.sites, progress)


def parse_sites(pairs: Sequence[str]) -> dict[str, Path]:
    """Folders by name from ``NAME=FOLDER``.

    Raises
    ------
    PlanError
        If a pair has no "=" or a name stands twice.
    """
    sites: dict[str, Path] = {}
    for pair in pairs:
        name, separator, folder = pair.partition("=")
        if not (name and separator and folder):
            raise PlanError(f"--site {pair!r} -> write NAME=FOLDER, e.g. --site center1=data/center1")
        if name in sites:
            raise PlanError(f"--site {name} is given twice: {sites[name]} and {folder} -> give it once")
        sites[name] = Path(folder)
    return sites
