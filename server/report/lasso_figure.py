"""The LASSO's path and its cross-validation as a picture (the paper's Fig. S2)."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from server.report.drawing import GREY, GRID, INK, Picture, PictureFrame, draw_line, draw_picture
from server.report.palette import LineStyle
from server.results.selection import FeatureSelection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FRAME = PictureFrame(9.4, 3.3, left=0.78, bottom=0.55, top=0.5)
_GAP = 0.95
_COUNTS = 6
"""How many numbers of features are written above the cross-validation's curve."""
_ERROR = "#00598c"
_MARGIN = 1.25
"""Factor between the path's ends and the limits of the axis."""
_X_LABEL = "Penalty \u03bb, logarithmic axis"


def draw_lasso(selection: FeatureSelection, chosen: float, styles: Sequence[LineStyle], alt: str) -> Picture:
    """Draw the selected features' coefficients (left) and the validation error (right) by penalty.

    Parameters
    ----------
    selection : FeatureSelection
        With a path.
    chosen : float
        The chosen penalty, which is marked.
    styles : sequence of LineStyle
        Of the selected features, in their order.
    alt : str
        The picture in words.
    """

    def draw(figure: Figure) -> None:
        path, validation = _FRAME.add_columns(figure, 2, _GAP)
        for axes in (path, validation):
            _set_penalty_axis(axes, selection, chosen)
        _draw_profiles(path, selection, styles)
        _draw_validation(validation, selection)

    return draw_picture(draw, _FRAME, alt)


def _set_penalty_axis(axes: Axes, selection: FeatureSelection, chosen: float) -> None:
    """Set a logarithmic axis of penalties with ticks in plain digits, and mark the chosen penalty."""
    high, low = selection.path[0].penalty, selection.path[-1].penalty
    axes.set(xscale="log", xlim=(low / _MARGIN, high * _MARGIN), xlabel=_X_LABEL)
    decades = [10.0**power for power in range(floor(log10(low)), ceil(log10(high)) + 1)]
    ticks = [tick for tick in decades if low / _MARGIN <= tick <= high * _MARGIN]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_formatter("")
    axes.axvline(chosen, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=2)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_profiles(axes: Axes, selection: FeatureSelection, styles: Sequence[LineStyle]) -> None:
    axes.axhline(0, color=GREY, linewidth=1, zorder=1)
    penalties = [point.penalty for point in selection.path]
    for feature, style in zip(selection.features, styles, strict=True):
        draw_line(axes, list(zip(penalties, feature.profile, strict=True)), style)
    axes.set_ylabel("Coefficient per SD")


def _draw_validation(axes: Axes, selection: FeatureSelection) -> None:
    """Draw the mean error with its standard error, and above it how many features each penalty keeps."""
    points = selection.path
    penalties = [point.penalty for point in points]
    low = [point.loss - point.standard_error for point in points]
    high = [point.loss + point.standard_error for point in points]
    axes.fill_between(penalties, low, high, color=_ERROR, alpha=0.16, linewidth=0)
    axes.plot(penalties, [point.loss for point in points], color=_ERROR, linewidth=1.9, zorder=3)
    chosen = [(point.penalty, point.loss) for point in points if point.penalty == selection.penalty]
    for penalty, loss in chosen:
        axes.plot([penalty], [loss], "o", color=_ERROR, markeredgecolor="white", markersize=8, zorder=4)
    error = "binomial deviance" if selection.family == "binomial" else "mean squared"
    axes.set_ylabel(f"Validation error, {error}")
    top = axes.secondary_xaxis("top")
    labelled = [points[round(place * (len(points) - 1) / (_COUNTS - 1))] for place in range(_COUNTS)]
    top.set_xticks([point.penalty for point in labelled], [str(point.active) for point in labelled])
    top.set_xticks([], minor=True)
    top.tick_params(length=0, labelsize=9)
    top.set_xlabel("Features with a coefficient", fontsize=9)
