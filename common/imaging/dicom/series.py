"""The CT series in a folder of DICOM files, and the choice of one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID

from common.errors import Finding, Level, ScanError
from common.imaging.dicom.instance import Instance, open_instance
from common.imaging.dicom.series_choice import EACH_ALONE, NO_RULE, list_misfits, pick_series
from common.imaging.dicom.series_traits import FEWEST_SLICES, read_size, read_traits
from common.imaging.options import SeriesRule

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
"""PS3.4 B.5: the SOP class of single-slice CT."""

MULTI_FRAME_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
"""Enhanced CT, and CT that was converted to it: all slices of a series in one file, or in a few."""

_IGNORED_NAMES = frozenset({"dicomdir", "thumbs.db", "desktop.ini", ".ds_store"})
"""Files that CD writers and operating systems add to folders."""


@dataclass(frozen=True)
class SeriesFolder:
    """The CT series in a folder of DICOM files.

    Attributes
    ----------
    series : tuple of tuples of Instance
        CT images, one tuple for each series, in the order of the series' UIDs.
    dropped : tuple of str
        One sentence for each reason for which files were left out, with their number.
    """

    series: tuple[tuple[Instance, ...], ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True)
class ChosenSeries:
    """The series that is read.

    Attributes
    ----------
    instances : tuple of Instance
        Its files.
    notes : tuple of Finding
        How it was chosen, where there was a choice.
    """

    instances: tuple[Instance, ...]
    notes: tuple[Finding, ...] = ()


def sort_by_series(path: Path) -> SeriesFolder:
    """The CT series in a folder, or in the folder of a file.

    Raises
    ------
    ScanError
        If a DICOM file is damaged.
    """
    root = path if path.is_dir() else path.parent
    files = sorted(
        file for file in root.rglob("*") if file.is_file() and file.name.lower() not in _IGNORED_NAMES
    )
    series: dict[str, list[Instance]] = defaultdict(list)
    dropped: dict[str, int] = defaultdict(int)
    for file in files:
        instance = open_instance(file)
        reason = explain_exclusion(instance)
        if instance is None or reason:
            dropped[reason] += 1
        else:
            series[instance.text("SeriesInstanceUID")].append(instance)
    left_out = tuple(f"{count} file(s) left out: {reason}" for reason, count in sorted(dropped.items()))
    return SeriesFolder(tuple(tuple(instances) for _, instances in sorted(series.items())), left_out)


def explain_exclusion(instance: Instance | None) -> str:
    """Why this file is not of a CT; empty if it is."""
    if instance is None:
        return "not DICOM"
    modality, sop_class = instance.text("Modality") or "none", instance.text("SOPClassUID")
    if modality != "CT":
        return f"modality {modality}, not CT"
    if sop_class not in {CT_IMAGE_STORAGE, *MULTI_FRAME_CT}:
        return f"not a CT image but {UID(sop_class).name or 'without SOP class'}"
    if "LOCALIZER" in instance.texts("ImageType"):
        return "localizer"
    if not instance.holds("SeriesInstanceUID"):
        return "CT without Series Instance UID"
    return ""


def choose_series(path: Path, folder: SeriesFolder, rule: SeriesRule = NO_RULE) -> ChosenSeries:
    """The only series, the one to which the file belongs, or the one that the rule picks.

    Raises
    ------
    ScanError
        If there is none, or several among which the rule does not decide.
    """
    if path.is_file():
        return _find_series_of_file(path, folder, rule)
    if not folder.series:
        reasons = "; ".join(folder.dropped) or "the folder is empty"
        raise ScanError(f"{path}: holds no CT series ({reasons}) -> correct the path in the cohort table")
    if len(folder.series) == 1:
        return ChosenSeries(folder.series[0], _note_misfits(path, folder.series[0], rule))
    index, note = pick_series(path, [read_traits(series) for series in folder.series], rule)
    return ChosenSeries(folder.series[index], (note, *_note_misfits(path, folder.series[index], rule)))


def _find_series_of_file(path: Path, folder: SeriesFolder, rule: SeriesRule) -> ChosenSeries:
    for series in folder.series:
        if any(instance.path == path for instance in series):
            _refuse_lone_slice(path, series, folder)
            misfits = _note_misfits(path, series, rule)
            if len(folder.series) == 1:
                return ChosenSeries(series, misfits)
            what = f"read {read_traits(series)}, of {len(folder.series)} CT series the one of the named file"
            return ChosenSeries(series, (Finding(str(path), what, "nothing to do", Level.KNOW), *misfits))
    raise ScanError(f"{path}: not a slice of a CT ({'; '.join(folder.dropped)}) -> choose the CT series")


def _refuse_lone_slice(path: Path, series: tuple[Instance, ...], folder: SeriesFolder) -> None:
    """Refuse a slice that is alone in its series because each slice beside it is, too.

    Raises
    ------
    ScanError
        With the cause: the one slice that is named is not what is wrong.
    """
    if len(series) > 1 or read_size(series[0])[0] > 1:
        return
    alone = [one for one in folder.series if len(one) == 1 and read_size(one[0])[0] == 1]
    if len(alone) >= FEWEST_SLICES:
        raise ScanError(f"{path}: is one of {len(alone)} CT series of one slice each beside it: {EACH_ALONE}")


def _note_misfits(path: Path, series: tuple[Instance, ...], rule: SeriesRule) -> tuple[Finding, ...]:
    """A note on a series that the rule would not pick, is no plain CT, or has a sharp kernel unwished for."""
    # Most sites have no rule: one file tells the kernel
    first = read_traits(series[:1])
    if rule == NO_RULE and not first.sharp and not first.projection:
        return ()
    traits = read_traits(series)
    misfits = list_misfits(traits, rule)
    if misfits:
        what = (
            f"the CT series that is read, {traits}, does not fit the rule of site.toml: {', '.join(misfits)}"
        )
    elif traits.projection:
        what = (
            f"the CT series that is read, {traits}, holds no densities of tissue: its Image Type (0008,0008) "
            f"says {traits.projection}"
        )
    elif traits.sharp and not rule.kernel:
        what = f"the CT series that is read, {traits}, is not of soft tissue: kernel {traits.kernel} is sharp"
    else:
        return ()
    return (Finding(str(path), what, "bring the right series, if there is one", Level.LOOK),)
