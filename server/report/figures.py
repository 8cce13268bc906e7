"""The report's curves as SVG pictures: the same numbers give the same bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.report.palette import ArmStyle
from server.results import Cell, LearningCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#5f6b76",
    "axes.labelcolor": "#22303c",
    "xtick.color": "#3d4a56",
    "ytick.color": "#3d4a56",
    "svg.fonttype": "path",
    "svg.hashsalt": "rhe",
    "path.simplify": False,
}
_LINE_WIDTH = 1.9
_MARGINS_IN = (0.6, 0.5, 0.1)
"""Left, below, and on the other two sides: fixed, as fitting a layout costs as much as drawing."""


@dataclass(frozen=True)
class Picture:
    """An SVG as a page holds it.

    Attributes
    ----------
    source : str
        A data URI: nothing has to be fetched, and no two pictures' identifiers can clash.
    alt : str
        What it shows, for those who cannot see it.
    """

    source: str
    alt: str


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


def roc_picture(cells: Sequence[Cell], styles: Mapping[str, ArmStyle], title: str) -> Picture:
    """ROC curves of one cohort, one for each arm that has any."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color="#b8c0c8", linewidth=1, zorder=1)
        for cell in cells:
            steps = [(point.false_positive_rate, point.true_positive_rate) for point in cell.roc]
            _line(axes, steps, styles[cell.arm])
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set_xlabel("1 − specificity")  # noqa: RUF001 - a minus sign
        axes.set_ylabel("Sensitivity")
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])

    return Picture(_svg(draw, 3.8, 3.8), title)


def loss_picture(curves: Sequence[TimedCurve], styles: Mapping[str, ArmStyle], title: str) -> Picture:
    """Training losses by epoch, a dot on the one that was kept."""

    def draw(axes: Axes) -> None:
        for curve in curves:
            _curve(axes, curve, [point.loss for point in curve.curve.points], styles[curve.curve.arm])
        axes.set_ylabel("Training loss")
        axes.set_ylim(bottom=0)
        _epochs(axes)

    return Picture(_svg(draw, 5.2, 2.9), title)


def validation_picture(curves: Sequence[TimedCurve], styles: Mapping[str, ArmStyle], title: str) -> Picture:
    """Validation AUCs by epoch, a dot on the one that was kept."""

    def draw(axes: Axes) -> None:
        axes.axhline(0.5, color="#b8c0c8", linewidth=1, zorder=1)
        for curve in curves:
            _curve(
                axes, curve, [point.validation_auc for point in curve.curve.points], styles[curve.curve.arm]
            )
        axes.set_ylabel("Validation AUC")
        axes.set_ylim(-0.02, 1.02)
        _epochs(axes)

    return Picture(_svg(draw, 5.2, 2.9), title)


def _curve(axes: Axes, timed: TimedCurve, values: Iterable[float | None], style: ArmStyle) -> None:
    curve, scale = timed.curve, timed.epochs_per_point
    pairs = zip(curve.points, values, strict=True)
    shown = [(point.number * scale, value) for point, value in pairs if value is not None]
    _line(axes, shown, style)
    kept = [(epoch, value) for epoch, value in shown if epoch == curve.chosen * scale]
    axes.plot(*_columns(kept), "o", color=style.colour, markeredgecolor="white", markersize=8, zorder=4)


def _epochs(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("Passes over the training patients (epochs)")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.grid(axis="y", color="#e7ebee", linewidth=0.8)
    axes.set_axisbelow(True)


def _line(axes: Axes, points: Sequence[tuple[float, float]], style: ArmStyle) -> None:
    dashes = [float(length) / _LINE_WIDTH for length in style.dashes.split()]
    axes.plot(
        *_columns(points),
        color=style.colour,
        linewidth=_LINE_WIDTH,
        linestyle=(0, tuple(dashes)) if dashes else "-",
        zorder=3,
    )


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _svg(draw: Callable[[Axes], None], width_in: float, height_in: float) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in))
        left, bottom, rest = _MARGINS_IN
        size = (1 - (left + rest) / width_in, 1 - (bottom + rest) / height_in)
        draw(figure.add_axes((left / width_in, bottom / height_in, *size)))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
