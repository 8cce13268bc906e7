"""Every DICOM series below a folder, by its headers alone: what it is, and what speaks against its use."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from client.membership.site import SITE_FILE, load_site
from common.errors import ScanError, SiteError
from common.imaging.volumes.formats import is_volume
from common.runtime.settings_file import Section

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from common.imaging.dicom.instance import Instance


class ListedSeries(Section):
    """One series, as `rhe-client series` shows it."""

    path: str
    """For the cell of the table: the folder, or one file where the folder holds other series; with "/"."""
    uid: str
    """Series Instance UID."""
    study: str
    """Study Instance UID."""
    number: str
    """Series Number."""
    description: str
    """Series Description."""
    kind: str
    """What the files are, by their SOP class."""
    kernel: str
    """Convolution kernel."""
    thickness_mm: float | None
    """Thickness of the thickest slice."""
    slices: int
    """Images of the series."""
    plane: str
    """In which plane they lie: axial, coronal, sagittal or unknown."""
    taken: datetime | None
    """When they were acquired, by the scanner's clock."""
    contrast: str
    """The contrast agent that is named."""
    unusable: str
    """Why it cannot be used; empty if it can."""
    objections: tuple[str, ...]
    """Why the rule `thinnest_soft_tissue` passes it over; empty if it does not."""


class SeriesListing(Section):
    """All series below a folder."""

    folder: str
    """As it was given."""
    series: tuple[ListedSeries, ...]
    """By path, then by time."""
    left_out: dict[str, int] = Field(default_factory=dict)
    """Files that are no DICOM or cannot be read: how many, by the reason."""


@dataclass
class _Gathered:
    """A series while its files are read; one file's headers are kept, because archives are large."""

    first: Instance
    reason: str
    paths: list[Path] = field(default_factory=list)
    slices: int = 0
    thickness_mm: float | None = None


def list_series(folder: Path, progress: Progress) -> SeriesListing:
    """Every series below a folder.

    Parameters
    ----------
    folder : Path
        May hold many patients and studies, at any depth.
    progress : Progress
        Shows how many files were read.

    Raises
    ------
    SiteError
        If there is no such folder.
    """
    # pydicom is slow to import
    from common.imaging.dicom.instance import silence_pydicom

    if not folder.is_dir():
        raise SiteError(f"{folder}: no such folder -> give a folder of DICOM files")
    left_out: Counter[str] = Counter()
    with silence_pydicom():
        gathered = _gather_series(folder, progress, left_out)
        owners = _find_owners(folder, gathered)
        base = _find_base(folder)
        series = [_describe(one, owners, base) for one in gathered]
    series.sort(key=lambda one: (one.path, str(one.taken or ""), one.uid))
    return SeriesListing(folder=str(folder), series=tuple(series), left_out=dict(sorted(left_out.items())))


def _gather_series(folder: Path, progress: Progress, left_out: Counter[str]) -> list[_Gathered]:
    from common.imaging.dicom.instance import open_instance
    from common.imaging.dicom.series import explain_exclusion
    from common.imaging.dicom.series_traits import read_size

    series: dict[tuple[str, str], _Gathered] = {}
    files = sorted(_list_files(folder, left_out))
    for path in progress.track(files, description="reading headers"):
        try:
            instance = open_instance(path)
            reason = explain_exclusion(instance)
            uid = "" if instance is None else instance.text("SeriesInstanceUID")
        except ScanError:
            left_out["damaged or unreadable"] += 1
            continue
        if instance is None or not uid:
            left_out["not DICOM" if instance is None else "DICOM of no series (damaged?)"] += 1
            continue
        one = series.setdefault((uid, reason), _Gathered(instance, reason))
        slices, thickness_mm = read_size(instance)
        one.paths.append(path)
        one.slices += slices
        one.thickness_mm = max((v for v in (one.thickness_mm, thickness_mm) if v is not None), default=None)
    return list(series.values())


