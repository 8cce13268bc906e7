"""How reproducible the radiomics features are: a dot for each at its intraclass correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.report.drawing import GRID, INK, Picture, PictureFrame, draw_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASSES = ("Shape", "First order", "Texture", "Wavelet")
"""Classes of features, in the order of extraction."""

_COLOUR = "#0072B2"
_WIDTH = 0.62
"""Width of a strip, as a share of its row."""
_GOLDEN = 0.6180339887
"""Its multiples spread the dots evenly over the strip, always in the same way."""


@dataclass(frozen=True)
class IccPanel:
    """One repeated reading's intraclass correlations.

    Attributes
    ----------
    title : str
        The reading in words.
    values : tuple of (str, float)
        Name of each feature that has a value, and the value that is compared with the threshold.
    """

    title: str
    values: tuple[tuple[str, float], ...]


def class_of(feature: str) -> int:
    """The position of a feature's class in `CLASSES`, from the feature's PyRadiomics name.

    Examples
    --------
    >>> class_of("original_shape_Elongation"), class_of("wavelet-LLH_firstorder_Mean")
    (0, 3)
    """
    image, family, _ = feature.split("_", 2)
    if image.startswith("wavelet"):
        return 3
    return {"shape": 0, "firstorder": 1}.get(family, 2)


def draw_icc_strips(panels: Sequence[IccPanel], threshold: float, axis: str, alt: str) -> Picture:
    """Draw one strip for each class of features; a dashed line is the threshold, negative values are at 0.

    Parameters
    ----------
    panels : sequence of IccPanel
        One for each repeated reading.
    threshold : float
        The least value of a reproducible feature.
    axis : str
        The axis' label: the estimates, or their lower bounds.
    alt : str
        The picture in words.
    """
    frame = PictureFrame(4.6 * len(panels) + 1.2, 3.3, left=0.95, bottom=0.55, right=0.75, top=0.4)

    def draw(figure: Figure) -> None:
        for place, axes in enumerate(frame.add_columns(figure, len(panels), gap=0.8)):
            _draw_panel(axes, panels[place], threshold)
            axes.set_xlabel(axis)
            axes.set_yticks(range(len(CLASSES)), CLASSES if place == 0 else [""] * len(CLASSES))

    return draw_picture(draw, frame, alt)


def _draw_panel(axes: Axes, panel: IccPanel, threshold: float) -> None:
    for place in range(len(CLASSES)):
        values = [value for name, value in panel.values if class_of(name) == place]
        across = [place + _WIDTH * ((index * _GOLDEN) % 1 - 0.5) for index in range(len(values))]
        dots = [max(0.0, value) for value in values]
        axes.plot(dots, across, "o", markersize=2.4, color=_COLOUR, alpha=0.55, markeredgewidth=0, zorder=3)
        above = sum(value > threshold for value in values)
        axes.text(1.02, place, f"{above} of {len(values)}", fontsize=8.5, va="center", clip_on=False)
    axes.axvline(threshold, color=INK, linewidth=1.3, linestyle=(0, (4, 2)), zorder=4)
    axes.set_title(panel.title, fontsize=11, fontweight="bold", loc="left")
    axes.set(xlim=(-0.01, 1.01), ylim=(len(CLASSES) - 0.5, -0.5))
    inner_ticks = [tick for tick in (0.2, 0.4, 0.6, 0.8) if abs(tick - threshold) >= 0.07]
    ticks = sorted([0, *inner_ticks, threshold, 1])
    axes.set_xticks(ticks, ["\N{LESS-THAN OR EQUAL TO} 0", *(f"{tick:g}" for tick in ticks[1:])])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
