"""Means of attention maps about the lesion, with and without the outcome side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from common.stats.minima import minima_of
from common.types import Reals
from server.report.drawing import INK, Picture, PictureFrame, draw_picture
from server.report.subject import Subject
from server.report.words import explain_standing, join_words
from server.results.mean_attention import MeanAttention, read_cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FRAME = PictureFrame(7.6, 3.6, left=0.7, bottom=0.62, right=1.0, top=0.36)
_GAP = 0.35
_BAR = (0.24, 0.16)
"""Distance of the colour bar from the maps, and its width, in inches."""
_PERCEPTUAL = "inferno"
_EMPTY = "#d3d9de"
_HALF = 0.5
"""The outline is where half of the patients have the lesion."""
_STEP_MM = 10
_LEAST_MM = 20
_STEP = 0.1


@dataclass(frozen=True)
class MeanMapPicture:
    """The maps of one network on one cohort.

    Attributes
    ----------
    model, label : str
        Name of the network; its arm and the cohort in words.
    caption : str
        Of how many patients, and why a map is missing.
    picture : Picture
        Both outcomes.
    """

    model: str
    label: str
    caption: str
    picture: Picture


@dataclass(frozen=True)
class AttentionChapter:
    """The chapter "Attention maps".

    Attributes
    ----------
    pictures : tuple of MeanMapPicture
        Of the reference and then the other networks, on the largest cohorts that have a map.
    others : tuple of MeanMapPicture
        On cohorts that are a part of those.
    absent : tuple of str
        What is not shown, and why.
    fewest : int
        Patients of a centre who must have something in a cell.
    """

    pictures: tuple[MeanMapPicture, ...]
    others: tuple[MeanMapPicture, ...]
    absent: tuple[str, ...]
    fewest: int


def build_attention(subject: Subject) -> AttentionChapter | None:
    """The chapter; None where no network was trained."""
    if not subject.results.training:
        return None
    pairs = _pair_outcomes(subject)
    shown = [pair for pair in pairs if any(one.standing.ok for one in pair)]
    large = [pair for pair in shown if not _is_part_of_another(pair, shown)]
    rest = [pair for pair in shown if pair not in large]
    return AttentionChapter(
        tuple(_draw_pair(subject, pair) for pair in large),
        tuple(_draw_pair(subject, pair) for pair in rest),
        tuple(
            f"{pair[0].model}, {_name_pair(subject, pair)}: {explain_standing(pair[0].standing)}"
            for pair in pairs
            if pair not in shown
        ),
        minima_of(subject.results.study.profile).cell,
    )


def _pair_outcomes(subject: Subject) -> list[tuple[MeanAttention, ...]]:
    """The maps of each network on each cohort: with the outcome, then without; the reference's first."""
    found: dict[object, list[MeanAttention]] = {}
    for one in subject.results.mean_attention:
        found.setdefault((one.model, one.arm, one.cohort_sites), []).append(one)
    order = [model.name for model in subject.models]
    pairs = [tuple(sorted(pair, key=lambda one: not one.positive)) for pair in found.values()]
    return sorted(pairs, key=lambda pair: order.index(pair[0].model))


def _is_part_of_another(pair: Sequence[MeanAttention], pairs: Iterable[Sequence[MeanAttention]]) -> bool:
    """Whether a larger cohort of the same network shows as much."""
    own = pair[0]
    return any(
        (own.model, own.arm) == (other[0].model, other[0].arm)
        and set(own.cohort_sites) < set(other[0].cohort_sites)
        and all(one.standing.ok for one in other)
        for other in pairs
    )


def _name_pair(subject: Subject, pair: Sequence[MeanAttention]) -> str:
    first = pair[0]
    return f"{subject.name_arm_of(first.model, first.arm)}: {subject.centres.name_cohort(first)}"


def _name_outcome_of(subject: Subject, one: MeanAttention) -> str:
    return subject.event if one.positive else subject.no_event


