"""The LASSO's path and its cross-validation as a picture (the paper's Fig. S2)."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from server.analyses import FeatureSelection
from server.report.drawing import GREY, GRID, INK, Frame, Picture, draw_picture, line
from server.report.palette import LineStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FRAME = Frame(9.4, 3.3, left=0.78, bottom=0.55, top=0.5)
_GAP = 0.95
_COUNTS = 6
"""Numbers of features that are written above the cross-validation's curve."""
_ERROR = "#00598c"
_MARGIN = 1.25
"""Between the path's ends and the frame, a factor."""
_X_LABEL = "Penalty \u03bb, logarithmic axis"


def lasso_picture(found: FeatureSelection, chosen: float, styles: Sequence[LineStyle], alt: str) -> Picture:
    """Left the selected features' coefficients by penalty, right the validation error; the chosen is marked.

    Parameters
    ----------
    chosen : float
        The penalty.
    styles : sequence of LineStyle
        Of the selected features.
    """

    def draw(figure: Figure) -> None:
        path, validation = _FRAME.columns(figure, 2, _GAP)
        for axes in (path, validation):
            _by_penalty(axes, found, chosen)
        _profiles(path, found, styles)
        _validation(validation, found)

    return draw_picture(draw, _FRAME, alt)


def _by_penalty(axes: Axes, found: FeatureSelection, chosen: float) -> None:
    """A logarithmic axis of penalties with its ticks in plain digits, and the chosen one."""
    high, low = found.path[0].penalty, found.path[-1].penalty
    axes.set(xscale="log", xlim=(low / _MARGIN, high * _MARGIN), xlabel=_X_LABEL)
    decades = [10.0**power for power in range(floor(log10(low)), ceil(log10(high)) + 1)]
    ticks = [tick for tick in decades if low / _MARGIN <= tick <= high * _MARGIN]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_formatter("")
    axes.axvline(chosen, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=2)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _profiles(axes: Axes, found: FeatureSelection, styles: Sequence[LineStyle]) -> None:
    axes.axhline(0, color=GREY, linewidth=1, zorder=1)
    penalties = [point.penalty for point in found.path]
    for feature, style in zip(found.features, styles, strict=True):
        line(axes, list(zip(penalties, feature.profile, strict=True)), style)
    axes.set_ylabel("Coefficient per SD")


def _validation(axes: Axes, found: FeatureSelection) -> None:
    """Mean error with its standard error; above it how many features each penalty keeps."""
    points = found.path
    penalties = [point.penalty for point in points]
    low = [point.loss - point.standard_error for point in points]
    high = [point.loss + point.standard_error for point in points]
    axes.fill_between(penalties, low, high, color=_ERROR, alpha=0.16, linewidth=0)
    axes.plot(penalties, [point.loss for point in points], color=_ERROR, linewidth=1.9, zorder=3)
    chosen = [(point.penalty, point.loss) for point in points if point.penalty == found.penalty]
    for penalty, loss in chosen:
        axes.plot([penalty], [loss], "o", color=_ERROR, markeredgecolor="white", markersize=8, zorder=4)
    axes.set_ylabel("Validation error, mean squared")
    top = axes.secondary_xaxis("top")
    shown = [points[round(place * (len(points) - 1) / (_COUNTS - 1))] for place in range(_COUNTS)]
    top.set_xticks([point.penalty for point in shown], [str(point.active) for point in shown])
    top.set_xticks([], minor=True)
    top.tick_params(length=0, labelsize=9)
    top.set_xlabel("Features with a coefficient", fontsize=9)
