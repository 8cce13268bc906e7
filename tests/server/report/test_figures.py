from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies.page import decode_picture
from studies.results import SMALL, Make, absent, make_study, measure
from studies.svg_styles import list_styled

from common.stats.estimate import Estimate
from server.report.bars import Bar, draw_bars
from server.report.drawing import Picture
from server.report.figures import (
    StyledCell,
    TimedCurve,
    draw_calibration,
    draw_decision,
    draw_losses,
    draw_roc,
)
from server.report.forests import UNIVARIATE, ForestLine, draw_forest
from server.report.palette import LineStyle, style_arms, style_models, tint_auc

SMALL_STUDY = Make(models=("2D-ResNet-18",), rounds=3)
FULL = Make(models=("net",), rounds=2, full=True)


@pytest.mark.parametrize(("kind", "epochs"), [("federated", [2, 4, 6]), ("local", [1, 2, 3])])
def test_a_learning_curve_draws_the_losses_at_their_epochs(kind, epochs):
    results = make_study(SMALL_STUDY)
    curve = next(curve for curve in results.training if curve.kind == kind)
    style = style_arms(results)[curve.arm]

    picture = draw_losses([TimedCurve(curve, 2 if kind == "federated" else 1)], {curve.arm: style}, "title")

    drawn = _drawn(picture, style)
    (left, bottom), (right, top) = drawn[0], drawn[-1]
    losses = [point.loss for point in curve.points]
    for (x, y), epoch, loss in zip(drawn, epochs, losses, strict=True):
        assert (x - left) / (right - left) == pytest.approx((epoch - epochs[0]) / (epochs[-1] - epochs[0]))
        assert (y - bottom) / (top - bottom) == pytest.approx(
            (loss - losses[0]) / (losses[-1] - losses[0]), abs=1e-4
        )


def _drawn(picture: Picture, style: LineStyle) -> list[tuple[float, float]]:
    """The vertices of the one line of that colour, in the picture's own units."""
    code = decode_picture(picture.source)
    assert "date" not in code
    svg = ET.fromstring(code)  # noqa: S314 - our own picture
    (path,) = [
        element.get("d")
        for element in list_styled(svg, f"stroke: {style.colour.lower()}")
        if element.tag == "{http://www.w3.org/2000/svg}path" and element.get("clip-path")
    ]
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]


def test_a_roc_picture_draws_the_curve_that_it_was_given():
    results = make_study(SMALL_STUDY)
    cell = next(c for c in results.evaluation if c.arm == "federated" and c.part == "whole")
    style = style_arms(results)[cell.arm]

    picture = draw_roc([StyledCell(cell, style)], "title")

    drawn = _drawn(picture, style)
    assert len(drawn) == len(cell.roc)
    (left, bottom), (right, top) = drawn[0], drawn[-1]
    for (x, y), point in zip(drawn, cell.roc, strict=True):
        assert (x - left) / (right - left) == pytest.approx(point.false_positive_rate, abs=5e-5)
        assert (bottom - y) / (bottom - top) == pytest.approx(point.true_positive_rate, abs=5e-5)


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@given(st.floats(min_value=0, max_value=1))
def test_text_on_every_tint_has_the_contrast_that_wcag_asks_for(auc):
    assert _contrast(tint_auc(auc), "#2a3742") >= 4.5


def test_lines_have_the_contrast_that_wcag_asks_for():
    many = make_study(Make(training=tuple("ABCDEFG"), models=("net",), rounds=1))

    assert all(_contrast(style.colour, "#ffffff") >= 3 for style in style_arms(many).values())


def test_kinds_of_arm_differ_without_colour():
    styles = style_arms(make_study(SMALL_STUDY))

    dashes = [styles[arm].dashes for arm in ("federated", "local-Nanjing", "pooled")]

    assert len(set(dashes)) == 3


def test_tints_tell_above_from_below_chance():
    assert tint_auc(0.5) == "#ffffff"
    assert tint_auc(1.0) == "#7fb8e3"
    assert tint_auc(0.0) == "#f3a96b"


def _shapes(picture: Picture, colour: str, kind: str) -> list[ET.Element]:
    """What is drawn with that "stroke" or "fill"."""
    svg = ET.fromstring(decode_picture(picture.source))  # noqa: S314 - our own picture
    return list_styled(svg, f"{kind}: {colour.lower()}")


def test_a_roc_band_is_drawn_only_where_asked():
    cell = next(c for c in make_study(SMALL_STUDY).evaluation if c.part == "whole")
    style = LineStyle("net", "#0072b2", "")

    bare = draw_roc([StyledCell(cell, style)], "title")
    banded = draw_roc([StyledCell(cell, style, band=True)], "title")

    assert not _shapes(bare, style.colour, "fill")
    assert len(_shapes(banded, style.colour, "fill")) == 1


def _ratio(low: float, value: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high)


