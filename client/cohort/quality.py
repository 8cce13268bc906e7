"""A page that shows a hospital its own data: scans with masks, the table, and what was refused and why.

It is one HTML file without links to anything, and names patients: it stays at the site.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from client.cohort.cases import PreparedCase, PreparedSite
from client.cohort.completeness import describe_columns
from common.cohort.outcome import Volumes
from common.imaging.overview import Overview, bin_edges_hu
from common.runtime.storage import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ICH_COLOUR, _IVH_COLOUR, _TISSUE_COLOUR = "#e4572e", "#2e86de", "#7a869a"
_SHEET_ROWS, _SHEET_COLUMNS = 4, 6
_CELL_INCHES = 1.75
_DPI = 110


@dataclass(frozen=True)
class Sheet:
    """One contact sheet.

    Attributes
    ----------
    first, last : int
        Numbers of its patients, counted from 1 in the page's order.
    picture : str
        A data URI.
    """

    first: int
    last: int
    picture: str


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
    baseline, followup : Volumes
        On which the outcome rests, in ml.
    outcome : str
        "yes" or "no", with the reasons for an expansion.
    median_hu : float or None
        Median density of the lesion in HU; None where no scan was read.
    """

    number: int
    identifier: str
    row: int
    part: str
    baseline: Volumes
    followup: Volumes
    outcome: str
    median_hu: float | None


def write_quality_page(prepared: PreparedSite, out: Path) -> None:
    """Write the page atomically.

    Parameters
    ----------
    prepared : PreparedSite
        The site's patients, as `client.cohort.prepare` gives them.
    out : Path
        The HTML file.

    Raises
    ------
    StorageError
        If the page cannot be written, or the cache was damaged.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    views = [case.read_overview() for case in prepared.cases]
    overviews = [view for view in views if view is not None]
    page = environment.get_template("quality.html").render(
        site=prepared.settings,
        flow=prepared.flow,
        lines=[
            _describe_patient(n, *pair) for n, pair in enumerate(zip(prepared.cases, views, strict=True), 1)
        ],
        columns=describe_columns(prepared.cases),
        refusals=prepared.refusals,
        lost=prepared.lost,
        notes=prepared.notes,
        sheets=_draw_sheets(prepared.cases, overviews) if overviews else [],
        histogram=_draw_histogram(overviews) if overviews else "",
        volumes=_draw_volumes(prepared.cases) if prepared.cases else "",
    )
    write_atomically(out, page.encode())


def _describe_patient(number: int, case: PreparedCase, view: Overview | None) -> PatientLine:
    reasons = f" ({'; '.join(case.expansion.reasons)})" if case.expansion.reasons else ""
    return PatientLine(
        number,
        case.patient.identifier,
        case.patient.row,
        case.part,
        case.baseline,
        case.followup,
        f"{'yes' if case.positive else 'no'}{reasons}",
        None if view is None else _find_median_hu(view),
    )


def _find_median_hu(view: Overview) -> float:
    """Median density of the lesion, to the histogram's bin."""
    counts, edges = view.histogram[0], bin_edges_hu()
    if not counts.sum():
        return float("nan")
    index = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return float(edges[index] + edges[index + 1]) / 2


def _draw_sheets(cases: tuple[PreparedCase, ...], overviews: list[Overview]) -> list[Sheet]:
    size = _SHEET_ROWS * _SHEET_COLUMNS
    return [
        Sheet(
            first + 1,
            min(first + size, len(cases)),
            _draw_sheet(first, cases, overviews[first : first + size]),
        )
        for first in range(0, len(cases), size)
    ]


def _draw_sheet(first: int, cases: tuple[PreparedCase, ...], overviews: list[Overview]) -> str:
    """Slices with the mask's outline, row by row."""
    rows = -(-len(overviews) // _SHEET_COLUMNS)
    figure = _make_figure(_SHEET_COLUMNS * _CELL_INCHES, rows * (_CELL_INCHES + 0.2))
    for index, view in enumerate(overviews):
        case = cases[first + index]
        axes = figure.add_subplot(rows, _SHEET_COLUMNS, index + 1)
        axes.imshow(view.pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        for label, colour in ((1, _ICH_COLOUR), (2, _IVH_COLOUR)):
            if (view.labels == label).any():
                axes.contour(view.labels == label, levels=[0.5], colors=colour, linewidths=0.8)
        axes.set_title(
            f"{first + index + 1}   {case.baseline.ich_ml:.1f} ml", fontsize=7, color="white", pad=2
        )
        axes.set_axis_off()
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.2 / (rows * (_CELL_INCHES + 0.2)), 0.03, 0.12)
    return _encode_figure(figure, "black")


def _draw_histogram(overviews: list[Overview]) -> str:
    """Density of lesions and of everything else, each summing to 1, all patients together."""
    figure = _make_figure(5.6, 2.6)
    axes = figure.add_subplot()
    edges = bin_edges_hu()
    total = np.sum([view.histogram for view in overviews], axis=0)
    for counts, colour, name in zip(
        total, (_ICH_COLOUR, _TISSUE_COLOUR), ("lesion", "rest of the head"), strict=True
    ):
        axes.stairs(counts / max(counts.sum(), 1), edges, color=colour, fill=True, alpha=0.55, label=name)
    for low, high, name in ((20, 45, "brain"), (50, 90, "blood")):
        axes.axvspan(low, high, color="black", alpha=0.05, lw=0)
        axes.text((low + high) / 2, 1.01, name, ha="center", fontsize=8, transform=axes.get_xaxis_transform())
    axes.set_xlabel("HU")
    axes.set_ylabel("share of voxels")
    return _finish_figure(figure)


def _draw_volumes(cases: tuple[PreparedCase, ...]) -> str:
    """Baseline against follow-up ICH, one dot a patient."""
    figure = _make_figure(5.6, 2.6)
    axes = figure.add_subplot()
    largest = max(max(case.baseline.ich_ml, case.followup.ich_ml) for case in cases) * 1.05 + 1
    axes.plot([0, largest], [0, largest], color="black", lw=0.6, alpha=0.4)
    for positive, colour, name in ((False, _TISSUE_COLOUR, "no expansion"), (True, _ICH_COLOUR, "expansion")):
        chosen = [case for case in cases if case.positive == positive]
        axes.scatter(
            [case.baseline.ich_ml for case in chosen],
            [case.followup.ich_ml for case in chosen],
            *(12, colour),
            alpha=0.75,
            label=name,
        )
    axes.set_xlabel("baseline ICH (ml)")
    axes.set_ylabel("follow-up ICH (ml)")
    return _finish_figure(figure)


def _make_figure(width_inches: float, height_inches: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure((width_inches, height_inches))


def _finish_figure(figure: Figure) -> str:
    axes = figure.axes[0]
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    figure.tight_layout()
    return _encode_figure(figure, "white")


def _encode_figure(figure: Figure, background: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, facecolor=background, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
