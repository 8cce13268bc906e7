"""The forest plot of odds ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.stats.estimate import Estimate
from server.report.drawing import GREY, GRID, Picture, PictureFrame, draw_axes, wrap_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNIVARIATE, MULTIVARIABLE = "#D55E00", "#00598c"
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
_LABEL = 34
"""The most characters of a label in one line."""
_SHIFT = 0.17
"""Distance of the two ratios of one line from its middle, as a share of a row."""


@dataclass(frozen=True)
class ForestLine:
    """One line of the plot: a variable or a level.

    Attributes
    ----------
    label : str
        The variable, and the level if it has any.
    univariate, multivariable : Estimate or None
        Odds ratios; None, and estimates without a value, are not drawn.
    """

    label: str
    univariate: Estimate | None
    multivariable: Estimate | None


def draw_forest(lines: Sequence[ForestLine], alt: str) -> Picture:
    """Draw univariate (circles) and multivariable (squares) odds ratios on a logarithmic axis.

    An interval that extends beyond the axis ends in an arrow.
    """
    left, right = _choose_limits(lines)
    longest = min(_LABEL, max(len(item.label) for item in lines))
    frame = PictureFrame(8.6, 0.75 + 0.36 * len(lines), left=0.25 + 0.08 * longest, bottom=0.55)

    def draw(axes: Axes) -> None:
        axes.axvline(1, color=GREY, linewidth=1.2, zorder=1)
        for place, item in enumerate(lines):
            has_both = item.univariate is not None and item.multivariable is not None
            shift = _SHIFT if has_both else 0.0
            _draw_interval(axes, item.univariate, place - shift, (UNIVARIATE, "o"), (left, right))
            _draw_interval(axes, item.multivariable, place + shift, (MULTIVARIABLE, "s"), (left, right))
        axes.set(xscale="log", xlim=(left, right), ylim=(len(lines) - 0.4, -0.6))
        ticks = [tick for tick in _TICKS if left <= tick <= right]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("Odds ratio, logarithmic axis")
        axes.set_yticks(
            range(len(lines)), [wrap_label(item.label, _LABEL) for item in lines], parse_math=False
        )
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)

    return draw_axes(draw, frame, alt)


def _choose_limits(lines: Sequence[ForestLine]) -> tuple[float, float]:
    """The smallest axis that contains all intervals, at least 0.5 to 2 and at most 0.1 to 20."""
    estimates = [
        estimate
        for item in lines
        for estimate in (item.univariate, item.multivariable)
        if estimate is not None
    ]
    low = min([0.5, *(estimate.low for estimate in estimates if estimate.low is not None)])
    high = max([2.0, *(estimate.high for estimate in estimates if estimate.high is not None)])
    left = max((tick for tick in _TICKS if tick <= low), default=_TICKS[0])
    right = min((tick for tick in _TICKS if tick >= high), default=_TICKS[-1])
    return left, right


def _draw_interval(
    axes: Axes, estimate: Estimate | None, y: float, look: tuple[str, str], limits: tuple[float, float]
) -> None:
    if estimate is None or estimate.value is None:
        return
    colour, marker = look
    left, right = limits
    if estimate.low is not None and estimate.high is not None:
        axes.plot([max(estimate.low, left), min(estimate.high, right)], [y, y], color=colour, zorder=2)
        if estimate.low < left:
            axes.plot([left], [y], "<", color=colour, markersize=6, clip_on=False, zorder=3)
        if estimate.high > right:
            axes.plot([right], [y], ">", color=colour, markersize=6, clip_on=False, zorder=3)
    if left <= estimate.value <= right:
        face = "white" if marker == "o" else colour
        axes.plot([estimate.value], [y], marker, color=colour, markerfacecolor=face, markersize=5.5, zorder=4)