def _list_files(folder: Path, left_out: Counter[str]) -> Iterator[Path]:
    """Files that may be DICOM; those of other formats and of the site itself are passed over."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(root, name) for name in names if not name.startswith(".")):
            if path.exists() and not path.is_file():
                # Reading a pipe that nobody writes into waits for ever
                left_out["no file (a pipe, a socket or a device)"] += 1
            elif path.name.lower() != "dicomdir" and not is_volume(path):
                yield path


def _find_owners(folder: Path, gathered: Sequence[_Gathered]) -> dict[Path, set[str]]:
    """The CT series (by UID) whose files lie below each folder, at any depth."""
    owners: dict[Path, set[str]] = {}
    for one in gathered:
        if one.reason:
            continue
        for parent in {path.parent for path in one.paths}:
            for place in (parent, *parent.parents):
                owners.setdefault(place, set()).add(str(one.paths[0]))
                if place == folder:
                    break
    return owners


def _describe(one: _Gathered, owners: dict[Path, set[str]], base: Path) -> ListedSeries:
    from common.imaging.dicom.series_traits import FEWEST_SLICES, read_traits

    traits = replace(read_traits([one.first]), slices=one.slices, thickness_mm=one.thickness_mm)
    unusable = one.reason
    if not unusable and one.slices < FEWEST_SLICES:
        unusable = f"{one.slices} slice(s) only"
    return ListedSeries(
        path=_choose_cell(one, owners, base),
        uid=traits.uid,
        study=traits.study,
        number=traits.number,
        description=traits.description,
        kind=_read_kind(one.first),
        kernel=traits.kernel,
        thickness_mm=traits.thickness_mm,
        slices=traits.slices,
        plane=traits.plane,
        taken=traits.taken,
        contrast=traits.contrast,
        unusable=unusable,
        objections=() if unusable else traits.objections,
    )


def _read_kind(instance: Instance) -> str:
    from pydicom.uid import UID

    try:
        return UID(instance.text("SOPClassUID")).name.removesuffix(" Storage") or "unknown"
    except ScanError:
        return "unknown"


def _choose_cell(one: _Gathered, owners: dict[Path, set[str]], base: Path) -> str:
    """The folder if it holds no other CT series, else one file."""
    folder = Path(os.path.commonpath([path.parent for path in one.paths]))
    cell = folder if owners.get(folder, set()) <= {str(one.paths[0])} else one.paths[0]
    return Path(os.path.relpath(cell, base)).as_posix()


def _find_base(folder: Path) -> Path:
    """What paths in the cohort table start from: the table's folder, or the given one outside of a site."""
    # Links are not followed, as in the table's own paths
    absolute = Path(os.path.abspath(folder))  # noqa: PTH100
    for place in (absolute, *absolute.parents):
        if (place / SITE_FILE).is_file():
            try:
                return (place / load_site(place).table).parent
            except SiteError:
                return place
    return folder


def make_series_table(listing: SeriesListing) -> Table:
    """The listing for a terminal, each series with its number in `list_cells`."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{len(listing.series)} series in {escape(listing.folder)}", title_justify="left")
    for heading in (
        "No.",
        "Description",
        "Kind",
        "Kernel",
        "mm",
        "Slices",
        "Plane",
        "Taken",
        "Use",
    ):
        table.add_column(
            heading, justify="right" if heading in {"No.", "mm", "Slices"} else "left", overflow="fold"
        )
    for number, one in enumerate(listing.series, start=1):
        cells = (
            str(number),
            one.description,
            one.kind,
            one.kernel,
            "" if one.thickness_mm is None else f"{one.thickness_mm:g}",
            str(one.slices),
            one.plane,
            f"{one.taken:%Y-%m-%d %H:%M}" if one.taken else "",
            _describe_use(one),
        )
        table.add_row(*map(escape, cells), style="dim" if one.unusable else None)
    return table


def list_cells(listing: SeriesListing) -> Iterator[str]:
    """For the terminal, the path of each usable series on a line of its own, which no column breaks."""
    if any(not one.unusable for one in listing.series):
        yield "For the cohort table, by number:"
    for number, one in enumerate(listing.series, start=1):
        if not one.unusable:
            yield f"{number:>4}  {one.path}"


def _describe_use(one: ListedSeries) -> str:
    if one.unusable:
        return f"cannot be used: {one.unusable}"
    return ", ".join(one.objections) or "axial, soft tissue"