def _arrows(picture: Picture) -> int:
    """Markers are defined once and used; an arrow is a triangle of three corners."""
    svg = decode_picture(picture.source)
    triangles = [
        name
        for name, path in re.findall(r'<path id="(m\w+)" d="([^"]+)"', svg)
        if len(re.findall(r"[-\d.]+ [-\d.]+", path)) == 3 and "z" in path
    ]
    return sum(svg.count(f'href="#{name}"') for name in triangles)


@pytest.mark.parametrize(
    ("measure", "arrows"),
    [
        (_ratio(0.6, 1.1, 1.9), 0),
        (_ratio(0.935, 7.15, 54.69), 1),
        (_ratio(0.001, 1.0, 900.0), 2),
    ],
)
def test_an_interval_that_leaves_the_forest_ends_in_an_arrow(measure, arrows):
    picture = draw_forest([ForestLine("INR", measure, None)], "title")

    assert _arrows(picture) == arrows


def test_a_withheld_odds_ratio_is_not_drawn():
    hidden = Estimate(value=None, standing=SMALL)

    shown = draw_forest([ForestLine("INR", _ratio(0.6, 1.1, 1.9), None)], "title")
    bare = draw_forest([ForestLine("INR", hidden, None)], "title")

    assert _shapes(shown, UNIVARIATE, "stroke")
    assert not _shapes(bare, UNIVARIATE, "stroke")


@pytest.mark.parametrize(
    ("low", "value", "high", "begins"),
    [
        (0.5, 0.6, 0.7, 0.03),  # at the bar's foot
        (0.05, 0.12, 0.25, 0.28),  # the interval's caps lay on the number
        (0.1, 0.5, 0.7, 0.73),
        (0.02, 0.5, 0.95, 0.03),  # no room on either side: on a white ground
    ],
)
def test_the_number_of_a_low_bar_is_not_on_its_interval(low, value, high, begins):
    bar = Bar("first", (_ratio(low, value, high),) * 3)

    svg = ET.fromstring(decode_picture(draw_bars([bar], "t").source))  # noqa: S314 - ours

    texts = {element.text: element for element in svg.iter("{http://www.w3.org/2000/svg}text")}
    x, zero, one = (float(texts[text].get("x")) for text in (f"{value:.3f}", "0", "1"))
    # The metrics share the names of their ticks: the last panel's are kept
    assert (x - zero) / (one - zero) == pytest.approx(begins, abs=0.04)
    assert len(list_styled(svg, "fill: #ffffff")) > 1 or begins < low or begins > high


@pytest.mark.parametrize("letters", ["Sensitivity", "Observed share", "Net benefit", "Training loss"])
def test_no_axis_label_is_cut_at_the_left_edge(letters):
    """Letters of ten points need as much room left of their baseline: "Sensitivity" lay half outside."""
    results = make_study(FULL)
    cell = next(c for c in results.evaluation if c.calibration is not None and c.roc and c.decision)
    style = LineStyle("net", "#0072b2", "")
    curve = results.training[0]
    pictures = (
        draw_roc([StyledCell(cell, style)], "title"),
        draw_calibration(cell.calibration, style, "title"),
        draw_decision([StyledCell(cell, style)], "title"),
        draw_losses([TimedCurve(curve, 1)], {curve.arm: style}, "title"),
    )

    (x,) = [
        float(found)
        for picture in pictures
        for found in re.findall(rf'x="([-\d.]+)"[^>]*>{letters}<', decode_picture(picture.source))
    ]
    assert x >= 9


@pytest.mark.parametrize("differs", [0, 1, 2, 3])
def test_each_significant_difference_has_its_asterisk(differs):
    measures = (measure(0.8, 90), measure(0.7, 30), measure(0.6, 60))
    significant = tuple(place < differs for place in range(3))

    picture = draw_bars([Bar("first", measures), Bar("second", measures, significant)], "title")

    svg = decode_picture(picture.source)
    assert svg.count(">*</text>") == differs


def test_a_withheld_bar_says_so():
    hidden = (absent(), absent(), absent())
    picture = draw_bars([Bar("first", hidden), Bar("second", (None, None, None))], "title")

    svg = decode_picture(picture.source)
    assert svg.count(">withheld</text>") == 3
    assert svg.count(">not judged</text>") == 3


def test_a_dollar_in_a_name_is_a_dollar():
    picture = draw_bars([Bar("a$x^2$", (measure(0.8, 90),) * 3)], "title")

    assert ">a$x^2$</text>" in decode_picture(picture.source)


def test_figures_are_the_same_each_time():
    cell = next(c for c in make_study(FULL).evaluation if c.calibration is not None)
    style = LineStyle("net", "#0072b2", "")

    for draw in (
        lambda: draw_calibration(cell.calibration, style, "title"),
        lambda: draw_decision([StyledCell(cell, style, band=True)], "title"),
        lambda: draw_bars([Bar("net", (cell.auc, cell.sensitivity, cell.specificity))], "title"),
    ):
        assert draw() == draw()


def test_twenty_models_are_told_apart():
    styles = style_models([f"net-{number}" for number in range(20)])

    assert len({(style.colour, style.dashes, style.marker) for style in styles.values()}) == 20
    assert all(_contrast(style.colour, "#ffffff") >= 3 for style in styles.values())
