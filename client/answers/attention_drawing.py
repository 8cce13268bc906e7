"""The picture of an attention map: a CT slice as it is, and beside it the network's field with the map."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from common.imaging.grid import Box, Grid
from common.imaging.masks.mask import Mask
from common.imaging.preprocess import locate_crops
from common.imaging.recipe import InputShape, Recipe
from common.imaging.resample import resample
from common.imaging.scan import Scan
from common.imaging.window import window
from common.types import Pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from torch import nn

_STRONGEST = 0.65
"""Opacity where attention is 1: the CT must remain readable below."""
_PERCEPTUAL = "inferno"
"""Equal steps of attention look equal, also to a colour-blind reader and in grey print; jet's do not."""
_FRAME = "#ffd24a"
_FAINT = 0.05
"""Attention below this is not visible."""
_MARGIN = 0.4
"""Of the network's field, shown around it."""
_LETTERS = 12
"""Points: legible also where the report shows the picture at half its size."""
_SCALES_MM = (2, 5, 10, 20, 50)
_Sides: TypeAlias = tuple[float, float, float, float]
"""Left, right, bottom and top, in pixels of the slice."""


@dataclass(frozen=True)
class CtSlice:
    """The CT slice with the largest lesion, and what of it the network sees.

    Attributes
    ----------
    pixels : float32 array, shape (y, x)
        In [0, 1]; rows run to the patient's back, columns to the patient's left.
    spacing_mm : tuple of 2 floats
        Between columns (x) and between rows (y).
    extent : tuple of 4 floats
        Left, right, bottom, top of the network's input, in pixels of the slice.
    plane : float
        Where the slice lies in the input along z, in [0, 1).
    """

    pixels: Pixels
    spacing_mm: tuple[float, float]
    extent: _Sides
    plane: float


def slice_scan(scan: Scan, mask: Mask, recipe: Recipe, shape: InputShape) -> CtSlice:
    """The slice of the scan in which the lesion is largest, by the recipe of a network's input.

    Raises
    ------
    ScanError
        If the mask has no voxel of the lesion, or at the recipe's spacing none or only a line is left.
    """
    grid = Grid(scan.geometry, recipe.spacing_mm)
    crops = locate_crops(mask, grid, recipe)
    plane = crops.rectangle.start[0]
    _, rows, columns = grid.shape
    slice_box = Box((plane, 0, 0), (1, rows, columns))
    pixels = window(resample(scan.voxels, grid, slice_box, recipe.interpolation), recipe)[0]
    box = crops.of(shape.dimensions, 1)
    depth = (plane - box.start[0] + 0.5) / box.count[0]
    return CtSlice(pixels, recipe.spacing_mm[:2], _find_extent(box, recipe, shape), depth)


def _find_extent(box: Box, recipe: Recipe, shape: InputShape) -> _Sides:
    """Left, right, bottom and top of what the network sees, in pixels of the slice."""
    sides = []
    for axis, spacing_mm in ((2, recipe.spacing_mm[0]), (1, recipe.spacing_mm[1])):
        count = float(box.count[axis])
        centre = box.start[axis] + count / 2 - 0.5
        if recipe.scaling == "physical":
            count = shape.size * recipe.physical_mm_per_pixel / spacing_mm
        sides.append((centre - count / 2, centre + count / 2))
    (left, right), (top, bottom) = sides
    return left, right, bottom, top


def explain_decision(network: nn.Module, image: Pixels, view: CtSlice, *, positive: bool, noun: str) -> bytes:
    """A PNG file of what in a network's input speaks for the decision that it took.

    Parameters
    ----------
    image : float32 array, shape (channels, [z,] y, x)
        The network's input.
    positive : bool
        Whether it called the patient positive.
    noun : str
        What such patients have, e.g. "expansion".
    """
    from common.models.gradcam import attention
    from common.training.device import reproducible

    # With more threads the last bits of the gradients were seen to differ from run to run
    with reproducible(next(network.parameters()).device, threads=1):
        heat = attention(network, image, against=not positive)
    return draw_attention_picture(view, heat, noun if positive else f"no {noun}")


