"""AUCs of trainings from several seeds: a strip for each network, a dot for each training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

from server.report.drawing import GREY, GRID, Picture, PictureFrame, draw_axes, wrap_label
from server.results.seed_spread import SeedSpread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL = 34
"""The most characters of a label in one line."""
_ROW = 0.36
"""Height of a row, in inches."""
_CHANCE = 0.5
_STEP = 0.1
"""Distance of ticks; the axis ends at one."""


@dataclass(frozen=True)
class SeedStrip:
    """One network on one cohort.

    Attributes
    ----------
    label : str
        The network.
    colour : str
        Hexadecimal.
    spread : SeedSpread
        The AUCs of its trainings, of which one at least has a value.
    """

    label: str
    colour: str
    spread: SeedSpread


@dataclass(frozen=True)
class StripGroup:
    """Networks under a common heading.

    Attributes
    ----------
    title : str
        Who trained them, and on whom they are judged.
    strips : tuple of SeedStrip
        At least one.
    """

    title: str
    strips: tuple[SeedStrip, ...]


def draw_seed_strips(groups: Sequence[StripGroup], alt: str) -> Picture:
    """Draw the first training as a diamond on its interval, the others as rings, and a band over all.

    The upright line marks chance; the axis is no longer than the numbers need.
    """
    strips = [strip for group in groups for strip in group.strips]
    rows = len(groups) + len(strips)
    longest = min(_LABEL, max(len(strip.label) for strip in strips))
    frame = PictureFrame(8.6, 0.6 + _ROW * rows, left=0.25 + 0.08 * longest, bottom=0.55, right=0.2)
    left, right = _choose_ends(strips)

    def draw(axes: Axes) -> None:
        axes.axvline(_CHANCE, color=GREY, linewidth=1.2, zorder=1)
        place, places = 0, []
        for group in groups:
            _write_title(axes, group.title, (left, place))
            for strip in group.strips:
                place += 1
                places.append(place)
                _draw_strip(axes, strip, place)
            place += 1
        axes.set(xlim=(left, right), ylim=(rows - 0.4, -0.6), xlabel="AUC")
        axes.set_yticks(places, [wrap_label(strip.label, _LABEL) for strip in strips], parse_math=False)
        steps = range(round(left / _STEP), round(right / _STEP) + 1)
        axes.set_xticks([step * _STEP for step in steps], [f"{step * _STEP:.1f}" for step in steps])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)

    return draw_axes(draw, frame, alt)


def _write_title(axes: Axes, title: str, where: tuple[float, float]) -> None:
    """The heading, on white: lines of the axis would cross it."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axes.text(*where, f" {title} ", fontsize=10, fontweight="bold", va="center", zorder=5, bbox=box)


def _choose_ends(strips: Sequence[SeedStrip]) -> tuple[float, float]:
    """Ticks around all AUCs, all intervals of first trainings, and chance."""
    values = [_CHANCE, *(value for strip in strips for value in strip.spread.values)]
    firsts = [strip.spread.trainings[0].auc for strip in strips]
    values += [limit for auc in firsts for limit in (auc.low, auc.high) if limit is not None]
    return max(0.0, floor(min(values) / _STEP) * _STEP), min(1.0, ceil(max(values) / _STEP) * _STEP)


def _draw_strip(axes: Axes, strip: SeedStrip, place: int) -> None:
    spread, colour = strip.spread, strip.colour
    first, *others = spread.trainings
    if spread.lowest is not None and spread.highest is not None:
        ends = [spread.lowest, spread.highest]
        axes.plot(ends, [place] * 2, color=colour, alpha=0.25, linewidth=9, solid_capstyle="butt", zorder=2)
    if first.auc.low is not None and first.auc.high is not None:
        axes.plot([first.auc.low, first.auc.high], [place] * 2, color=colour, linewidth=1.4, zorder=3)
    rings = [one.auc.value for one in others if one.auc.value is not None]
    axes.plot(
        rings,
        [place] * len(rings),
        "o",
        color=colour,
        markerfacecolor="white",
        markersize=6,
        markeredgewidth=1.4,
        clip_on=False,
        zorder=4,
    )
    if first.auc.value is not None:
        axes.plot([first.auc.value], [place], "D", color=colour, markersize=6, clip_on=False, zorder=5)
