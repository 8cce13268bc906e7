from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, distance_transform_edt, label
from scipy.spatial import ConvexHull

from common.cohort.outcome import Volumes
from common.imaging.masks.mask import ICH, IVH
from simulations.phantom.anatomy import build_head, grid_coordinates_of
from simulations.phantom.images import Image, scan_patient
from simulations.phantom.lesion import Lesion
from simulations.phantom.scanners import SCANNERS, Scanner, scanner_of

SCANNER = SCANNERS[0]
QUIET = replace(SCANNER, noise_hu=0.0, blur_mm=0.01)
SMOOTH = -4.0
PLAIN = Lesion("deep", Volumes(24, 0), Volumes(33, 0), roughness=SMOOTH)
SEED = 5


def scan(lesion: Lesion, seed: int = SEED, scanner: Scanner = QUIET) -> tuple[Image, Image]:
    return scan_patient(build_head(scanner, 1, tilted=False, atrophy=1), lesion, scanner, seed)


@cache
def with_signs(*signs: str) -> Image:
    return scan(replace(PLAIN, signs=frozenset(signs)))[0]


def darker(sign: str) -> tuple[np.ndarray, np.ndarray]:
    """How many HU a marker of density takes from each voxel, and the hematoma."""
    plain, marked = with_signs(), with_signs(sign)
    np.testing.assert_array_equal(plain.labels, marked.labels)
    return plain.hu.astype(int) - marked.hu, plain.labels == ICH


def largest_slice(mask: np.ndarray) -> int:
    return int(mask.sum(axis=(1, 2)).argmax())


def encapsulated(region: np.ndarray, hematoma: np.ndarray) -> bool:
    """Whether in every slice a rim of blood lies between the region and the brain."""
    rim = binary_dilation(region, np.ones((1, 3, 3), dtype=bool))
    return bool((rim <= hematoma).all())


@pytest.mark.parametrize("location", ["lobar", "deep", "infratentorial"])
@pytest.mark.parametrize("seed", range(3))
def test_volumes_are_met_to_the_voxel(location: str, seed: int) -> None:
    lesion = Lesion(location, Volumes(18.3, 3.1), Volumes(27.7, 6.4), frozenset({"satellite_sign"}), 0.5)
    voxel_ml = 0.9 * 0.9 * 5 / 1000
    for image, wanted in zip(scan(lesion, seed), (lesion.baseline, lesion.followup), strict=True):
        assert np.count_nonzero(image.labels == ICH) * voxel_ml == pytest.approx(wanted.ich_ml, abs=voxel_ml)
        assert np.count_nonzero(image.labels == IVH) * voxel_ml == pytest.approx(wanted.ivh_ml, abs=voxel_ml)
        assert image.volumes.ich_ml == pytest.approx(wanted.ich_ml, abs=voxel_ml)


def test_a_grown_hematoma_contains_the_one_it_grew_from() -> None:
    lesion = Lesion("deep", Volumes(20, 2), Volumes(31, 5), frozenset({"irregular_shape"}), 1.0)
    before, after = scan(lesion)
    assert (after.labels[before.labels == ICH] == ICH).all()
    assert (after.labels[before.labels == IVH] == IVH).all()


@pytest.mark.parametrize("location", ["lobar", "deep", "infratentorial"])
def test_hematomas_lie_where_their_location_says(location: str) -> None:
    for seed in range(4):
        image, _ = scan(Lesion(location, Volumes(15, 0), Volumes(15, 0)), seed)
        anatomy = build_head(QUIET, 1, tilted=False, atrophy=1)
        blood = image.labels == ICH
        assert (anatomy.infratentorial[blood] == (location == "infratentorial")).all()
        place = grid_coordinates_of(image.geometry)
        x, y, z = (np.broadcast_to(axis, blood.shape)[blood].mean() for axis in (place.x, place.y, place.z))
        if location != "infratentorial":
            sides = np.sign(np.broadcast_to(place.x, blood.shape)[blood])
            assert len(set(sides.tolist())) == 1, "a hematoma does not cross the falx"
            from_middle = np.hypot(np.abs(x) / 70, y / 85)
            assert (from_middle > 0.4) == (location == "lobar"), (x, y, z)


def test_tissues_have_their_attenuation() -> None:
    anatomy = build_head(SCANNER, 0, tilted=False, atrophy=1)
    image, _ = scan_patient(build_head(SCANNER, 0, tilted=False, atrophy=1), PLAIN, SCANNER, 1)
    free = image.labels == 0
    assert (image.hu[:, :10] == -1000).all()
    assert (
        abs(image.hu[distance_transform_edt(anatomy.hu == -1000, sampling=(100, 1, 1)) > 5].mean() + 1000) < 2
    )
    assert 30 < np.median(image.hu[anatomy.brain & free]) < 37
    assert 60 < np.median(image.hu[image.labels == ICH]) < 75
    assert np.median(anatomy.hu[anatomy.ventricles]) == pytest.approx(6)
    assert image.hu[anatomy.hu == 1000].mean() > 800
    assert np.median(anatomy.hu[anatomy.sulci]) == pytest.approx(6)
    grey, white = anatomy.hu == 37, anatomy.hu == 30
    assert image.hu[grey & free].mean() - image.hu[white & free].mean() > 3
    assert 900 < np.count_nonzero(anatomy.brain) * 0.00405 < 1800, "ml of brain"
    assert 15 < np.count_nonzero(anatomy.ventricles) * 0.00405 < 60, "ml of ventricles"


