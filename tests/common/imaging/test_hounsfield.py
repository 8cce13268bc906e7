"""Values judged with padding set apart: what is in HU, what is shifted, and what is something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import Level, ScanError
from common.imaging.hounsfield import require_hounsfield
from common.imaging.intensity import measure_intensities, sample_voxels, take_median
from common.imaging.scan import Scan

SHAPE = (8, 128, 128)


def draw_head(noise_hu: float = 6.0) -> NDArray[np.int16]:
    """A brain of grey and white matter in fat and bone, as a scanner sees it: noise, cut off at -1024."""
    random = np.random.default_rng(5)
    _, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    radius = np.hypot((y - 63.5) / 55, (x - 63.5) / 44)
    hu = np.select([radius < 0.4, radius < 0.82, radius < 0.93, radius < 1], [28, 37, 1000, -90], -1000)
    hu[2:5, 60:72, 60:72] = 65
    return np.clip(np.rint(hu + random.normal(0, noise_hu, SHAPE)), -1024, 3071).astype(np.int16)


def pad(voxels: NDArray[np.int16], value: int) -> NDArray[np.int16]:
    """The scan with one value everywhere outside the scanner's circle."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    padded = voxels.copy()
    padded[:, np.hypot(y - 63.5, x - 63.5) > 64] = value
    return padded


