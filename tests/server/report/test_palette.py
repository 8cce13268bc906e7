"""Any two lines of a figure can be told apart, by eyes that lack the green or the red cones, too."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from studies.results import Make, make_study

from server.report.families import READABLE, split_panels
from server.report.palette import (
    ARM_COLOURS,
    FEATURE_COLOURS,
    MARK_OUTLINES,
    MODEL_COLOURS,
    POOLED_COLOUR,
    style_arms,
    style_features,
    style_models,
)
from server.report.subject import find_shared_cohorts, subject_of

PALETTES = {
    "arms": (*ARM_COLOURS, POOLED_COLOUR),
    "models": MODEL_COLOURS,
    "features": FEATURE_COLOURS,
}
MINIMUM = 18
EYES = {
    "all cones": np.eye(3),
    # Machado, Oliveira and Fernandes 2009, severity 1, of linear RGB
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}
XYZ_OF_RGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def lab_of(colour, eyes=EYES["all cones"]):
    """CIELAB, D65, of a hexadecimal colour as these eyes see it."""
    channels = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    ratios = XYZ_OF_RGB @ np.clip(eyes @ linear, 0, 1) / WHITE
    x, y, z = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(first, second):
    """The difference of two CIELAB colours (Sharma, Wu and Dalal 2005)."""
    (l1, a1, b1), (l2, a2, b2) = first, second
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    grey = 0.5 * (1 - np.sqrt(mean**7 / (mean**7 + 25**7)))
    a1, a2 = a1 * (1 + grey), a2 * (1 + grey)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    hue = h1 + h2 if c1 * c2 == 0 else (h1 + turn / 2) % 360
    chroma, light = (c1 + c2) / 2, (l1 + l2) / 2
    steps = np.cos(np.radians([hue - 30, 2 * hue, 3 * hue + 6, 4 * hue - 63]))
    weight = 1 + steps @ [-0.17, 0.24, 0.32, -0.20]
    in_light = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    in_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    in_hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * weight)
    bend = 2 * np.sqrt(chroma**7 / (chroma**7 + 25**7))
    bend *= -np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    return np.sqrt(in_light**2 + in_chroma**2 + in_hue**2 + bend * in_chroma * in_hue)


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ],
)
def test_the_difference_is_that_of_the_published_pairs(first, second, difference):
    """Sharma, Wu and Dalal 2005, Table 1: pairs 1, 7, 17 and 20."""
    assert ciede2000(first, second) == pytest.approx(difference, abs=5e-5)


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("palette", PALETTES)
def test_any_two_colours_of_a_palette_differ(palette, eyes):
    """Orange and brown differed by 1.4 under protanopia, blue and violet by 5."""
    differences = {
        pair: ciede2000(*(lab_of(colour, EYES[eyes]) for colour in pair))
        for pair in combinations(PALETTES[palette], 2)
    }

    assert {pair: value for pair, value in differences.items() if value < MINIMUM} == {}


def test_no_palette_has_a_colour_of_another():
    colours = [colour for palette in PALETTES.values() for colour in palette]

    assert len(set(colours)) == len(colours)


@pytest.mark.parametrize("style", [style_models, style_features])
def test_neighbours_differ_in_colour_dashes_and_marker_from_the_first_on(style):
    styles = list(style([f"number {place}" for place in range(24)]).values())

    for first, second in pairwise(styles):
        assert first.colour != second.colour
        assert first.dashes != second.dashes
        assert first.marker != second.marker
    assert len({(one.colour, one.dashes, one.marker) for one in styles}) == 24
    assert all(one.outline.startswith("M") for one in styles)


def test_arms_of_one_kind_differ_in_colour_and_marker():
    arms = style_arms(make_study(Make(training=tuple("ABCDE"), models=("net",), rounds=1))).values()

    assert {arm.dashes for arm in arms} == {"", "6 3", "2 2"}
    assert len({(arm.colour, arm.marker) for arm in arms}) == len(arms) == 7
    assert {arm.marker for arm in arms} == set(MARK_OUTLINES)


def panels_of(make, *, planned=True):
    results = make_study(make)
    models = [{"name": name, "dimensions": int(name[0])} for name in make.models if planned]
    study = results.study.model_copy(update={"plan": results.study.plan | {"models": models}})
    subject = subject_of(results.model_copy(update={"study": study}))
    return split_panels(subject, find_shared_cohorts(subject))


@pytest.mark.parametrize("planned", [True, False])
def test_twelve_models_stand_in_the_paper_s_six_panels(planned):
    """Ning 2025, Fig. 4: 2D networks, 3D networks, the reference and four baselines; internal, external."""
    networks = tuple(f"{number}D-ResNet-{depth}" for number in (2, 3) for depth in (18, 34, 50, 101))
    baselines = ("BRAIN", "Clinical", "Combined", "Volume")

    make = Make(training=("A",), external=("B",), models=networks, logistic=baselines, pooled=False, rounds=1)
    panels = panels_of(make, planned=planned)

    shown = [panel for panel in panels if panel.cohort.large]
    assert [panel.letter for panel in shown] == list("ABCDEF")
    assert [panel.family for panel in shown[:4]] == [
        "2D networks",
        "2D networks",
        "3D networks",
        "3D networks",
    ]
    assert [panel.cohort.cells[0].part for panel in shown] == ["test", "whole"] * 3
    assert [[cell.model for cell in panel.cohort.cells] for panel in shown[::2]] == [
        list(networks[:4]),
        list(networks[4:]),
        [networks[0], *baselines],
    ]
    assert all(len(panel.cohort.cells) <= READABLE for panel in panels)
    styles = subject_of(make_study(make)).model_styles
    for panel in shown:
        colours = [styles[cell.model].colour for cell in panel.cohort.cells]
        assert len(set(colours)) == len(colours)


@pytest.mark.parametrize("baselines", [6, 7, 13])
@pytest.mark.parametrize("networks", [("2D-a", "3D-b"), ("3D-b", "2D-a", "2D-c", "2D-d")])
def test_no_panel_has_a_colour_twice(baselines, networks):
    """The reference and a sixth baseline were both blue."""
    names = tuple(f"baseline {place}" for place in range(baselines))
    make = Make(training=("A",), external=("B",), models=networks, logistic=names, pooled=False, rounds=1)
    styles = subject_of(make_study(make)).model_styles
    panels = panels_of(make)

    for panel in panels:
        colours = [styles[cell.model].colour for cell in panel.cohort.cells]
        assert len(set(colours)) == len(colours) > 1
    shown = [cell.model for panel in panels if panel.cohort.large for cell in panel.cohort.cells]
    assert set(shown) == {*networks, *names}


def test_scores_without_networks_are_shared_out_over_panels():
    scores = tuple(f"score {place}" for place in range(10))

    panels = panels_of(Make(training=("A",), models=(), scores=scores, pooled=False, rounds=1))

    assert {len(panel.cohort.cells) for panel in panels} == {5, 6}
    assert all(panel.cohort.cells[0].model == scores[0] for panel in panels)


def test_a_few_models_share_one_panel_without_a_letter():
    panels = panels_of(Make(models=("2D-net", "3D-net"), logistic=("BRAIN",), rounds=1))

    assert {(panel.letter, panel.family) for panel in panels} == {("", "")}
    assert len(panels[0].cohort.cells) == 3


def test_lone_networks_of_either_kind_share_a_panel():
    baselines = tuple(f"score {place}" for place in range(5))

    panels = panels_of(
        Make(training=("A",), external=("B",), models=("2D-net", "3D-net"), logistic=baselines, rounds=1)
    )

    assert [panel.family for panel in panels if panel.cohort.large][:2] == ["Networks", "Networks"]
