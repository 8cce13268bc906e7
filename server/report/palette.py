"""One colour, dashes and marker for each arm, model and feature, the same in every figure and legend.

Arms, models and features have palettes of their own. Of each palette two colours differ by a CIEDE2000 of at
least 18, also under deuteranopia and protanopia, and every colour has a contrast of 3 to white.

References
----------
Machado GM, Oliveira MM, Fernandes LAF (2009). A physiologically-based model for simulation of color vision
deficiency. IEEE Trans Vis Comput Graph 15:1291-1298.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.report.words import name_plain_arm
from server.results.evaluation import Cell
from server.results.file import Results
from server.results.regression import FittedModel
from server.results.training import LearningCurve

ARM_COLOURS = ("#1A3FB0", "#BF6000", "#459984", "#731D00", "#398FE6")
POOLED_COLOUR = "#4A4A4A"
MODEL_COLOURS = ("#3054BF", "#E67300", "#73004C", "#0099E6", "#733000", "#739999", "#BF4C60")
FEATURE_COLOURS = ("#1D735D", "#E667A6", "#133E4C", "#739900", "#8F00BF", "#4C3900")
MARK_OUTLINES = {
    "o": "M-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0Z",
    "s": "M-3-3H3V3H-3Z",
    "^": "M0-3.8L3.8 3H-3.8Z",
    "D": "M0-4.2L4.2 0L0 4.2L-4.2 0Z",
    "v": "M0 3.8L3.8-3H-3.8Z",
}
"""The outline of each of matplotlib's markers around (0, 0), for legends."""
_KIND_DASHES = {"federated": "", "local": "6 3", "pooled": "2 2", "given": "9 2 2 2", "earlier": "9 2 2 2"}
_DASHES = ("", "6 3", "2 2", "9 2 2 2")


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
    marker : str
        matplotlib's sign of the marks along the line, e.g. "s"; empty for none.
    """

    label: str
    colour: str
    dashes: str
    marker: str = ""

    @property
    def outline(self) -> str:
        """The marker as an SVG path around (0, 0); empty for none."""
        return MARK_OUTLINES.get(self.marker, "")


def style_arms(results: Results) -> Mapping[str, LineStyle]:
    """The style of each arm by its name, in the order in which the study lists the arms."""
    styles: dict[str, LineStyle] = {}
    arms: tuple[LearningCurve | FittedModel | Cell, ...]
    arms = (*results.training, *results.fitted, *results.evaluation)
    for arm in arms:
        if arm.arm not in styles:
            place = sum(style.colour != POOLED_COLOUR for style in styles.values())
            colour = POOLED_COLOUR if arm.kind == "pooled" else ARM_COLOURS[place % len(ARM_COLOURS)]
            # The second turn of the colours begins with another marker
            turn = 0 if arm.kind == "pooled" else place + place // len(ARM_COLOURS)
            marker = _choose(tuple(MARK_OUTLINES), turn)
            styles[arm.arm] = LineStyle(name_plain_arm(arm), colour, _KIND_DASHES[arm.kind], marker)
    return styles


def style_models(models: Sequence[str]) -> Mapping[str, LineStyle]:
    """The style of each model by its name; two neighbours differ in colour, dashes and marker.

    The first model's colour is its own: beside it, any six that follow each other have six others.
    """
    first, *others = MODEL_COLOURS
    return _style_in_turn(models[:1], (first,)) | _style_in_turn(models[1:], others, start=1)


def style_features(features: Sequence[str]) -> Mapping[str, LineStyle]:
    """The style of each radiomics feature by its name, in colours that no arm and no model has."""
    return _style_in_turn(features, FEATURE_COLOURS)


def _style_in_turn(names: Sequence[str], colours: Sequence[str], start: int = 0) -> dict[str, LineStyle]:
    """Colours, dashes and markers each in turn: six, four and five of them make sixty styles."""
    return {
        name: LineStyle(
            name,
            _choose(colours, place - start),
            _choose(_DASHES, place),
            _choose(tuple(MARK_OUTLINES), place),
        )
        for place, name in enumerate(names, start)
    }


def _choose(choices: Sequence[str], place: int) -> str:
    return choices[place % len(choices)]


def tint_auc(auc: float) -> str:
    """A light background colour for an AUC: white at 0.5, blue above, orange below; black text is legible."""
    share = min(abs(auc - 0.5) / 0.5, 1.0)
    full = (0x7F, 0xB8, 0xE3) if auc >= 0.5 else (0xF3, 0xA9, 0x6B)
    red, green, blue = (round(255 + (channel - 255) * share) for channel in full)
    return f"#{red:02x}{green:02x}{blue:02x}"