def strip(voxels: NDArray[np.int16], value: int) -> NDArray[np.int16]:
    """The scan with one value everywhere outside the brain."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    stripped = voxels.copy()
    stripped[:, np.hypot((y - 63.5) / 55, (x - 63.5) / 44) > 0.78] = value
    return stripped


def read(voxels, geometry_of) -> Scan:
    return require_hounsfield(Scan(Path("ct"), voxels, geometry_of(shape=voxels.shape)))


def refused(voxels, geometry_of) -> str:
    with pytest.raises(ScanError) as caught:
        read(voxels, geometry_of)
    return str(caught.value)


SOUND = {
    "low dose": lambda: draw_head(30),
    "without noise": lambda: draw_head(0),
    "padding -3024": lambda: pad(draw_head(20), -3024),
    "padding -2000": lambda: pad(draw_head(), -2000),
    "padding -1024": lambda: pad(draw_head(), -1024),
    "metal": lambda: np.where(np.arange(128) == 64, np.int16(3071), draw_head()),
    "shifted by 10": lambda: draw_head() + np.int16(10),
    "reals": lambda: draw_head().astype(np.float32) + np.float32(0.25),
}


@pytest.mark.parametrize("make", SOUND.values(), ids=SOUND)
def test_a_head_in_hounsfield_units_has_no_note(geometry_of, make):
    scan = read(make(), geometry_of)
    assert scan.notes == ()
    assert scan.voxels.min() >= -1024


WITHOUT_RESCALE = "stored values without the rescale"
OTHERWISE = {
    "stored values": (lambda: draw_head() + np.int16(1024), WITHOUT_RESCALE),
    "stored values, padding -2000": (lambda: pad(draw_head() + np.int16(1024), -2000), WITHOUT_RESCALE),
    "stored values, padding 0": (lambda: pad(draw_head() + np.int16(1024), 0), WITHOUT_RESCALE),
    "stored values of 1000": (lambda: pad(draw_head() + np.int16(1000), -2000), WITHOUT_RESCALE),
    "rescaled twice": (lambda: draw_head() - np.int16(1024), "the rescale was applied twice"),
    "inverted": (lambda: -draw_head(), "inverted: air is bright"),
    "inverted with padding": (lambda: -pad(draw_head(), -2000), "inverted: air is bright"),
    "0 to 80": (lambda: np.clip(draw_head(), 0, 80), "grey levels of a windowed picture"),
    "-60 to 140": (lambda: np.clip(draw_head(), -60, 140), "grey levels of a windowed picture"),
    "8 bit": (
        lambda: (np.clip(draw_head(), 0, 80) * 3).astype(np.int16),
        "grey levels of a windowed picture",
    ),
    "0 to 1": (
        lambda: np.clip(draw_head() / 80, 0, 1).astype(np.float32),
        "grey levels of a windowed picture",
    ),
    "8 bit, stripped": (lambda: strip(draw_head(), 0) * np.int16(3), "not in Hounsfield units"),
    "cut off at 0": (lambda: np.clip(draw_head(), 0, None), "0.0% of the voxels are air"),
    "shifted by 80": (lambda: draw_head() + np.int16(80), ": shifted by about +8"),
    "shifted by -80": (lambda: draw_head() - np.int16(80), ": shifted by about -"),
    "bright tissue in true air": (
        lambda: np.where(draw_head() > -500, draw_head() + np.int16(60), draw_head()),
        "the brain has 9",
    ),
    "no head": (lambda: np.where(draw_head() > -500, np.int16(700), np.int16(-1000)), "soft tissue"),
}


@pytest.mark.parametrize(("make", "cause"), OTHERWISE.values(), ids=OTHERWISE)
def test_other_values_are_refused_with_their_cause(geometry_of, make, cause):
    assert cause in refused(make(), geometry_of)


@pytest.mark.parametrize("shift_hu", [-60, -40, -24, 24, 40, 60])
@pytest.mark.parametrize("padding", [None, -2000])
def test_a_shift_of_the_whole_scan_is_named(geometry_of, shift_hu, padding):
    voxels = draw_head() + np.int16(shift_hu)
    scan = read(voxels if padding is None else pad(voxels, padding), geometry_of)

    (note,) = scan.notes
    assert note.level is Level.LOOK
    shown = int(note.what.partition("shifted by about ")[2].partition(" HU")[0])
    assert shown == pytest.approx(shift_hu, abs=5)


def test_air_alone_that_is_not_at_1000_says_nothing(geometry_of):
    """Scanners measure air a little off; the brain then is where it should be."""
    voxels = draw_head()
    assert read(np.where(voxels < -500, voxels + np.int16(30), voxels), geometry_of).notes == ()


@pytest.mark.parametrize("background", [0, -2000, -3024])
def test_a_head_without_skull_is_used_and_said_so(geometry_of, background):
    scan = read(strip(draw_head(), background), geometry_of)

    (note,) = scan.notes
    assert note.level is Level.KNOW
    assert f"{background} stands everywhere outside the brain" in note.what
    assert scan.voxels[0, 0, 0] == (0 if background == 0 else -1000)
    assert np.array_equal(scan.voxels[3, 60:70, 60:70], draw_head()[3, 60:70, 60:70])


def test_a_head_without_skull_in_air_needs_no_note(geometry_of):
    assert read(strip(draw_head(), -1024), geometry_of).notes == ()


def test_modes_are_those_of_air_and_brain_whatever_the_padding():
    plain = measure_intensities(sample_voxels(draw_head()))
    padded = measure_intensities(sample_voxels(pad(draw_head(), -3024)))
    assert plain.air_hu == pytest.approx(-1000, abs=2)
    assert plain.brain_hu == pytest.approx(33, abs=4)
    assert (padded.air_hu, padded.brain_hu) == pytest.approx((plain.air_hu, plain.brain_hu), abs=2)
    assert padded.background == -3024
    assert plain.background is None


@pytest.mark.parametrize("kind", [np.int16, np.float32])
@pytest.mark.parametrize("slope", [1, -1])
def test_counts_of_values_measure_what_the_voxels_do(kind, slope):
    """A sample keeps each value once; NumPy is given every voxel of it."""
    voxels = (draw_head() + np.float32(0.25) * (kind is np.float32)).astype(kind)
    thinned = slope * voxels[:, ::8, ::8].ravel().astype(float) - 40

    sample = sample_voxels(voxels).scale(slope, -40)

    assert np.array_equal(np.repeat(sample.values, sample.counts), np.sort(thinned))
    for most in (-990, -1000, 40, 2000):
        some = thinned[thinned <= most]
        chosen = sample.select(sample.values <= most)
        assert chosen.count() == sample.count(sample.values <= most) == len(some)
        assert not len(some) or chosen.find_median() == np.median(some)
    seen = measure_intensities(sample)
    assert (seen.lowest, seen.highest) == (thinned.min(), thinned.max())


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_median_is_numpys(dtype):
    random = np.random.default_rng(0)
    for count in (1, 2, 3, 40, 41):
        values = random.integers(-1024, 90, count).astype(dtype)
        assert take_median(values) == float(np.median(values))
    assert take_median(np.array([-32768, 32767], dtype=np.int16)) == -0.5
