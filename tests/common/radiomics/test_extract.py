from itertools import product

import numpy as np
import pytest

from common.errors import ScanError
from common.imaging.masks.mask import ICH, IVH
from common.radiomics.extract import extract, judge_lesion
from common.radiomics.features import FEATURES
from common.radiomics.settings import ExtractionSettings
from tests.common.radiomics.lesions import default_call, difference, make_case, textured

EXACT = 1e-9


def placed(shape, part, start):
    lesion = np.zeros(shape, dtype=np.uint8)
    lesion[tuple(slice(first, first + n) for first, n in zip(start, part.shape, strict=True))] = part
    return lesion


def test_names_are_pyradiomics_own_in_its_order_and_851():
    from radiomics import getFeatureClasses

    kinds = getFeatureClasses()
    names = {kind: [n for n, old in kinds[kind].getFeatureNames().items() if not old] for kind in kinds}
    others = [kind for kind in names if not kind.startswith("shape")]
    images = [name.split("_")[0] for name in FEATURES if name.endswith("_firstorder_Mean")]

    expected = [f"original_shape_{name}" for name in names["shape"]]
    expected += [f"{image}_{kind}_{name}" for image in images for kind in others for name in names[kind]]

    assert tuple(expected) == FEATURES
    assert (len(FEATURES), len(set(FEATURES)), len(images)) == (851, 851, 9)


