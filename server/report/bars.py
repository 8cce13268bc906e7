"""The bars of the paper's Fig. 7: a reference and the models compared with it, differences marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.records import Measure
from server.report.drawing import GRID, INK, Frame, Picture, draw_picture, wrapped
from server.report.words import number, standing_word

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = ("AUC", "Sensitivity", "Specificity")
_REFERENCE, _OTHER = "#9cc7e6", "#e3e8ec"
_SPINE, _TICK = 1.07, 1.02


@dataclass(frozen=True)
class Bar:
    """One model.

    Attributes
    ----------
    label : str
    measures : tuple of Measure or None
        In the order of `METRICS`.
    significant : tuple of bool
        Whether it differs from the first bar's model; all False for the first itself.
    """

    label: str
    measures: tuple[Measure | None, ...]
    significant: tuple[bool, ...] = (False, False, False)


def bars_picture(bars: Sequence[Bar], alt: str) -> Picture:
    """One group of bars for each metric; a bracket with an asterisk joins the first to those that differ."""
    frame = Frame(10.4, 0.95 + 0.42 * len(bars), left=2.3, bottom=0.4, right=0.15, top=0.4)

    def draw(figure: Figure) -> None:
        for place, axes in enumerate(frame.columns(figure, len(METRICS))):
            axes.set_title(METRICS[place], fontsize=11, fontweight="bold", loc="left")
            _bars(axes, [bar.measures[place] for bar in bars])
            _brackets(axes, [row for row, bar in enumerate(bars) if bar.significant[place]])
            axes.set(xlim=(0, 1.18), ylim=(len(bars) - 0.4, -0.6))
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.spines["bottom"].set_bounds(0, 1)
            labels = [wrapped(bar.label, 24) for bar in bars] if place == 0 else []
            axes.set_yticks(range(len(labels)), labels, parse_math=False)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x", color=GRID, linewidth=0.8)
            axes.set_axisbelow(True)

    return draw_picture(draw, frame, alt)


def _bars(axes: Axes, measures: Sequence[Measure | None]) -> None:
    rows = list(range(len(measures)))
    values = [0.0 if one is None or one.value is None else one.value for one in measures]
    colours = [_REFERENCE if row == 0 else _OTHER for row in rows]
    axes.barh(rows, values, height=0.62, color=colours, edgecolor=INK, linewidth=0.7)
    for row, one in enumerate(measures):
        if one is None or one.value is None:
            word = "not judged" if one is None else standing_word(one.standing)
            axes.text(0.03, row, word, va="center", fontsize=9, fontstyle="italic", color="#8a3b00")
        else:
            axes.text(0.03, row, number(one.value), va="center", fontsize=9)
    bounds = [
        (row, one.low, one.high)
        for row, one in enumerate(measures)
        if one is not None and one.low is not None and one.high is not None
    ]
    if bounds:
        shown, lows, highs = zip(*bounds, strict=True)
        axes.hlines(shown, lows, highs, color=INK, linewidth=1.4, zorder=3)
        for ends in (lows, highs):
            axes.vlines(
                ends, [row - 0.13 for row in shown], [row + 0.13 for row in shown], color=INK, zorder=3
            )


def _brackets(axes: Axes, rows: Sequence[int]) -> None:
    """One bracket a model, all from the first bar: they share its side."""
    if not rows:
        return
    axes.vlines(_SPINE, 0, max(rows), color=INK, linewidth=1.1)
    axes.hlines([0, *rows], _TICK, _SPINE, color=INK, linewidth=1.1)
    for row in rows:
        axes.text(_SPINE + 0.02, row + 0.1, "*", va="center", fontsize=14, fontweight="bold")
