"""Pictures as SVG: the same numbers give the same bytes."""

from __future__ import annotations

import io
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.report.palette import MARK_OUTLINES, LineStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#22303c"
GREY = "#b8c0c8"
GRID = "#e7ebee"
LINE_WIDTH = 1.9
_MARK_GAP = 0.2
"""Distance between two marks on a line, as a share of the axes' diagonal."""
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
    # Letters as text, not as outlines: half of a page was outlines
    "svg.fonttype": "none",
    "svg.hashsalt": "rhe",
    "path.simplify": False,
}


@dataclass(frozen=True)
class Picture:
    """An SVG picture as the page contains it.

    Attributes
    ----------
    source : str
        A data URI: nothing has to be fetched, and identifiers of two pictures cannot clash.
    alt : str
        What it shows, for readers who cannot see it.
    """

    source: str
    alt: str


@dataclass(frozen=True)
class PictureFrame:
    """A picture's size and margins, in inches: fixed, because fitting a layout takes as long as drawing.

    Attributes
    ----------
    width, height : float
        Size of the picture.
    left, bottom, right, top : float
        Margins between the picture's edges and its axes.
    """

    width: float
    height: float
    left: float = 0.6
    bottom: float = 0.5
    right: float = 0.1
    top: float = 0.1

    def add_columns(self, figure: Figure, number: int = 1, gap: float = 0.3) -> list[Axes]:
        """Add axes side by side that share the width between the margins, `gap` inches apart."""
        width = (self.width - self.left - self.right - gap * (number - 1)) / number
        height = (self.height - self.bottom - self.top) / self.height
        return [
            figure.add_axes(
                (
                    (self.left + place * (width + gap)) / self.width,
                    self.bottom / self.height,
                    width / self.width,
                    height,
                )
            )
            for place in range(number)
        ]


def draw_picture(draw: Callable[[Figure], None], frame: PictureFrame, alt: str) -> Picture:
    """The picture that `draw` makes on an empty figure of the frame's size."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(frame.width, frame.height))
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(embed_svg(shorten_svg(buffer.getvalue().decode())), alt)


def embed_svg(code: str) -> str:
    """The picture as a data URI in letters, a quarter shorter than in base 64.

    It is marked as safe for a template, since it has no quote and no ampersand that would end its attribute.
    """
    from markupsafe import Markup

    letters = _TAG.sub(lambda tag: tag.group().translate(_OTHER_QUOTES), code.translate(_ENCODED))
    return Markup(f"data:image/svg+xml,{letters.replace(_QUOTE, '%22')}")  # noqa: S704 - as said above


def shorten_svg(code: str) -> str:
    """The same picture in fewer characters: coordinates to a hundredth of a point, styles said once."""
    for pattern in (_METADATA, _GROUP_NAME, _NO_TURN, _FONT, _NAMESPACE):
        code = pattern.sub("", code)
    code = code.replace("xlink:href=", "href=")
    code = _COORDINATES.sub(lambda found: _DECIMALS.sub(_round, found.group()), code)
    code = _GAP.sub("><", _PATH.sub(_join_lines, _shorten_names(_unwrap_groups(code))))
    code, rules = _share_styles(_BREAKS.sub("\n", code))
    return code.replace("</style>", f"{_LETTERS}{rules}</style>", 1)


def _unwrap_groups(code: str) -> str:
    """The picture without the groups that say nothing: a third of it."""
    kept: list[str] = []
    says: list[bool] = []
    for part in _GROUP.split(code):
        if part == "</g>":
            if says.pop():
                kept.append(part)
        elif part.startswith("<g") and _GROUP.fullmatch(part):
            says.append(part != "<g>")
            if says[-1]:
                kept.append(part)
        else:
            kept.append(part)
    return "".join(kept)


def _join_lines(found: re.Match[str]) -> str:
    """A path of straight lines without the letters and breaks between its points, which SVG understands."""
    path = found.group()
    return path if "C" in path else _NEXT_LINE.sub(" ", path)


def _shorten_names(code: str) -> str:
    """The picture with short names of its shapes: a picture's names are its own."""
    names = {name: f"{name[0]}{place}" for place, name in enumerate(dict.fromkeys(_NAMED.findall(code)))}
    return _NAME.sub(lambda found: f"{found[1]}{names.get(found[2], found[2])}", code)


