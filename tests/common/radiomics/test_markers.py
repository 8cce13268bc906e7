"""Hematomas drawn by hand at 1 x 1 x 5 mm, so that every marker's answer is known from its definition."""

from __future__ import annotations

import numpy as np
import pytest

from common.cohort.schema import BY_NAME
from common.errors import ScanError
from common.imaging.masks.mask import ICH, IVH
from common.radiomics.hematoma import Hematoma, cut_hematoma
from common.radiomics.markers import LABEL, SUGGESTIONS, suggest_markers
from tests.common.radiomics.lesions import make_case

BRAIN_HU, CLOT_HU = 35.0, 70.0
SHAPE = (8, 96, 96)
Y, X = np.mgrid[: SHAPE[1], : SHAPE[2]]
MIDDLE = 3
"""The section in which the plain hematoma is largest."""


def ellipse(height=44, width=36, centre=(48, 48)):
    """Pixels of a section."""
    return ((Y - centre[0]) / (height / 2)) ** 2 + ((X - centre[1]) / (width / 2)) ** 2 <= 1


def square(y, x, size):
    return np.isin(Y, np.arange(y, y + size)) & np.isin(X, np.arange(x, x + size))


def plain():
    """Sections of an ellipsoid, the fourth the largest."""
    lesion = np.zeros(SHAPE, dtype=bool)
    for section, scale in enumerate((0, 0.7, 0.9, 1.0, 0.9, 0.7, 0, 0)):
        if scale:
            lesion[section] = ellipse(44 * scale, 36 * scale)
    return lesion


def density(*darker, lesion=None):
    """A hematoma with dark pixels: (pixels, HU, sections)."""
    lesion = plain() if lesion is None else lesion
    hu = np.where(lesion, CLOT_HU, BRAIN_HU)
    for pixels, value, sections in darker:
        for section in sections:
            hu[section][pixels & lesion[section]] = value
    return Hematoma(hu + np.random.default_rng(0).normal(0, 2, SHAPE), lesion)


def form(*sections, apart=()):
    """A hematoma of these sections, and small ones apart in the middle section."""
    lesion = np.zeros(SHAPE, dtype=bool)
    for offset, pixels in enumerate(sections):
        lesion[MIDDLE + offset] = pixels
    for pixels in apart:
        lesion[MIDDLE] |= pixels
    return Hematoma(np.where(lesion, CLOT_HU, BRAIN_HU), lesion)


def suggested(name, one):
    return SUGGESTIONS[name](one)


def test_names_are_the_nine_columns_of_the_table():
    flags = {name for name in BY_NAME if name.endswith("_sign")}
    flags |= {"irregular_shape", "fluid_level", "hypodensity", "heterogeneous_density"}

    assert set(SUGGESTIONS) == flags <= set(BY_NAME)
    assert len(SUGGESTIONS) == 9
    assert LABEL == "computed suggestion"


@pytest.mark.parametrize("name", SUGGESTIONS)
def test_plain_hematoma_has_none(name):
    assert not suggested(name, density())


HOLE = square(44, 44, 8)
CHANNEL = square(44, 44, 8) | ((Y >= 46) & (Y < 50) & (X >= 50))
SMALL = square(46, 46, 2)


@pytest.mark.parametrize(
    ("pixels", "value", "black_hole", "hypo"),
    [
        (HOLE, CLOT_HU - 31, True, True),
        (HOLE, CLOT_HU - 25, False, True),
        (HOLE, CLOT_HU - 14, False, True),
        (HOLE, CLOT_HU - 6, False, False),
        (CHANNEL, CLOT_HU - 31, False, False),
        (SMALL, CLOT_HU - 31, False, False),
    ],
    ids=["31 HU", "25 HU", "14 HU", "6 HU", "connected with the brain", "2 mm"],
)
def test_black_hole_and_hypodensity(pixels, value, black_hole, hypo):
    one = density((pixels, value, [MIDDLE]))

    assert suggested("black_hole_sign", one) == black_hole
    assert suggested("hypodensity", one) == hypo


RIGHT = X >= 54


@pytest.mark.parametrize(
    ("pixels", "value", "expected"),
    [
        (RIGHT, CLOT_HU - 22, True),
        (RIGHT, CLOT_HU - 14, False),
        (square(38, 42, 18), CLOT_HU - 22, False),
        (X >= 64, CLOT_HU - 22, False),
    ],
    ids=["22 HU", "14 HU", "encapsulated", "a sliver"],
)
def test_blend(pixels, value, expected):
    assert suggested("blend_sign", density((pixels, value, [2, 3, 4]))) == expected


def test_blend_needs_a_clear_margin():
    lesion = plain()
    hu = np.where(lesion, CLOT_HU - 2.2 * np.clip(X - 40, 0, None), BRAIN_HU)

    assert not suggested("blend_sign", Hematoma(hu, lesion))
    assert suggested("blend_sign", density((RIGHT, CLOT_HU - 25, [2, 3, 4])))


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (Y < 50, True),
        (Y + 0.15 * (X - 48) < 50, True),
        (Y >= 50, False),
        (X < 50, False),
        (Y + 0.6 * (X - 48) < 50, False),
        (Y + 4 * np.sin(X / 2) < 50, False),
        (Y < 30, False),
    ],
    ids=["level", "head turned by 9 degrees", "dark below", "side by side", "slanting", "wavy", "a sliver"],
)
@pytest.mark.parametrize("drop_hu", [14, 25])
def test_fluid_level_whatever_its_density(pixels, expected, drop_hu):
    assert suggested("fluid_level", density((pixels, CLOT_HU - drop_hu, [MIDDLE]))) == expected