@pytest.mark.slow
@pytest.mark.parametrize("corner", list(product((0, 1, 2), repeat=3)), ids=str)
def test_lesions_at_every_edge_and_corner_have_the_default_calls_numbers(corner, ball):
    # Neighbours differ in parity: any places on two axes are tried in an even and in an odd volume
    shape = (13, 31, 27) if sum(corner) % 2 else (12, 30, 28)
    ends = [(0, (size - n) // 2, size - n) for size, n in zip(shape, ball.shape, strict=True)]
    lesion = placed(shape, ball, [ends[axis][where] for axis, where in enumerate(corner)])
    case = make_case(textured(shape, lesion), lesion)

    found = extract(*case)

    assert difference(found.values, default_call(*case)) < EXACT
    assert found.touches_border == (set(corner) != {1})


@pytest.mark.parametrize("distance", [1, 2, 3, 4])
def test_near_both_ends_in_z(distance, ball):
    # An even lesion has margins of three voxels and no more on either side
    for size, start, part in product((16, 17), ("low", "high"), (ball, ball[:6, :10, :8])):
        shape = (size, 30, 28)
        first = distance if start == "low" else size - len(part) - distance
        lesion = placed(shape, part, (first, 8, 9))
        case = make_case(textured(shape, lesion), lesion)

        assert difference(extract(*case).values, default_call(*case)) < EXACT


@pytest.mark.parametrize("shape", [(7, 11, 9), (8, 12, 10), (2, 11, 9), (3, 12, 9)], ids=str)
def test_lesion_as_large_as_the_volume(shape, ball):
    lesion = np.ones(shape, dtype=np.uint8)
    lesion[0, 0, :4] = 0
    case = make_case(textured(shape, lesion), lesion)

    assert difference(extract(*case).values, default_call(*case)) < EXACT


@pytest.mark.parametrize("interpolation", ["linear", "bspline"])
def test_scan_of_other_spacing_is_resampled_as_the_whole_is(interpolation, ball):
    shape = (14, 50, 48)
    lesion = placed(shape, np.kron(ball, np.ones((1, 2, 2), dtype=bool)), (2, 10, 12))
    case = make_case(textured(shape, lesion).astype(np.int16), lesion, (0.6, 0.55, 4.8))
    settings = ExtractionSettings(interpolation=interpolation)

    assert difference(extract(*case, settings).values, default_call(*case, settings)) < EXACT


def test_hu_are_not_windowed(ball):
    lesion = placed((12, 30, 28), ball, (2, 8, 9))
    voxels = textured(lesion.shape, lesion)
    voxels[5, 13, 13] = 2500.0

    assert extract(*make_case(voxels, lesion)).values[FEATURES.index("original_firstorder_Maximum")] == 2500


def test_ivh_belongs_to_the_lesion_only_if_the_settings_say_so(ball):
    lesion = placed((12, 30, 28), ball, (2, 8, 2))
    lesion[4:6, 10:16, 18:24] = IVH
    case = make_case(textured(lesion.shape, lesion), lesion)

    alone, both = (extract(*case, ExtractionSettings(voi=voi)) for voi in ("ICH", "ICH+IVH"))

    assert both.voxels - alone.voxels == 72
    assert (alone.components, both.components) == (1, 2)
    assert difference(both.values, default_call(*case, ExtractionSettings(voi="ICH+IVH"))) < EXACT


def test_four_components_are_kept_and_flagged(ball):
    lesion = placed((12, 40, 38), ball, (2, 8, 9))
    for row, column in ((1, 1), (1, 30), (33, 33)):
        lesion[3:5, row : row + 3, column : column + 3] = ICH
    case = make_case(textured(lesion.shape, lesion), lesion)

    found = extract(*case)

    assert (found.components, found.missing) == (4, ())
    assert difference(found.values, default_call(*case)) < EXACT


def test_voxels_that_share_a_corner_are_one_component():
    lesion = np.zeros((6, 12, 12))
    lesion[2, 4:6, 4:6] = lesion[3, 6:8, 6:8] = ICH

    assert extract(*make_case(textured(lesion.shape, lesion), lesion)).components == 1


def test_thirty_voxels():
    lesion = placed((12, 30, 28), np.ones((2, 5, 3)), (5, 8, 9))
    case = make_case(textured(lesion.shape, lesion), lesion)

    found = extract(*case)

    assert found.voxels == 30
    assert difference(found.values, default_call(*case)) < EXACT


def test_constant_region(ball):
    lesion = placed((12, 30, 28), ball, (2, 8, 9))
    case = make_case(np.where(lesion > 0, 60.0, 33.0), lesion)

    found = extract(*case)

    assert difference(found.values, default_call(*case)) < EXACT
    assert found.values[FEATURES.index("original_firstorder_Variance")] == 0


def test_one_slice_is_extracted_as_pyradiomics_does(ball):
    lesion = placed((12, 30, 28), ball[3:4], (4, 8, 9))
    case = make_case(textured(lesion.shape, lesion), lesion)

    assert difference(extract(*case).values, default_call(*case)) < EXACT


def test_feature_that_does_not_exist_is_missing_by_name():
    # Three voxels none of which is another's neighbour: there is no pair for a co-occurrence
    lesion = np.zeros((12, 30, 28))
    lesion[2, 5, 5] = lesion[6, 15, 9] = lesion[9, 8, 20] = ICH
    case = make_case(textured(lesion.shape, lesion), lesion)

    found = extract(*case)

    assert "original_glcm_Contrast" in found.missing
    assert np.isnan(found.values).sum() == len(found.missing) < 400
    assert difference(found.values, default_call(*case)) < EXACT


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (np.zeros((1, 1, 1)), "no voxel of ICH at 1x1x5 mm"),
        (np.ones((1, 1, 1)), "1 segmented voxel"),
        (np.ones((1, 1, 6)), "too few dimensions"),
        (np.ones((3, 1, 1)), "too few dimensions"),
        (np.full((3, 4, 5), IVH), "no voxel of ICH"),
    ],
    ids=["empty", "one voxel", "row", "column of slices", "IVH only"],
)
def test_what_pyradiomics_cannot_do_is_refused_with_the_reason(part, reason):
    lesion = placed((12, 30, 28), part, (4, 8, 9))

    case = make_case(textured(lesion.shape, lesion), lesion)
    with pytest.raises(ScanError, match=reason) as refusal:
        extract(*case)
    # A check says the same without extracting anything
    with pytest.raises(ScanError) as foreseen:
        judge_lesion(*case, ExtractionSettings())
    assert str(foreseen.value) == str(refusal.value)


def test_mask_on_another_grid_is_refused(ball):
    lesion = placed((12, 30, 28), ball, (2, 8, 9))
    scan, _ = make_case(textured(lesion.shape, lesion), lesion)
    _, mask = make_case(textured((12, 30, 29), 0), np.ones((12, 30, 29)))

    with pytest.raises(ScanError, match=r"\(12, 30, 29\) voxels, its CT \(12, 30, 28\)"):
        extract(scan, mask)
