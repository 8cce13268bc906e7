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
            for row, bar in enumerate(bars):
                _bar(axes, bar.measures[place], row)
            _brackets(axes, [row for row, bar in enumerate(bars) if bar.significant[place]])
            axes.set(xlim=(0, 1.18), ylim=(len(bars) - 0.4, -0.6))
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.spines["bottom"].set_bounds(0, 1)
            labels = [wrapped(bar.label, 24) for bar in bars] if place == 0 else [""] * len(bars)
            axes.set_yticks(range(len(bars)), labels, parse_math=False)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x", color=GRID, linewidth=0.8)
            axes.set_axisbelow(True)

    return draw_picture(draw, frame, alt)


def _bar(axes: Axes, measure: Measure | None, row: int) -> None:
    if measure is None or measure.value is None:
        word = "not judged" if measure is None else standing_word(measure.standing)
        axes.text(0.02, row, word, va="center", fontsize=9, fontstyle="italic", color="#8a3b00")
        return
    colour = _REFERENCE if row == 0 else _OTHER
    axes.barh(row, measure.value, height=0.62, color=colour, edgecolor=INK, linewidth=0.7)
    axes.text(0.03, row, number(measure.value), va="center", fontsize=9)
    if measure.low is not None and measure.high is not None:
        axes.plot([measure.low, measure.high], [row, row], color=INK, linewidth=1.4, zorder=3)
        for bound in (measure.low, measure.high):
            axes.plot([bound, bound], [row - 0.13, row + 0.13], color=INK, linewidth=1.4, zorder=3)


def _brackets(axes: Axes, rows: Sequence[int]) -> None:
    """One bracket a model, all from the first bar: they share its side."""
    if not rows:
        return
    axes.plot([_SPINE, _SPINE], [0, max(rows)], color=INK, linewidth=1.1)
    for row in (0, *rows):
        axes.plot([_TICK, _SPINE], [row, row], color=INK, linewidth=1.1)
    for row in rows:
        axes.text(_SPINE + 0.02, row + 0.1, "*", va="center", fontsize=14, fontweight="bold")
