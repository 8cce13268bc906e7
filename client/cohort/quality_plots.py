"""The two plots of the page on a site's data, as SVG: densities of all scans, and volumes of all patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from client.cohort.cases import PreparedCase
from client.cohort.thumbnails import ICH_COLOUR
from common.imaging.overview import Overview, bin_edges_hu
from common.types import Reals

_TISSUE_COLOUR = "#7a869a"
_WIDTH, _HEIGHT = 560, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 22, 36
_INSIDE = _HEIGHT - _TOP - _BOTTOM
_FONT = 'font-size="11" font-family="system-ui, sans-serif" fill="#1c2430"'


class _Axes:
    """A drawing's area in pixels, for values from (0 or left) to (right, top)."""

    def __init__(self, left: float, right: float, top: float) -> None:
        self._left, self._right, self._highest = left, right, top

    def x(self, value: float) -> float:
        share = (value - self._left) / (self._right - self._left)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self._highest * (_HEIGHT - _TOP - _BOTTOM)

    def draw(
        self, ticks_x: Sequence[float], ticks_y: Sequence[float], label_x: str, label_y: str
    ) -> Iterator[str]:
        """Frame, ticks and labels."""
        left, bottom = _LEFT, _HEIGHT - _BOTTOM
        yield f'<path d="M{left} {_TOP}V{bottom}H{_WIDTH - _RIGHT}" fill="none" stroke="#566170"/>'
        for tick in ticks_x:
            yield _write(self.x(tick), bottom + 14, "middle", f"{tick:g}")
        for tick in ticks_y:
            yield _write(left - 5, self.y(tick) + 4, "end", f"{tick:g}")
        yield _write((left + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, "middle", label_x)
        yield _write(4, 12, "start", label_y)


def _write(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_FONT}>{text}</text>'


def draw_histogram(overviews: Sequence[Overview]) -> str:
    """Density of lesions and of everything else, each summing to 1, all scans together."""
    edges = bin_edges_hu().astype(np.float64)
    total = np.sum([view.histogram for view in overviews], axis=0)
    shares = [counts / max(counts.sum(), 1) for counts in total]
    axes = _Axes(edges[0], edges[-1], max(float(share.max()) for share in shares) or 1.0)
    parts = []
    for low, high, name in ((20, 45, "brain"), (50, 90, "blood")):
        x, width = axes.x(low), axes.x(high) - axes.x(low)
        parts += [
            f'<rect x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{_INSIDE}" fill="#f1f3f6"/>',
            _write(x + width / 2, _TOP + 12, "middle", name),
        ]
    colours = ((ICH_COLOUR, "lesion"), (_TISSUE_COLOUR, "rest of the head"))
    parts += [
        _draw_stairs(axes, edges, share, colour) for share, (colour, _) in zip(shares, colours, strict=True)
    ]
    parts += axes.draw(range(-20, 121, 20), (), "HU", "share of voxels")
    return _wrap("Histogram of Hounsfield units", (*parts, *_draw_legend(colours)))


def _draw_stairs(axes: _Axes, edges: Reals, heights: Reals, colour: str) -> str:
    steps = "".join(
        f"V{axes.y(height):.1f}H{axes.x(edge):.1f}" for height, edge in zip(heights, edges[1:], strict=True)
    )
    start = f"M{axes.x(edges[0]):.1f} {axes.y(0):.1f}"
    return f'<path d="{start}{steps}V{axes.y(0):.1f}Z" fill="{colour}" fill-opacity="0.55"/>'


def draw_volumes(cases: Sequence[PreparedCase]) -> str:
    """Baseline against follow-up ICH, one dot a patient of whom both are known; empty without any."""
    known = [
        (case.baseline.ich_ml, case.followup.ich_ml, case.positive)
        for case in cases
        if case.baseline is not None and case.followup is not None
    ]
    if not known:
        return ""
    largest = max(max(before, after) for before, after, _ in known) * 1.05 + 1
    axes = _Axes(0.0, largest, largest)
    ticks = _choose_ticks(largest)
    diagonal = f"M{axes.x(0):.1f} {axes.y(0):.1f}L{axes.x(largest):.1f} {axes.y(largest):.1f}"
    parts = [f'<path d="{diagonal}" stroke="#000" stroke-opacity="0.4" stroke-width="0.6"/>']
    parts += [
        f'<circle cx="{axes.x(before):.1f}" cy="{axes.y(after):.1f}" r="3" '
        f'fill="{ICH_COLOUR if positive else _TISSUE_COLOUR}" fill-opacity="0.75"/>'
        for before, after, positive in known
    ]
    parts += axes.draw(ticks, ticks, "baseline ICH (ml)", "follow-up ICH (ml)")
    colours = ((_TISSUE_COLOUR, "no expansion"), (ICH_COLOUR, "expansion"))
    return _wrap("Baseline against follow-up volume", (*parts, *_draw_legend(colours)))


def _choose_ticks(largest: float) -> list[float]:
    """Four to nine round numbers from 0."""
    step = 10.0 ** np.floor(np.log10(largest))
    while largest / step < 4:
        step /= 2
    return [float(tick) for tick in np.arange(0, largest, step)]


def _draw_legend(colours: Sequence[tuple[str, str]]) -> Iterator[str]:
    for row, (colour, name) in enumerate(colours):
        y = 4 + 13 * row
        yield f'<rect x="{_WIDTH - 130}" y="{y}" width="9" height="9" fill="{colour}" fill-opacity="0.75"/>'
        yield _write(_WIDTH - 116, y + 9, "start", name)


def _wrap(title: str, parts: Sequence[str]) -> str:
    inside = "".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">{inside}</svg>'
