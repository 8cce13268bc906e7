"""The forest plot of odds ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.records import Measure
from server.report.drawing import GREY, GRID, Frame, Picture, draw_axes, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNIVARIATE, MULTIVARIABLE = "#D55E00", "#00598c"
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
_LABEL = 34
"""Characters of a label in one line."""
_SHIFT = 0.17
"""Of the two ratios of one line from its middle."""


@dataclass(frozen=True)
class ForestLine:
    """One variable or level.

    Attributes
    ----------
    label : str
    univariate, multivariable : Measure or None
        Odds ratios; None or absent ones are not drawn.
    """

    label: str
    univariate: Measure | None
    multivariable: Measure | None


def forest_picture(lines: Sequence[ForestLine], alt: str) -> Picture:
    """Univariate (circles) and multivariable (squares) odds ratios on a logarithmic axis.

    An interval that leaves the axis ends in an arrow.
    """
    left, right = _limits(lines)
    longest = min(_LABEL, max(len(one.label) for one in lines))
    frame = Frame(8.6, 0.75 + 0.36 * len(lines), left=0.25 + 0.08 * longest, bottom=0.55)

    def draw(axes: Axes) -> None:
        axes.axvline(1, color=GREY, linewidth=1.2, zorder=1)
        for place, one in enumerate(lines):
            both = one.univariate is not None and one.multivariable is not None
            shift = _SHIFT if both else 0.0
            _interval(axes, one.univariate, place - shift, (UNIVARIATE, "o"), (left, right))
            _interval(axes, one.multivariable, place + shift, (MULTIVARIABLE, "s"), (left, right))
        axes.set(xscale="log", xlim=(left, right), ylim=(len(lines) - 0.4, -0.6))
        ticks = [tick for tick in _TICKS if left <= tick <= right]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("Odds ratio, logarithmic axis")
        axes.set_yticks(range(len(lines)), [wrapped(one.label, _LABEL) for one in lines], parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)

    return draw_axes(draw, frame, alt)


def _limits(lines: Sequence[ForestLine]) -> tuple[float, float]:
    """The smallest axis that holds all intervals, from 0.5 to 2 at least and from 0.1 to 20 at most."""
    measures = [one for each in lines for one in (each.univariate, each.multivariable) if one is not None]
    low = min([0.5, *(one.low for one in measures if one.low is not None)])
    high = max([2.0, *(one.high for one in measures if one.high is not None)])
    left = max((tick for tick in _TICKS if tick <= low), default=_TICKS[0])
    right = min((tick for tick in _TICKS if tick >= high), default=_TICKS[-1])
    return left, right


def _interval(
    axes: Axes, measure: Measure | None, y: float, look: tuple[str, str], limits: tuple[float, float]
) -> None:
    if measure is None or measure.value is None:
        return
    colour, marker = look
    left, right = limits
    if measure.low is not None and measure.high is not None:
        axes.plot([max(measure.low, left), min(measure.high, right)], [y, y], color=colour, zorder=2)
        if measure.low < left:
            axes.plot([left], [y], "<", color=colour, markersize=6, clip_on=False, zorder=3)
        if measure.high > right:
            axes.plot([right], [y], ">", color=colour, markersize=6, clip_on=False, zorder=3)
    if left <= measure.value <= right:
        face = "white" if marker == "o" else colour
        axes.plot([measure.value], [y], marker, color=colour, markerfacecolor=face, markersize=5.5, zorder=4)