def test_old_heads_have_wider_ventricles_and_sulci() -> None:
    young, old = (build_head(SCANNER, 1, tilted=False, atrophy=atrophy) for atrophy in (0, 2))
    assert old.ventricles.sum() > 1.5 * young.ventricles.sum()
    assert old.sulci.sum() > 1.1 * young.sulci.sum()


def test_noise_and_kernel_are_the_scanners() -> None:
    for scanner in SCANNERS:
        anatomy = build_head(scanner, 1, tilted=False, atrophy=0)
        image, _ = scan_patient(anatomy, PLAIN, scanner, 2)
        wide = np.zeros(image.hu.shape, dtype=bool)
        wide[len(wide) // 2 + 2 :] = True
        inside = distance_transform_edt(anatomy.hu == 30, sampling=(100, 1, 1)) > 5
        spread = (image.hu - anatomy.hu)[inside & wide & (image.labels == 0)]
        assert spread[np.abs(spread) < 20].std() == pytest.approx(scanner.noise_hu * 1.1, rel=0.15)


def test_a_black_hole_is_encapsulated_and_more_than_28_hu_darker() -> None:
    darkening, hematoma = darker("black_hole_sign")
    hole = (darkening > 28) & hematoma
    assert 50 < hole.sum() < 0.2 * hematoma.sum()
    assert label(hole)[1] == 1
    assert encapsulated(hole, hematoma)


def test_a_hypodensity_is_encapsulated() -> None:
    darkening, hematoma = darker("hypodensity")
    focus = (darkening > 10) & hematoma
    assert focus.sum() > 50
    assert label(focus)[1] == 1
    assert encapsulated(focus, hematoma)


def test_a_blend_is_more_than_18_hu_darker_with_a_clear_margin_and_reaches_the_brain() -> None:
    darkening, hematoma = darker("blend_sign")
    dark = (darkening > 18) & hematoma
    assert 0.1 < dark.sum() / hematoma.sum() < 0.5
    between = hematoma & (darkening > 3) & (darkening <= 18)
    assert between.sum() < 0.2 * dark.sum(), "a gradient is no clear margin"
    assert not encapsulated(dark, hematoma)


def test_a_fluid_level_is_a_horizontal_line_with_the_darker_part_in_front() -> None:
    darkening, hematoma = darker("fluid_level")
    z = largest_slice(hematoma)
    rows = [darkening[z, row][hematoma[z, row]] for row in np.flatnonzero(hematoma[z].any(axis=1))]
    assert rows[0].min() > 20
    assert rows[-1].max() == 0
    assert all(np.ptp(row) <= 2 for row in rows), "each row is on one side of the line"
    assert (np.diff([row.mean() for row in rows]) <= 0.5).all()


def test_a_swirl_winds_to_the_margin_on_contiguous_slices() -> None:
    darkening, hematoma = darker("swirl_sign")
    band = (darkening > 12) & hematoma
    assert 0.03 < band.sum() / hematoma.sum() < 0.35
    slices = np.flatnonzero(band.any(axis=(1, 2)))
    assert len(slices) >= 2
    assert (np.diff(slices) == 1).all()
    assert not encapsulated(band, hematoma)


def test_heterogeneous_density_has_at_least_three_foci() -> None:
    darkening, hematoma = darker("heterogeneous_density")
    z = largest_slice(hematoma)
    assert label((darkening[z] > 8) & hematoma[z])[1] >= 3


def solidity(image: Image) -> float:
    blood = image.labels == ICH
    points = np.argwhere(blood[largest_slice(blood)])
    corners = np.concatenate([points + np.array([i, j]) for i in (-0.5, 0.5) for j in (-0.5, 0.5)])
    return len(points) / float(ConvexHull(corners).volume)


def lobes(image: Image) -> int:
    """Maxima of the margin's distance from the middle of the largest slice."""
    blood = image.labels == ICH
    plane = blood[largest_slice(blood)]
    points = np.argwhere(plane)
    middle = points.mean(axis=0)
    offsets = points - middle
    angles = np.arctan2(offsets[:, 0], offsets[:, 1])
    reach = np.array(
        [
            np.hypot(*offsets[np.abs(np.angle(np.exp(1j * (angles - angle)))) < 0.12].T).max()
            for angle in np.linspace(-np.pi, np.pi, 72, endpoint=False)
        ]
    )
    smooth = (reach + np.roll(reach, 1) + np.roll(reach, -1)) / 3
    wide = np.stack([np.roll(smooth, shift) for shift in range(-4, 5)])
    peaks = (smooth == wide.max(axis=0)) & (smooth - wide.min(axis=0) > 0.04 * smooth.mean())
    return int(peaks.sum())


def test_an_irregular_margin_is_lobulated() -> None:
    assert solidity(with_signs()) > 0.95
    assert solidity(with_signs("irregular_shape")) < solidity(with_signs()) - 0.03
    assert lobes(with_signs("irregular_shape")) >= 2


def test_connected_islands_are_at_least_four_bulges() -> None:
    image = with_signs("island_sign")
    assert label(image.labels == ICH, np.ones((3, 3, 3)))[1] == 1
    assert lobes(image) >= 4


@pytest.mark.parametrize(
    ("signs", "count"), [(("satellite_sign",), 1), (("satellite_sign", "island_sign"), 3)]
)
@pytest.mark.parametrize("seed", range(4))
def test_small_hematomas_are_apart_and_near(signs: tuple[str, ...], count: int, seed: int) -> None:
    image, _ = scan(replace(PLAIN, signs=frozenset(signs)), seed)
    components, found = label(image.labels == ICH, np.ones((3, 3, 3)))
    assert found == count + 1
    sizes = np.bincount(components.ravel())[1:]
    main = int(sizes.argmax()) + 1
    steps = (5.0, 0.9, 0.9)
    distance = distance_transform_edt(components != main, sampling=steps)
    for small in set(range(1, found + 1)) - {main}:
        spots = np.argwhere(components == small)
        across = np.ptp(spots, axis=0) * np.array(steps)
        assert max(across[1:]) <= 10
        assert 1 <= distance[components == small].min() <= 20


def test_subarachnoid_blood_is_bright_and_not_in_the_mask() -> None:
    plain, bled = with_signs(), with_signs("sah")
    anatomy = build_head(QUIET, 1, tilted=False, atrophy=1)
    changed = (bled.hu - plain.hu.astype(int)) > 30
    assert changed.sum() > 200
    assert anatomy.sulci[changed].all()
    np.testing.assert_array_equal(plain.labels, bled.labels)


def test_an_ivh_lies_in_the_ventricles_and_widens_them_when_it_is_large() -> None:
    anatomy = build_head(QUIET, 1, tilted=False, atrophy=1)
    small, large = (scan(replace(PLAIN, baseline=Volumes(24, ml)))[0].labels == IVH for ml in (6, 35))
    assert anatomy.ventricles[small].all()
    assert (small <= large).all()
    assert 0.5 < anatomy.ventricles[large].mean() < 1
    assert anatomy.yielding[large & ~anatomy.ventricles].all()


def test_roughness_shows_in_density_texture_and_margin() -> None:
    means, spreads, outlines = [], [], []
    for roughness in (-2.0, 0.0, 2.0):
        image, _ = scan(replace(PLAIN, roughness=roughness))
        blood = image.hu[image.labels == ICH]
        means.append(blood.mean())
        spreads.append(blood.std())
        outlines.append(solidity(image))
    assert (np.diff(means) < -3).all()
    assert (np.diff(spreads) > 2).all()
    assert (np.diff(outlines) < -0.01).all()


def test_a_tilted_gantry_scans_the_same_head_at_an_angle() -> None:
    upright, tilted = (build_head(SCANNER, 1, tilted=tilt, atrophy=1) for tilt in (False, True))
    assert upright.geometry.tilt_degrees == pytest.approx(0)
    assert tilted.geometry.tilt_degrees == pytest.approx(12, abs=1e-3)
    centres = []
    for anatomy in (upright, tilted):
        place = grid_coordinates_of(anatomy.geometry)
        inside = anatomy.ventricles
        centres.append(
            [np.broadcast_to(axis, inside.shape)[inside].mean() for axis in (place.x, place.y, place.z)]
        )
    np.testing.assert_allclose(centres[0], centres[1], atol=1.5)
    assert upright.ventricles.sum() * np.cos(np.radians(12)) == pytest.approx(
        tilted.ventricles.sum(), rel=0.08
    )


def test_the_same_seed_gives_the_same_scan_and_another_seed_another() -> None:
    first, again, other = (scan(PLAIN, seed, SCANNER)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.hu, again.hu)
    assert not np.array_equal(first.hu, other.hu)
    assert not np.array_equal(
        *(image.hu for image in scan(replace(PLAIN, followup=PLAIN.baseline), 3, SCANNER))
    )


@pytest.mark.parametrize("volumes", [Volumes(2000, 0), Volumes(10, 300)])
def test_what_does_not_fit_is_refused(volumes: Volumes) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        scan(replace(PLAIN, followup=volumes))


def test_every_centre_has_a_scanner_and_neighbours_differ() -> None:
    assert scanner_of(1) != scanner_of(2)
    assert scanner_of(4) == scanner_of(1)
    assert len({(one.thickness_mm, one.pixel_mm, one.kernel) for one in SCANNERS}) == len(SCANNERS)