def draw_attention_picture(view: CtSlice, heat: Pixels, decision: str) -> bytes:
    """A PNG file of the slice, and of the network's field with the map; the patient's right is on the left.

    Parameters
    ----------
    view : CtSlice
        The slice.
    heat : float32 array, shape ([z,] y, x)
        The map in [0, 1] on the grid of the network's input.
    decision : str
        What the map speaks for, in the colour bar's words, e.g. "no expansion".
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    if heat.ndim == 3:
        heat = heat[min(int(view.plane * len(heat)), len(heat) - 1)]
    figure = Figure(figsize=(7.4, 3.5), dpi=110, layout="constrained", facecolor="black")
    FigureCanvasAgg(figure)
    plain, overlaid = figure.subplots(1, 2)
    colours = _make_colours()
    rows, columns = view.pixels.shape
    _draw_slice(plain, view, (-0.5, columns - 0.5, rows - 0.5, -0.5))
    _draw_slice(overlaid, view, _widen(view.extent))
    overlaid.imshow(heat, cmap=colours, extent=view.extent, interpolation="bilinear", vmin=0, vmax=1)
    _set_limits(overlaid, view, _widen(view.extent))
    shown = ScalarMappable(cmap=colours)
    shown.set_clim(0, 1)
    bar = figure.colorbar(shown, ax=overlaid, fraction=0.045, pad=0.02, ticks=[0, 0.5, 1])
    # As over brain, which is a middle grey
    bar.ax.set_facecolor("0.4")
    bar.ax.tick_params(colors="white", labelsize=_LETTERS)
    # A 3D map may be strong in other slices alone
    label = f"speaks for {decision}" if heat.max() >= _FAINT else f"nothing here for {decision}"
    bar.set_label(label, color="white", fontsize=_LETTERS)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _make_colours() -> ListedColormap:
    """A perceptual map that is transparent at 0."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    levels = np.linspace(0, 1, 256)
    colours = colormaps[_PERCEPTUAL](0.25 + 0.75 * levels)
    colours[:, 3] = np.minimum(levels * 1.5, 1) * _STRONGEST
    return ListedColormap(colours)


def _widen(extent: _Sides) -> _Sides:
    """The network's field with what lies around it, in which the map can be read."""
    left, right, bottom, top = extent
    margin = _MARGIN * max(right - left, bottom - top)
    return left - margin, right + margin, bottom + margin, top - margin


def _draw_slice(axes: Axes, view: CtSlice, limits: _Sides) -> None:
    """A part of the slice in grey with the network's field, the patient's sides and a scale."""
    axes.imshow(view.pixels, cmap="gray", vmin=0, vmax=1, interpolation="bilinear")
    axes.set_axis_off()
    left, right, bottom, top = view.extent
    axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=_FRAME, lw=0.9)
    _set_limits(axes, view, limits)
    # Columns run to the patient's left, so its right is where they begin
    _write(axes, (0.02, 0.5), "R", ha="left", va="center")
    _write(axes, (0.98, 0.5), "L", ha="right", va="center")
    width_mm = (limits[1] - limits[0]) * view.spacing_mm[0]
    length_mm = max((scale for scale in _SCALES_MM if scale <= width_mm / 3), default=_SCALES_MM[0])
    share = length_mm / width_mm
    axes.plot([0.03, 0.03 + share], [0.04, 0.04], transform=axes.transAxes, color="white", lw=2)
    _write(axes, (0.03, 0.07), f"{length_mm} mm", ha="left", va="bottom")


def _write(axes: Axes, place: tuple[float, float], text: str, *, ha: str, va: str) -> None:
    """White letters with a dark rim, which are read over bone and over air."""
    from matplotlib.patheffects import withStroke

    letters = axes.text(
        *place, text, transform=axes.transAxes, color="white", fontsize=_LETTERS, ha=ha, va=va
    )
    letters.set_path_effects([withStroke(linewidth=2, foreground="black")])


def _set_limits(axes: Axes, view: CtSlice, limits: _Sides) -> None:
    """Show this part of the slice; a pixel is as wide and high as its spacing."""
    left, right, bottom, top = limits
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect(view.spacing_mm[1] / view.spacing_mm[0])