def _share_styles(code: str) -> tuple[str, str]:
    """The picture with a class in place of each style that it repeats, and the rules of these classes."""
    numbers = Counter(_STYLED.findall(code))
    classes = {
        style: f"s{place}"
        for place, style in enumerate(style for style, times in numbers.items() if times > 1)
    }

    def name(found: re.Match[str]) -> str:
        style = found[1]
        return f'class="{classes[style]}"' if style in classes else found[0]

    rules = "".join(f".{name}{{{style}}}" for style, name in classes.items())
    return _STYLED.sub(name, code), rules


_QUOTE = '"'
_ENCODED = str.maketrans({"%": "%25", "#": "%23", "&": "%26", "\n": " "})
_OTHER_QUOTES = str.maketrans({_QUOTE: "'", "'": "%22"})
_TAG = re.compile(r"<[^>]*>")
_LETTERS = "text{font:10px 'DejaVu Sans',Verdana,Arial,sans-serif}"
"""The letters of every picture, said once; a text says only what differs."""
_STYLED = re.compile(r'style="([^"]*)"')
_GAP = re.compile(r">\s+<")
_PATH = re.compile(r'\bd="[^"]*"')
_NEXT_LINE = re.compile(r"\s*\nL ")
_GROUP = re.compile(r"(<g(?: [^>]*)?>|</g>)")
_NAMED = re.compile(r'\bid="([a-zA-Z][0-9a-f]{8,}(?:_[0-9a-z_]+)?)"')
_NAME = re.compile(r'(\bid="|#)([a-zA-Z][0-9a-f]{8,}(?:_[0-9a-z_]+)?)\b')
_GROUP_NAME = re.compile(r'(?<=<g) id="[^"]*"')
_NO_TURN = re.compile(r' transform="rotate\(-0 [^"]*\)"')
_FONT = re.compile(r"(?: ?font-size: 10px;)| ?font-family: [^;\"]*;?")


_NAMESPACE = re.compile(r' xmlns:xlink="[^"]*"| type="text/css"')
_METADATA = re.compile(
    r"\s*<metadata>.*?</metadata>|\s*<!--.*?-->|<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*", re.DOTALL
)
_COORDINATES = re.compile(r'\b(?:d|x|y|transform|width|height|points)="[^"]*"')
_DECIMALS = re.compile(r"-?\d+\.\d{3,}(?!\d*e)")
_BREAKS = re.compile(r"\s*\n\s*")


def _round(found: re.Match[str]) -> str:
    return f"{float(found.group()):.2f}".rstrip("0").rstrip(".")


def draw_axes(draw: Callable[[Axes], None], frame: PictureFrame, alt: str) -> Picture:
    """The picture that `draw` makes on one pair of axes."""

    def draw_on_figure(figure: Figure) -> None:
        (axes,) = frame.add_columns(figure)
        draw(axes)

    return draw_picture(draw_on_figure, frame, alt)


def draw_line(axes: Axes, points: Sequence[tuple[float, float]], style: LineStyle) -> None:
    """Draw a line through the points in the style of an arm, a model or a feature.

    Its marks keep the same distance from each other along the line; other markers begin elsewhere.
    """
    dashes = [float(length) / LINE_WIDTH for length in style.dashes.split()]
    start = _MARK_GAP * list(MARK_OUTLINES).index(style.marker) / len(MARK_OUTLINES) if style.marker else 0.0
    axes.plot(
        *split_points(points),
        color=style.colour,
        linewidth=LINE_WIDTH,
        linestyle=(0, tuple(dashes)) if dashes else "-",
        marker=style.marker or None,
        markevery=(0.05 + start, _MARK_GAP),
        markersize=5.5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=3,
    )


def split_points(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """All x and all y of the points."""
    return [x for x, _ in points], [y for _, y in points]


def draw_unit_square(axes: Axes, x: str, y: str) -> None:
    """Set both axes from 0 to 1 and draw a grey diagonal."""
    ticks = ([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, zorder=1)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", xlabel=x, ylabel=y)
    axes.set_xticks(*ticks)
    axes.set_yticks(*ticks)


def wrap_label(label: str, width: int) -> str:
    """The label in at most two lines."""
    return "\n".join(textwrap.wrap(label, width, max_lines=2, placeholder=" …"))
