"""One colour and line style for each arm and each model, the same in every figure and legend.

References
----------
Okabe M, Ito K (2008). Color universal design: colours that colour-blind readers tell apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from server.report.words import name_plain_arm
from server.results.evaluation import Cell
from server.results.file import Results
from server.results.regression import FittedModel
from server.results.training import LearningCurve

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B07800", "#2E9BD6", "#5B4BB7")
_GREY = "#4A4A4A"
_DASHES = {"federated": "", "local": "6 3", "pooled": "2 2", "given": "9 2 2 2"}
_MODEL_DASHES = ("", "6 3", "2 2", "9 2 2 2")


@dataclass(frozen=True)
class LineStyle:
    """How an arm, or a model among others, is drawn.

    Attributes
    ----------
    label : str
        The arm or model in few words.
    colour : str
        Hexadecimal, e.g. "#0072B2".
    dashes : str
        SVG's stroke-dasharray, empty for a solid line; so kinds of arm differ in black and white, too.
    """

    label: str
    colour: str
    dashes: str


def style_arms(results: Results) -> Mapping[str, LineStyle]:
    """The style of each arm by its name, in the order in which the study lists the arms."""
    styles: dict[str, LineStyle] = {}
    colours = _cycle(_COLOURS)
    arms: tuple[LearningCurve | FittedModel | Cell, ...]
    arms = (*results.training, *results.fitted, *results.evaluation)
    for arm in arms:
        if arm.arm not in styles:
            colour = _GREY if arm.kind == "pooled" else next(colours)
            styles[arm.arm] = LineStyle(name_plain_arm(arm), colour, _DASHES[arm.kind])
    return styles


def style_models(models: Sequence[str]) -> Mapping[str, LineStyle]:
    """The style of each model by its name: colours differ first, then dashes."""
    styles = {}
    for place, model in enumerate(models):
        turn, colour = divmod(place, len(_COLOURS))
        dashes = _MODEL_DASHES[turn % len(_MODEL_DASHES)]
        styles[model] = LineStyle(model, _COLOURS[colour], dashes)
    return styles


def tint_auc(auc: float) -> str:
    """A light background colour for an AUC: white at 0.5, blue above, orange below; black text is legible."""
    share = min(abs(auc - 0.5) / 0.5, 1.0)
    full = (0x7F, 0xB8, 0xE3) if auc >= 0.5 else (0xF3, 0xA9, 0x6B)
    red, green, blue = (round(255 + (channel - 255) * share) for channel in full)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _cycle(colours: tuple[str, ...]) -> Iterator[str]:
    while True:
        yield from colours
