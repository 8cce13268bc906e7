"""Pictures as SVG: the same numbers give the same bytes."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.report.palette import LineStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#22303c"
GREY = "#b8c0c8"
GRID = "#e7ebee"
LINE_WIDTH = 1.9
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#5f6b76",
    "axes.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": "#3d4a56",
    "ytick.color": "#3d4a56",
    "svg.fonttype": "path",
    "svg.hashsalt": "rhe",
    "path.simplify": False,
}


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
class Frame:
    """A picture's size and margins, in inches: fixed, as fitting a layout costs as much as drawing."""

    width: float
    height: float
    left: float = 0.6
    bottom: float = 0.5
    right: float = 0.1
    top: float = 0.1

    def columns(self, figure: Figure, number: int = 1, gap: float = 0.3) -> list[Axes]:
        """Axes side by side that share what the margins leave."""
        each = (self.width - self.left - self.right - gap * (number - 1)) / number
        height = (self.height - self.bottom - self.top) / self.height
        return [
            figure.add_axes(
                (
                    (self.left + place * (each + gap)) / self.width,
                    self.bottom / self.height,
                    each / self.width,
                    height,
                )
            )
            for place in range(number)
        ]


def draw_picture(draw: Callable[[Figure], None], frame: Frame, alt: str) -> Picture:
    """What `draw` puts on an empty figure of the frame's size."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(frame.width, frame.height))
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}", alt)


def draw_axes(draw: Callable[[Axes], None], frame: Frame, alt: str) -> Picture:
    """What `draw` puts on one pair of axes."""

    def on_figure(figure: Figure) -> None:
        (axes,) = frame.columns(figure)
        draw(axes)

    return draw_picture(on_figure, frame, alt)


def line(axes: Axes, points: Sequence[tuple[float, float]], style: LineStyle) -> None:
    """A line through the points in the arm's or model's style."""
    dashes = [float(length) / LINE_WIDTH for length in style.dashes.split()]
    axes.plot(
        *columns(points),
        color=style.colour,
        linewidth=LINE_WIDTH,
        linestyle=(0, tuple(dashes)) if dashes else "-",
        zorder=3,
    )


def columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """All x and all y."""
    return [x for x, _ in points], [y for _, y in points]


def unit_square(axes: Axes, x: str, y: str) -> None:
    """Both axes from 0 to 1, with a grey diagonal."""
    ticks = ([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, zorder=1)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", xlabel=x, ylabel=y)
    axes.set_xticks(*ticks)
    axes.set_yticks(*ticks)


def wrapped(label: str, width: int) -> str:
    """The label in at most two lines."""
    return "\n".join(textwrap.wrap(label, width, max_lines=2, placeholder=" …"))
