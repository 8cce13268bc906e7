"""A page that shows a hospital its own data: what needs eyes first, then scans with masks and the table.

It is one HTML file without links to anything, and names patients: it stays at the site.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from client.cohort.cases import TIMES, PreparedCase, PreparedSite, RefusedCase, Time
from client.cohort.completeness import describe_columns
from client.cohort.finding_report import ReportedFinding, SiteReport, group_alike
from client.cohort.quality_plots import draw_histogram, draw_volumes
from client.cohort.thumbnails import draw_thumbnail
from common.cohort.outcome import Volumes
from common.errors import Level
from common.imaging.overview import Overview, bin_edges_hu
from common.plain_text import escape_surrogates
from common.runtime.storage import write_atomically

if TYPE_CHECKING:
    import jinja2

_NAMES: Mapping[Time, str] = {"baseline": "baseline", "followup": "follow-up"}


@dataclass(frozen=True)
class SlicePicture:
    """One patient's slice at one time.

    Attributes
    ----------
    time : str
        "baseline" or "follow-up".
    source : str
        A data URI.
    ich_ml : float or None
        Volume of the ICH on which the outcome rests, at that time; None where nothing rests on it.
    """

    time: str
    source: str
    ich_ml: float | None


@dataclass(frozen=True)
class PatientLine:
    """One row of the page's table of volumes.

    Attributes
    ----------
    number : int
        Counted from 1 in the page's order.
    identifier : str
        The patient's, as in the cohort table.
    row : int
        Of the cohort table, as a spreadsheet shows it.
    part : {"train", "validation", "test"}
        Part of the cohort.
    baseline, followup : Volumes or None
        In ml; None where they are not known, because the outcome rests on a column.
    outcome : str
        "yes" or "no", with the reasons for an expansion.
    median_hu : float or None
        Median density of the lesion in HU; None where no scan was read.
    pictures : tuple of SlicePicture
        The slices with the largest lesion; empty where none was drawn.
    """

    number: int
    identifier: str
    row: int
    part: str
    baseline: Volumes | None
    followup: Volumes | None
    outcome: str
    median_hu: float | None
    pictures: tuple[SlicePicture, ...]


@dataclass(frozen=True)
class RefusedLine:
    """A patient who is refused, and whose scans can be shown.

    Attributes
    ----------
    identifier : str
        The patient's, as in the cohort table.
    row : int
        Of the cohort table, as a spreadsheet shows it.
    pictures : tuple of SlicePicture
        The slices with the largest lesion, or one of a scan whose mask is refused.
    number : int
        0: the patient has no line in the page's table of volumes.
    """

    identifier: str
    row: int
    pictures: tuple[SlicePicture, ...]
    number: int = 0


@dataclass(frozen=True)
class Remark:
    """What the page says of one patient or of many alike.

    Attributes
    ----------
    findings : tuple of ReportedFinding
        At least one; several differ in numbers, row and patient alone.
    patients : tuple of PatientLine or RefusedLine
        Those concerned whose scans can be shown.
    """

    findings: tuple[ReportedFinding, ...]
    patients: tuple[PatientLine | RefusedLine, ...]


def write_quality_page(prepared: PreparedSite, out: Path, study: str | None = None) -> None:
    """Write the page atomically.

    Parameters
    ----------
    prepared : PreparedSite
        The site's patients, as `client.cohort.prepare` gives them.
    out : Path
        The HTML file.
    study : str, optional
        The study's name.

    Raises
    ------
    StorageError
        If the page cannot be written, or the cache was damaged.
    """
    report = prepared.report(study)
    views = [{time: case.read_overview(time) for time in TIMES} for case in prepared.cases]
    lines = [_describe_patient(n, *pair) for n, pair in enumerate(zip(prepared.cases, views, strict=True), 1)]
    overviews = [view for of_case in views for view in of_case.values() if view is not None]
    lost = {str(reading.finding) for reading in prepared.lost}
    every = _choose(report, Level.REFUSED)
    refused = [one for one in every if str(one) not in lost]
    files = {patient.row: dict(patient.files) for patient in prepared.rows}
    shown = [line for case in prepared.refused if (line := _show_refused(case)).pictures]
    page = {
        "synthetic": prepared.settings.synthetic,
        "flow": prepared.flow,
        "lines": lines,
        "columns": describe_columns([case.patient for case in prepared.cases]),
        "refused": [_name_columns(one, files) for one in refused],
        "refused_rows": _list_rows(refused),
        "refused_lines": shown,
        "lost": [_name_columns(one, files) for one in every if str(one) in lost],
        "looks": _collect_remarks(report, Level.LOOK, (*lines, *shown)),
        "notes": _collect_remarks(report, Level.KNOW, lines),
        "sheets": any(line.pictures for line in lines),
        "histogram": draw_histogram(overviews) if overviews else "",
        "volumes": draw_volumes(prepared.cases),
        "event": prepared.event,
    }
    _write(report, page, out)


def write_refusal_page(report: SiteReport, out: Path) -> None:
    """Write the page of a site that cannot take part, with every reason.

    Raises
    ------
    StorageError
        If the page cannot be written.
    """
    page: dict[str, object] = {
        "synthetic": False,
        "flow": None,
        "lines": [],
        "columns": [],
        "refused": _choose(report, Level.REFUSED),
        "refused_rows": _list_rows(_choose(report, Level.REFUSED)),
        "refused_lines": [],
        "lost": [],
        "looks": _collect_remarks(report, Level.LOOK, []),
        "notes": _collect_remarks(report, Level.KNOW, []),
        "sheets": False,
        "histogram": "",
        "volumes": "",
    }
    _write(report, page, out)


def _write(report: SiteReport, page: Mapping[str, object], out: Path) -> None:
    text = _build_template().render(report=report, level=Level, **page)
    write_atomically(out, text.encode(), private=True)


@cache
def _build_template() -> jinja2.Template:
    """The page's template, read once in a process: reading it takes longer than filling it in."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("quality.html")


