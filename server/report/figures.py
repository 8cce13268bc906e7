"""Learning curves, ROC curves, calibration and decision curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from server.report.drawing import (
    GREY,
    GRID,
    Picture,
    PictureFrame,
    draw_axes,
    draw_line,
    draw_unit_square,
    split_points,
)
from server.report.palette import LineStyle
from server.results.evaluation import Calibration, Cell
from server.results.training import LearningCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SQUARE = PictureFrame(3.95, 3.8, left=0.75)
_WIDE = PictureFrame(5.2, 2.9)
_BAND = 0.16
"""Opacity of a band, so that several lines stay legible on it."""


@dataclass(frozen=True)
class TimedCurve:
    """A learning curve with its scale in epochs, on which all arms can be compared.

    Attributes
    ----------
    curve : LearningCurve
        Losses and validation AUCs.
    epochs_per_point : int
        Epochs between two points: several for a federated round, 1 for other arms.
    """

    curve: LearningCurve
    epochs_per_point: int


@dataclass(frozen=True)
class StyledCell:
    """A cell of the evaluation with the style of its curve.

    Attributes
    ----------
    cell : Cell
        The result to draw.
    style : LineStyle
        Colour, dashes and label of its curve.
    band : bool
        Whether its confidence bounds are drawn, too.
    """

    cell: Cell
    style: LineStyle
    band: bool = False


def draw_roc(cells: Sequence[StyledCell], alt: str) -> Picture:
    """Draw the ROC curves of one cohort, the first on top; a band shows the sensitivity's 95 % bounds."""

    def draw(axes: Axes) -> None:
        draw_unit_square(axes, "1 − specificity", "Sensitivity")  # noqa: RUF001 - a minus sign
        for styled in reversed(cells):
            if styled.band:
                _draw_roc_band(axes, styled)
            steps = [(point.false_positive_rate, point.true_positive_rate) for point in styled.cell.roc]
            draw_line(axes, steps, styled.style)

    return draw_axes(draw, _SQUARE, alt)


def _draw_roc_band(axes: Axes, styled: StyledCell) -> None:
    bounds = [
        (point.false_positive_rate, point.low, point.high)
        for point in styled.cell.roc
        if point.low is not None and point.high is not None
    ]
    if bounds:
        rates, lows, highs = zip(*bounds, strict=True)
        axes.fill_between(rates, lows, highs, color=styled.style.colour, alpha=_BAND, linewidth=0, zorder=2)


def draw_losses(curves: Sequence[TimedCurve], styles: Mapping[str, LineStyle], alt: str) -> Picture:
    """Draw training losses by epoch, with the arm's mark on the epoch that was kept."""

    def draw(axes: Axes) -> None:
        for curve in curves:
            _draw_curve(axes, curve, [point.loss for point in curve.curve.points], styles[curve.curve.arm])
        axes.set_ylabel("Training loss")
        axes.set_ylim(bottom=0)
        _label_epochs(axes)

    return draw_axes(draw, _WIDE, alt)


def draw_validation(curves: Sequence[TimedCurve], styles: Mapping[str, LineStyle], alt: str) -> Picture:
    """Draw validation AUCs by epoch, with the arm's mark on the epoch that was kept."""

    def draw(axes: Axes) -> None:
        axes.axhline(0.5, color=GREY, linewidth=1, zorder=1)
        for curve in curves:
            _draw_curve(
                axes, curve, [point.validation_auc for point in curve.curve.points], styles[curve.curve.arm]
            )
        axes.set_ylabel("Validation AUC")
        axes.set_ylim(-0.02, 1.02)
        _label_epochs(axes)

    return draw_axes(draw, _WIDE, alt)


def _draw_curve(axes: Axes, timed: TimedCurve, values: Iterable[float | None], style: LineStyle) -> None:
    curve, scale = timed.curve, timed.epochs_per_point
    pairs = zip(curve.points, values, strict=True)
    points = [(point.number * scale, value) for point, value in pairs if value is not None]
    draw_line(axes, points, replace(style, marker=""))
    chosen = [(epoch, value) for epoch, value in points if epoch == curve.chosen * scale]
    axes.plot(
        *split_points(chosen),
        style.marker or "o",
        color=style.colour,
        markeredgecolor="white",
        markersize=8,
        zorder=4,
    )


def _label_epochs(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("Passes over the training patients (epochs)")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def draw_calibration(calibration: Calibration, style: LineStyle, alt: str) -> Picture:
    """Draw the reliability diagram: observed share against predicted risk, with 95 % bounds."""

    def draw(axes: Axes) -> None:
        draw_unit_square(axes, "Predicted risk", "Observed share")
        points = [(point.predicted, point.observed) for point in calibration.points]
        for point in calibration.points:
            axes.plot([point.predicted] * 2, [point.low, point.high], color=style.colour, linewidth=1.4)
        draw_line(axes, points, LineStyle(style.label, style.colour, ""))
        axes.plot(
            *split_points(points),
            style.marker or "o",
            color=style.colour,
            markeredgecolor="white",
            markersize=7,
            zorder=4,
        )

    return draw_axes(draw, _SQUARE, alt)


def draw_decision(cells: Sequence[StyledCell], alt: str) -> Picture:
    """Draw net benefit by threshold probability, with calling everybody and calling nobody positive."""

    def draw(axes: Axes) -> None:
        everybody = [(point.threshold, point.treat_all) for point in cells[0].cell.decision]
        axes.axhline(0, color="#16212b", linewidth=1.1, zorder=2)
        axes.plot(*split_points(everybody), color="#7b8791", linewidth=1.4, linestyle=(0, (1, 1.2)), zorder=2)
        for styled in cells:
            if styled.band:
                _draw_benefit_band(axes, styled)
            draw_line(axes, [(point.threshold, point.model) for point in styled.cell.decision], styled.style)
        top = max([0.05, *(point.model for styled in cells for point in styled.cell.decision)])
        top = max([top, *(benefit for _, benefit in everybody)])
        axes.set(xlim=(0, 1), ylim=(-0.25 * top, 1.12 * top))
        axes.set(xlabel="Threshold probability", ylabel="Net benefit")
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)

    return draw_axes(draw, PictureFrame(4.4, 3.4, left=0.72), alt)


def _draw_benefit_band(axes: Axes, styled: StyledCell) -> None:
    points = styled.cell.decision
    axes.fill_between(
        [point.threshold for point in points],
        [point.low for point in points],
        [point.high for point in points],
        color=styled.style.colour,
        alpha=_BAND,
        linewidth=0,
        zorder=1,
    )
