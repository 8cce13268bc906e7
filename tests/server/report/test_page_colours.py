"""Every colour of letters has the contrast that WCAG asks for (4.5) on what lies below it, light and dark."""

import re
from itertools import product
from pathlib import Path

import pytest

import server.report

CSS = (Path(server.report.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{([^}]*)\}", CSS)[:2]
)


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_letters_are_legible_on_every_ground(theme):
    pairs = {
        *product(("ink", "soft", "accent", "warn", "yes", "no", "open"), ("paper", "tint")),
        *product(("ink",), ("note", "outcome")),
        ("accent", "note"),
    }

    faint = {
        pair: contrast(theme[pair[0]], theme[pair[1]])
        for pair in pairs
        if contrast(theme[pair[0]], theme[pair[1]]) < 4.5
    }

    assert faint == {}


def test_a_withheld_cell_of_the_matrix_is_legible_in_the_dark():
    """It had no ground of its own there: dark letters on the dark page."""
    dark = CSS.partition("prefers-color-scheme: dark")[2]
    (rule,) = re.findall(r"\.matrix \.cell:not\(\.none\),[^{]*\{([^}]*)\}", dark)
    ground = dict(re.findall(r"([\w-]+): (#[0-9a-f]{6})", rule))["background"]

    letters = re.findall(r"\.matrix \.cell[^{]*\{[^}]*(?<!-)color: (#[0-9a-f]{6})", CSS)
    assert len(letters) >= 3
    assert [colour for colour in letters if contrast(colour, ground) < 4.5] == []


@pytest.mark.parametrize("tag", ["external", "internal", "given"])
def test_tags_are_legible(tag):
    (rule,) = re.findall(rf"^\.tag\.{tag} \{{([^}}]*)\}}", CSS, re.MULTILINE)
    colours = dict(re.findall(r"(?<![\w-])(background|color): (#[0-9a-f]{6})", rule))

    assert contrast(colours["background"], colours["color"]) >= 4.5
