"""What a researcher may ask for: how simulated centres look, and how a study runs on this machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import PlanError

if TYPE_CHECKING:
    from common.plan.study import StudyPlan


class Signal(StrEnum):
    """What the simulated patients carry."""

    PAPER = "paper"
    """Only the differences between outcomes that the paper prints."""
    DEMO = "demo"
    """Also a texture of the hematoma that predicts growth alike at all centres."""


class ImageFormat(StrEnum):
    """The file format of simulated CT scans."""

    MIXED = "mixed"
    """DICOM at odd centres, NIfTI at even ones."""
    DICOM = "dicom"
    NIFTI = "nifti"


@dataclass(frozen=True)
class StudyRequest:
    """A study to run on this machine.

    Attributes
    ----------
    plan : Path
        The plan's file.
    sites : mapping of str to Path
        Each site's folder, by the site's name.
    out : Path
        The folder that receives the results, the report and the checkpoints.
    backend : {"in-process", "flower"}
        Whether the sites are called, in one process or as many as the cores hold, or asked over Flower.
    resume : bool
        Whether to continue from checkpoints that `out` already holds.
    pretrained : Path or None
        The folder with torchvision's weight files, or None where the plan needs none.
    cards : Path or None
        The folder with the files of earlier studies' models, or None where the plan names none.
    """

    plan: Path
    sites: Mapping[str, Path]
    out: Path
    backend: str
    resume: bool = False
    pretrained: Path | None = None
    cards: Path | None = None


def write_run_command(plan: Path, folders: Sequence[Path]) -> str:
    """The command that runs a plan over folders which are called as its sites are, to copy into a shell."""
    sites = [word for folder in folders for word in ("--site", f"{folder.name}={folder}")]
    return shlex.join(["rhe-simulate", "run", "--plan", str(plan), *sites, "--out", f"runs/{plan.stem}"])


def check_site_folders(plan: StudyPlan, sites: Mapping[str, Path]) -> None:
    """Refuse folders that do not match the plan's sites.

    Raises
    ------
    PlanError
        If a site of the plan has no folder, or a folder has no site in the plan.
    """
    missing = sorted(set(plan.site_names) - sites.keys())
    unknown = sorted(sites.keys() - set(plan.site_names))
    if missing or unknown:
        differences = [f"no --site for {name}" for name in missing] + [
            f"--site {name} is not in the plan" for name in unknown
        ]
        raise PlanError(
            f"{'; '.join(differences)} -> the plan's sites are {', '.join(plan.site_names)}: "
            "give --site NAME=FOLDER for each"
        )
