"""The bars of the paper's Fig. 7: a reference and the models compared with it, with marked differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.stats.estimate import Estimate
from server.report.drawing import GRID, INK, Picture, PictureFrame, draw_picture, wrap_label
from server.report.words import format_number, name_standing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = ("AUC", "Sensitivity", "Specificity")
_REFERENCE, _OTHER = "#9cc7e6", "#e3e8ec"
_SPINE, _TICK = 1.07, 1.02
_LABEL_START, _LABEL_END = 0.03, 0.22
"""Where a number at the foot of its bar begins and ends."""


@dataclass(frozen=True)
class Bar:
    """One model's bars, one for each metric.

    Attributes
    ----------
    label : str
        The model in words.
    estimates : tuple of Estimate or None
        In the order of `METRICS`; None where the model was not judged.
    significant : tuple of bool
        Whether each metric differs from the first model's; all False for the first model itself.
    """

    label: str
    estimates: tuple[Estimate | None, ...]
    significant: tuple[bool, ...] = (False, False, False)


def draw_bars(bars: Sequence[Bar], alt: str) -> Picture:
    """Draw bars for each metric; a bracket with an asterisk joins the first to those that differ."""
    frame = PictureFrame(10.4, 0.95 + 0.42 * len(bars), left=2.3, bottom=0.4, right=0.15, top=0.4)

    def draw(figure: Figure) -> None:
        for place, axes in enumerate(frame.add_columns(figure, len(METRICS))):
            axes.set_title(METRICS[place], fontsize=11, fontweight="bold", loc="left")
            _draw_metric(axes, [bar.estimates[place] for bar in bars])
            _draw_brackets(axes, [row for row, bar in enumerate(bars) if bar.significant[place]])
            axes.set(xlim=(0, 1.18), ylim=(len(bars) - 0.4, -0.6))
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.spines["bottom"].set_bounds(0, 1)
            labels = [wrap_label(bar.label, 24) for bar in bars] if place == 0 else []
            axes.set_yticks(range(len(labels)), labels, parse_math=False)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x", color=GRID, linewidth=0.8)
            axes.set_axisbelow(True)

    return draw_picture(draw, frame, alt)


def _draw_metric(axes: Axes, estimates: Sequence[Estimate | None]) -> None:
    rows = list(range(len(estimates)))
    values = [0.0 if estimate is None or estimate.value is None else estimate.value for estimate in estimates]
    colours = [_REFERENCE if row == 0 else _OTHER for row in rows]
    axes.barh(rows, values, height=0.62, color=colours, edgecolor=INK, linewidth=0.7)
    for row, estimate in enumerate(estimates):
        if estimate is None or estimate.value is None:
            word = "not judged" if estimate is None else name_standing(estimate.standing)
            axes.text(0.03, row, word, va="center", fontsize=9, fontstyle="italic", color="#8a3b00")
        else:
            x = _place_label(estimate)
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8} if x is None else None
            text = format_number(estimate.value)
            axes.text(x or _LABEL_START, row, text, va="center", fontsize=9, bbox=box, zorder=5)
    bounds = [
        (row, estimate.low, estimate.high)
        for row, estimate in enumerate(estimates)
        if estimate is not None and estimate.low is not None and estimate.high is not None
    ]
    if bounds:
        rows_with_bounds, lows, highs = zip(*bounds, strict=True)
        axes.hlines(rows_with_bounds, lows, highs, color=INK, linewidth=1.4, zorder=3)
        for ends in (lows, highs):
            axes.vlines(
                ends,
                [row - 0.13 for row in rows_with_bounds],
                [row + 0.13 for row in rows_with_bounds],
                color=INK,
                zorder=3,
            )


def _place_label(estimate: Estimate) -> float | None:
    """Where the number begins: at the bar's foot, or right of an interval that begins there; else None."""
    lowest = estimate.value if estimate.low is None else estimate.low
    if lowest is None or lowest > _LABEL_END:
        return _LABEL_START
    right = max(value for value in (estimate.value, estimate.high) if value is not None) + _LABEL_START
    return right if right + _LABEL_END < _TICK else None


def _draw_brackets(axes: Axes, rows: Sequence[int]) -> None:
    """Draw a bracket from the first bar to each of these rows; all share one upright line."""
    if not rows:
        return
    axes.vlines(_SPINE, 0, max(rows), color=INK, linewidth=1.1)
    axes.hlines([0, *rows], _TICK, _SPINE, color=INK, linewidth=1.1)
    for row in rows:
        axes.text(_SPINE + 0.02, row + 0.1, "*", va="center", fontsize=14, fontweight="bold")