FOCI = [square(y, x, 5) for y, x in ((36, 46), (50, 40), (50, 54), (60, 46))]


@pytest.mark.parametrize(
    ("count", "section", "drop_hu", "expected"),
    [(3, MIDDLE, 18, True), (2, MIDDLE, 18, False), (4, MIDDLE - 1, 18, False), (4, MIDDLE, 6, False)],
)
def test_heterogeneous_is_three_foci_on_the_largest_section(count, section, drop_hu, expected):
    one = density(*((focus, CLOT_HU - drop_hu, [section]) for focus in FOCI[:count]))

    assert suggested("heterogeneous_density", one) == expected


BAND = np.abs(Y - 48 - (X - 48) / 2) < 4


@pytest.mark.parametrize(
    ("value", "sections", "expected"),
    [
        (BRAIN_HU - 5, [3, 4], True),
        (BRAIN_HU + 4, [3, 4], True),
        (BRAIN_HU, [3], False),
        (BRAIN_HU, [2, 4], False),
        (BRAIN_HU + 20, [3, 4], False),
    ],
    ids=["darker than brain", "as brain", "one section", "not contiguous", "brighter than brain"],
)
def test_swirl_is_as_dark_as_brain_on_two_contiguous_sections(value, sections, expected):
    assert suggested("swirl_sign", density((BAND, value, sections))) == expected


MAIN = ellipse(30, 30, (48, 40))
"""Its rightmost pixel is column 55."""


@pytest.mark.parametrize(
    ("apart", "expected"),
    [
        (square(46, 61, 7), True),
        (square(46, 57, 7), True),
        (square(46, 76, 7), True),
        (square(46, 77, 7), False),
        (square(44, 61, 11), False),
        (square(46, 61, 8), False),
        (square(46, 56, 7), False),
        (square(46, 61, 1), False),
    ],
    ids=["5 mm away", "1 mm", "20 mm", "21 mm", "11 mm across", "diagonal of 10.9 mm", "joined", "1 pixel"],
)
def test_satellite(apart, expected):
    assert suggested("satellite_sign", form(MAIN, MAIN, apart=(apart,))) == expected


def bumps(count, centre=(48, 48), radius=15):
    """A disk with this many bubbles on its margin."""
    section = ellipse(2 * radius, 2 * radius, centre)
    for index in range(count):
        angle = 2 * np.pi * (index + 0.3) / max(count, 1)
        y, x = centre[0] + radius * np.sin(angle), centre[1] + radius * np.cos(angle)
        section = section | ellipse(10, 10, (y, x))
    return section


SEPARATE = (square(20, 20, 6), square(20, 70, 6), square(75, 20, 6), square(75, 70, 6))


@pytest.mark.parametrize(
    ("joined", "apart", "expected"),
    [(0, 3, True), (0, 2, False), (4, 0, True), (3, 0, False), (2, 2, True), (1, 2, False)],
)
def test_island_is_three_apart_or_four_of_which_some_are_joined(joined, apart, expected):
    assert suggested("island_sign", form(bumps(joined), apart=SEPARATE[:apart])) == expected


def test_a_second_large_hematoma_is_no_island():
    one = form(bumps(0, radius=13), apart=(ellipse(22, 22, (80, 80)), *SEPARATE[:2]))

    assert not suggested("island_sign", one)


@pytest.mark.parametrize(
    ("section", "apart", "expected"),
    [
        (bumps(2), 0, True),
        (bumps(3), 0, True),
        (bumps(1), 0, False),
        (bumps(1), 1, True),
        (bumps(0), 0, False),
        (ellipse(60, 20), 0, False),
        (ellipse(20, 60), 0, False),
    ],
    ids=["two", "three", "one", "one joined, one apart", "disk", "long", "wide"],
)
def test_irregular_shape_is_two_foci_on_the_largest_section(section, apart, expected):
    smaller = ellipse(12, 12)

    assert suggested("irregular_shape", form(section, smaller, apart=SEPARATE[:apart])) == expected


def test_scans_of_other_spacing_are_looked_at_in_sections_of_5_mm():
    lesion, hu = plain(), density((HOLE, CLOT_HU - 34, [MIDDLE])).hu
    fine = np.repeat(np.round(hu), 2, axis=2).astype(np.int16), np.repeat(lesion, 2, axis=2)
    case = make_case(fine[0], np.where(fine[1], ICH, 0), (0.5, 1.0, 5.0))

    found = suggest_markers(*case)

    assert [name for name, present in found.items() if present] == ["black_hole_sign", "hypodensity"]
    assert cut_hematoma(*case).clot_hu == pytest.approx(CLOT_HU, abs=2)
    assert cut_hematoma(*case).brain_hu == pytest.approx(BRAIN_HU, abs=1)


def test_ventricular_blood_alone_is_refused():
    lesion = plain()

    with pytest.raises(ScanError, match="no voxel of ICH"):
        suggest_markers(*make_case(np.where(lesion, 60.0, 35.0), np.where(lesion, IVH, 0)))


def test_without_brain_in_sight_it_is_refused():
    lesion = plain()

    with pytest.raises(ScanError, match="no brain"):
        suggest_markers(*make_case(np.where(lesion, 60.0, -1000.0), np.where(lesion, ICH, 0)))


def test_smallest_lesion_has_no_marker():
    lesion = np.zeros(SHAPE, dtype=bool)
    lesion[3, 40, 40] = True
    one = Hematoma(np.where(lesion, CLOT_HU, BRAIN_HU), lesion)

    assert not any(suggest(one) for suggest in SUGGESTIONS.values())
