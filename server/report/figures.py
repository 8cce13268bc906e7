"""Learning curves, ROC curves, calibration and decision curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.analyses import Calibration
from server.report.drawing import (
    GREY,
    GRID,
    Frame,
    Picture,
    columns,
    draw_axes,
    line,
    unit_square,
)
from server.report.palette import LineStyle
from server.results import Cell, LearningCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SQUARE = Frame(3.8, 3.8)
_WIDE = Frame(5.2, 2.9)
_BAND = 0.16
"""Opacity: several lines must stay legible on it."""


@dataclass(frozen=True)
class TimedCurve:
    """A learning curve on the scale on which all arms can be compared.

    Attributes
    ----------
    curve : LearningCurve
    epochs_per_point : int
        A federated round is several epochs; other arms count epochs.
    """

    curve: LearningCurve
    epochs_per_point: int


@dataclass(frozen=True)
class StyledCell:
    """A cell as a figure draws it.

    Attributes
    ----------
    cell : Cell
    style : LineStyle
    band : bool
        Whether its confidence bounds are drawn, too.
    """

    cell: Cell
    style: LineStyle
    band: bool = False


def roc_picture(drawn: Sequence[StyledCell], alt: str) -> Picture:
    """ROC curves of one cohort, the first on top; a band holds the sensitivity's 95 % bounds."""

    def draw(axes: Axes) -> None:
        unit_square(axes, "1 − specificity", "Sensitivity")  # noqa: RUF001 - a minus sign
        for one in reversed(drawn):
            if one.band:
                _roc_band(axes, one)
            steps = [(point.false_positive_rate, point.true_positive_rate) for point in one.cell.roc]
            line(axes, steps, one.style)

    return draw_axes(draw, _SQUARE, alt)


def _roc_band(axes: Axes, one: StyledCell) -> None:
    bounds = [
        (point.false_positive_rate, point.low, point.high)
        for point in one.cell.roc
        if point.low is not None and point.high is not None
    ]
    if bounds:
        rates, lows, highs = zip(*bounds, strict=True)
        axes.fill_between(rates, lows, highs, color=one.style.colour, alpha=_BAND, linewidth=0, zorder=2)


def loss_picture(curves: Sequence[TimedCurve], styles: Mapping[str, LineStyle], alt: str) -> Picture:
    """Training losses by epoch, a dot on the one that was kept."""

    def draw(axes: Axes) -> None:
        for curve in curves:
            _curve(axes, curve, [point.loss for point in curve.curve.points], styles[curve.curve.arm])
        axes.set_ylabel("Training loss")
        axes.set_ylim(bottom=0)
        _epochs(axes)

    return draw_axes(draw, _WIDE, alt)


def validation_picture(curves: Sequence[TimedCurve], styles: Mapping[str, LineStyle], alt: str) -> Picture:
    """Validation AUCs by epoch, a dot on the one that was kept."""

    def draw(axes: Axes) -> None:
        axes.axhline(0.5, color=GREY, linewidth=1, zorder=1)
        for curve in curves:
            _curve(
                axes, curve, [point.validation_auc for point in curve.curve.points], styles[curve.curve.arm]
            )
        axes.set_ylabel("Validation AUC")
        axes.set_ylim(-0.02, 1.02)
        _epochs(axes)

    return draw_axes(draw, _WIDE, alt)


def _curve(axes: Axes, timed: TimedCurve, values: Iterable[float | None], style: LineStyle) -> None:
    curve, scale = timed.curve, timed.epochs_per_point
    pairs = zip(curve.points, values, strict=True)
    shown = [(point.number * scale, value) for point, value in pairs if value is not None]
    line(axes, shown, style)
    kept = [(epoch, value) for epoch, value in shown if epoch == curve.chosen * scale]
    axes.plot(*columns(kept), "o", color=style.colour, markeredgecolor="white", markersize=8, zorder=4)


def _epochs(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("Passes over the training patients (epochs)")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def calibration_picture(calibration: Calibration, style: LineStyle, alt: str) -> Picture:
    """The reliability diagram: observed share against predicted risk, with 95 % bounds."""

    def draw(axes: Axes) -> None:
        unit_square(axes, "Predicted risk", "Observed share with expansion")
        points = [(point.predicted, point.observed) for point in calibration.points]
        for point in calibration.points:
            axes.plot([point.predicted] * 2, [point.low, point.high], color=style.colour, linewidth=1.4)
        line(axes, points, LineStyle(style.label, style.colour, ""))
        axes.plot(*columns(points), "o", color=style.colour, markeredgecolor="white", markersize=7, zorder=4)

    return draw_axes(draw, _SQUARE, alt)


def decision_picture(drawn: Sequence[StyledCell], alt: str) -> Picture:
    """Net benefit by threshold probability, beside calling everybody and calling nobody positive."""

    def draw(axes: Axes) -> None:
        everybody = [(point.threshold, point.treat_all) for point in drawn[0].cell.decision]
        axes.axhline(0, color="#16212b", linewidth=1.1, zorder=2)
        axes.plot(*columns(everybody), color="#7b8791", linewidth=1.4, linestyle=(0, (1, 1.2)), zorder=2)
        for one in drawn:
            if one.band:
                _benefit_band(axes, one)
            line(axes, [(point.threshold, point.model) for point in one.cell.decision], one.style)
        top = max([0.05, *(point.model for one in drawn for point in one.cell.decision)])
        top = max([top, *(benefit for _, benefit in everybody)])
        axes.set(xlim=(0, 1), ylim=(-0.25 * top, 1.12 * top))
        axes.set(xlabel="Threshold probability", ylabel="Net benefit")
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)

    return draw_axes(draw, Frame(4.4, 3.4, left=0.72), alt)


def _benefit_band(axes: Axes, one: StyledCell) -> None:
    points = one.cell.decision
    axes.fill_between(
        [point.threshold for point in points],
        [point.low for point in points],
        [point.high for point in points],
        color=one.style.colour,
        alpha=_BAND,
        linewidth=0,
        zorder=1,
    )