def _draw_pair(subject: Subject, pair: Sequence[MeanAttention]) -> MeanMapPicture:
    label = _name_pair(subject, pair)
    caption = join_words([_describe_map(subject, one) for one in pair])
    alt = f"Mean attention of {pair[0].model} about the lesion's centre; {label}; {caption}"
    of_model = [one for one in subject.results.mean_attention if one.model == pair[0].model]
    strongest = max(float(np.nanmax(read_cells(one.attention))) for one in of_model if _has_number(one))
    limits = (_find_reach_mm(subject.results.mean_attention), max(_STEP, ceil(strongest / _STEP) * _STEP))

    def draw(figure: Figure) -> None:
        panels = _FRAME.add_columns(figure, len(pair), _GAP)
        for axes, one in zip(panels, pair, strict=True):
            _set_axes(axes, limits[0], f"{_name_outcome_of(subject, one)}")
            if one.standing.ok:
                _draw_map(axes, one, limits[1])
            else:
                axes.text(0, 0, "not shown", ha="center", va="center")
        panels[0].set_ylabel("Front to back (mm)")
        _draw_bar(figure, limits[1])

    return MeanMapPicture(pair[0].model, label, caption, draw_picture(draw, _FRAME, alt))


def _has_number(one: MeanAttention) -> bool:
    return any(value is not None for row in one.attention for value in row)


def _describe_map(subject: Subject, one: MeanAttention) -> str:
    """Of whom a map is, in words."""
    outcome = _name_outcome_of(subject, one)
    if not one.standing.ok:
        return f"{outcome} ({explain_standing(one.standing)})"
    number = "number withheld" if one.patients is None else f"{one.patients:,} patients"
    return f"{outcome} ({number})"


def _find_reach_mm(maps: Iterable[MeanAttention]) -> float:
    """The same of all pictures, so that they can be compared: what any map holds, in steps of 10 mm."""
    reach = [float(_LEAST_MM)]
    for one in maps:
        if one.standing.ok:
            left, right, back, front = _find_extent_mm(one)
            reach.append(max(abs(left), abs(right), abs(back), abs(front)))
    return ceil(max(reach) / _STEP_MM) * float(_STEP_MM)


def _find_extent_mm(one: MeanAttention) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the cells; the patient's right and front are negative."""
    half, rows, columns = one.cell_mm / 2, len(one.attention), len(one.attention[0])
    left, front = one.left_mm - half, one.front_mm - half
    return left, left + columns * one.cell_mm, front + rows * one.cell_mm, front


def _set_axes(axes: Axes, reach_mm: float, title: str) -> None:
    axes.set(xlim=(-reach_mm, reach_mm), ylim=(reach_mm, -reach_mm), aspect="equal", facecolor=_EMPTY)
    ticks = np.linspace(-reach_mm, reach_mm, 5)
    axes.set_xticks(ticks, [f"{abs(tick):g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{abs(tick):g}" for tick in ticks])
    axes.set_xlabel("Right to left (mm)")
    axes.set_title(title, fontsize=10, color=INK)
    for place, side, letter in ((0.03, "left", "R"), (0.97, "right", "L")):
        axes.text(place, 0.96, letter, transform=axes.transAxes, ha=side, va="top", fontweight="bold")


def _draw_map(axes: Axes, one: MeanAttention, strongest: float) -> None:
    """The cells, and the outline of the mean lesion."""
    values, lesion = read_cells(one.attention), np.nan_to_num(read_cells(one.lesion))
    extent = _find_extent_mm(one)
    axes.imshow(
        np.ma.masked_invalid(values),
        cmap=_PERCEPTUAL,
        vmin=0,
        vmax=strongest,
        extent=extent,
        interpolation="nearest",
        zorder=1,
    )
    if lesion.max() > _HALF:
        places = [
            start + one.cell_mm * np.arange(-1, size + 1)
            for start, size in zip((one.left_mm, one.front_mm), values.shape[::-1], strict=True)
        ]
        outlined: Reals = np.pad(lesion, 1)
        for colour, width in (("black", 3.2), ("white", 1.6)):
            axes.contour(*places, outlined, levels=[_HALF], colors=colour, linewidths=width, zorder=2)


def _draw_bar(figure: Figure, strongest: float) -> None:
    from matplotlib.cm import ScalarMappable

    gap, width = _BAR
    left = _FRAME.width - _FRAME.right + gap
    height = _FRAME.height - _FRAME.bottom - _FRAME.top
    axes = figure.add_axes(
        (
            left / _FRAME.width,
            _FRAME.bottom / _FRAME.height,
            width / _FRAME.width,
            height / _FRAME.height,
        )
    )
    shown = ScalarMappable(cmap=_PERCEPTUAL)
    shown.set_clim(0, strongest)
    bar = figure.colorbar(shown, cax=axes, ticks=[0, strongest / 2, strongest])
    bar.set_label("Mean attention")