def _name_columns(finding: ReportedFinding, files: Mapping[int, Mapping[str, Path]]) -> ReportedFinding:
    """The finding with its patient's files named by their columns: their paths are long, and in the table."""
    what = finding.what
    for column, path in files.get(finding.row or 0, {}).items():
        named = re.sub(rf"{re.escape(escape_surrogates(str(path)))}(?![\w.-])", repr(column), what)
        what = named.replace(f"{column!r}: {column!r}", repr(column))
    return finding.model_copy(update={"what": what})


def _list_rows(findings: Sequence[ReportedFinding]) -> set[int]:
    return {finding.row for finding in findings if finding.row is not None}


def _choose(report: SiteReport, level: Level) -> list[ReportedFinding]:
    return [finding for finding in report.findings if finding.level is level]


def _collect_remarks(
    report: SiteReport, level: Level, lines: Sequence[PatientLine | RefusedLine]
) -> list[Remark]:
    """Findings of one level, many alike together, each with the patients whom it concerns."""
    by_row = {line.row: line for line in lines}
    return [
        Remark(alike, tuple(by_row[one.row] for one in alike if one.row in by_row))
        for alike in group_alike(_choose(report, level))
    ]


def _describe_patient(number: int, case: PreparedCase, views: Mapping[Time, Overview | None]) -> PatientLine:
    reasons = f" ({'; '.join(case.expansion.reasons)})" if case.expansion and case.expansion.reasons else ""
    volumes: Mapping[Time, Volumes | None] = {"baseline": case.baseline, "followup": case.followup}
    baseline = views["baseline"]
    return PatientLine(
        number,
        case.patient.identifier,
        case.patient.row,
        case.part,
        case.baseline,
        case.followup,
        f"{'yes' if case.positive else 'no'}{reasons}",
        None if baseline is None else _find_median_hu(baseline),
        tuple(
            SlicePicture(
                _NAMES[time],
                draw_thumbnail(view),
                None if (known := volumes[time]) is None else known.ich_ml,
            )
            for time, view in views.items()
            if view is not None
        ),
    )


def _show_refused(case: RefusedCase) -> RefusedLine:
    pictures = (
        SlicePicture(_NAMES[time], draw_thumbnail(view), None)
        for time in TIMES
        if (view := case.read_overview(time)) is not None
    )
    return RefusedLine(case.patient.identifier, case.patient.row, tuple(pictures))


def _find_median_hu(view: Overview) -> float:
    """Median density of the lesion, to the histogram's bin."""
    counts, edges = view.histogram[0], bin_edges_hu()
    if not counts.sum():
        return float("nan")
    index = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return float(edges[index] + edges[index + 1]) / 2
