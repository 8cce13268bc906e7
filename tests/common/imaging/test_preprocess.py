"""From a scan and its mask to inputs: arrays of a few voxels, and MONAI's pipeline as the independent one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.cohort.outcome import Volumes
from common.errors import ScanError
from common.imaging.crop import resize
from common.imaging.grid import Box, Grid
from common.imaging.masks.mask import Mask, MaskLabels, read_mask
from common.imaging.nearest import resample_labels
from common.imaging.overview import make_overview
from common.imaging.preprocess import locate_crops, prepare_inputs
from common.imaging.reader import read_scan
from common.imaging.recipe import InputShape, Recipe
from common.imaging.scan import Scan
from common.imaging.window import window

TWO, THREE = InputShape(2, 16), InputShape(3, 16)


def case(geometry, labels: np.ndarray) -> tuple[Scan, Mask]:
    """A scan whose HU are 10 + 10 x slice, and 20 more in the lesion."""
    voxels = np.zeros(geometry.shape, dtype=np.int16)
    voxels += (10 + 10 * np.arange(len(voxels), dtype=np.int16))[:, None, None]
    voxels[labels > 0] += 20
    return Scan(Path("ct"), voxels, geometry), Mask(Path("mask"), labels.astype(np.uint8), Volumes(1, 0))


@pytest.fixture
def unit(geometry_of):
    """A grid that is the recipe's already, with a lesion of 3 x 4 x 2 voxels, largest in slice 3."""
    geometry = geometry_of(shape=(7, 12, 14), spacing_mm=(1.0, 1.0, 5.0))
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    labels[2, 4:6, 5:7] = 1
    labels[3, 4:8, 5:8] = 1
    labels[4, 5, 10] = 2
    return case(geometry, labels)


def test_the_rectangle_is_the_largest_slices_and_the_box_the_whole_lesions(unit):
    scan, mask = unit
    crops = prepare_inputs(scan, mask, Recipe(), (TWO, THREE)).crops
    assert crops.rectangle == Box((3, 4, 5), (1, 4, 3))
    assert crops.box == Box((2, 4, 5), (2, 4, 3))


def test_ivh_belongs_to_the_lesion_only_if_the_recipe_says_so(unit):
    scan, mask = unit
    crops = prepare_inputs(scan, mask, Recipe(lesion="ICH+IVH"), (THREE,)).crops
    assert crops.box == Box((2, 4, 5), (3, 4, 6))


def test_a_margin_widens_the_rectangle_in_the_plane_and_the_box_everywhere(unit):
    scan, mask = unit
    crops = prepare_inputs(scan, mask, Recipe(margin_mm=2.0), (TWO, THREE)).crops
    assert crops.rectangle == Box((3, 2, 3), (1, 8, 7))
    assert crops.box == Box((1, 2, 3), (4, 8, 7))


def test_a_margin_beyond_the_scan_is_air(geometry_of):
    geometry = geometry_of(shape=(3, 6, 6), spacing_mm=(1.0, 1.0, 5.0))
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    labels[1, :6, :6] = 1
    scan, mask = case(geometry, labels)
    pixels = prepare_inputs(scan, mask, Recipe(margin_mm=1.0), (InputShape(2, 8),)).inputs[InputShape(2, 8)][
        0
    ]
    assert (pixels[[0, -1]] == 0).all()
    assert (pixels[:, [0, -1]] == 0).all()
    assert (pixels[1:-1, 1:-1] == 0.5).all()


def test_inputs_are_windowed_float32_with_one_channel(unit):
    scan, mask = unit
    inputs = prepare_inputs(scan, mask, Recipe(), (TWO, THREE)).inputs
    assert inputs[TWO].shape == (1, 16, 16)
    assert inputs[THREE].shape == (1, 16, 16, 16)
    assert {pixels.dtype for pixels in inputs.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(inputs[TWO], 60 / 80, atol=1e-7)


def test_three_slices_are_the_neighbours_of_the_largest_as_channels(unit):
    scan, mask = unit
    pixels = prepare_inputs(scan, mask, Recipe(slices=3), (TWO, THREE)).inputs
    assert pixels[TWO].shape == (3, 16, 16)
    assert pixels[THREE].shape == (1, 16, 16, 16)
    # At the rectangle's corner the slices below and above hold no lesion: 30 and 50 HU
    np.testing.assert_allclose(pixels[TWO][:, -1, -1], np.array([30, 60, 50]) / 80, atol=1e-7)


def test_the_slice_beyond_the_scans_end_is_air(geometry_of):
    geometry = geometry_of(shape=(3, 6, 6), spacing_mm=(1.0, 1.0, 5.0))
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    labels[2, 2:4, 2:4] = 1
    pixels = prepare_inputs(*case(geometry, labels), Recipe(slices=3), (TWO,)).inputs[TWO]
    assert (pixels[2] == 0).all()
    assert (pixels[1] == 50 / 80).all()


def test_a_physical_scale_keeps_the_lesions_size(unit):
    """3 x 4 mm at half a millimetre a pixel are 6 x 8 pixels in the middle of 16, air around."""
    scan, mask = unit
    recipe = Recipe(scaling="physical", physical_mm_per_pixel=0.5)
    pixels = prepare_inputs(scan, mask, recipe, (TWO,)).inputs[TWO][0]
    assert (pixels > 0).sum() == 6 * 8
    assert (pixels[4:12, 5:11] == 0.75).all()


def test_a_lesion_larger_than_a_physical_input_is_cropped_centrally(unit):
    scan, mask = unit
    recipe = Recipe(scaling="physical", physical_mm_per_pixel=0.1)
    assert (prepare_inputs(scan, mask, recipe, (TWO,)).inputs[TWO] == 0.75).all()


def test_a_mask_without_the_recipes_lesion_is_refused(unit):
    scan, mask = unit
    only_ivh = Mask(Path("mask"), np.where(mask.voxels == 2, 2, 0).astype(np.uint8), Volumes(0, 1))
    with pytest.raises(ScanError, match="IVH only"):
        prepare_inputs(scan, only_ivh, Recipe(), (TWO,))


def test_a_lesion_smaller_than_the_grid_is_refused_not_invented(geometry_of):
    geometry = geometry_of(shape=(21, 12, 12), spacing_mm=(1.0, 1.0, 1.0))
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    labels[7, 4:6, 4:6] = 1
    with pytest.raises(ScanError, match="is lost at 1x1x5 mm"):
        prepare_inputs(*case(geometry, labels), Recipe(), (TWO,))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1)])
def test_a_voxel_or_a_line_is_too_small_for_an_image(geometry_of, height, width):
    geometry = geometry_of(shape=(7, 12, 14), spacing_mm=(1.0, 1.0, 5.0))
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    labels[2:4, 1 : 1 + height, 1 : 1 + width] = 1
    with pytest.raises(ScanError, match=f"too small for an image: its largest slice has {width} x {height} "):
        prepare_inputs(*case(geometry, labels), Recipe(), (TWO,))
    assert prepare_inputs(*case(geometry, labels), Recipe(margin_mm=2.0), (TWO,)).inputs[TWO].std() > 0


def test_one_slice_of_a_lesion_is_an_image(geometry_of):
    geometry = geometry_of(shape=(7, 12, 14), spacing_mm=(1.0, 1.0, 5.0))
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    labels[2, 4:6, 4:6] = 1
    assert prepare_inputs(*case(geometry, labels), Recipe(), (THREE,)).crops.box.count == (1, 2, 2)


@pytest.mark.parametrize("tilt_degrees", [0.0, 17.0, -24.0])
def test_labels_on_the_grid_are_the_nearest_voxels_everywhere(geometry_of, tilt_degrees):
    """Against every voxel of the whole grid, looked up one by one."""
    geometry = geometry_of(tilt_degrees=tilt_degrees)
    labels = (np.random.default_rng(0).random(geometry.shape) < 0.02).astype(np.uint8)
    grid = Grid(geometry, (1.0, 1.0, 4.0))

    part, box = resample_labels(labels, grid)

    whole = np.zeros(grid.shape, dtype=np.uint8)
    whole[box.slices] = part
    for plane in range(grid.shape[0]):
        slice_index = int(np.floor(grid.slice_positions[plane] + 0.5))
        for y, row in enumerate(grid.row_positions(plane)):
            for x, column in enumerate(grid.column_positions(plane)):
                near = (row > -0.8, row < geometry.rows - 0.2, column > -0.7, column < geometry.columns - 0.3)
                index = (
                    min(max(int(np.floor(row + 0.5)), 0), geometry.rows - 1),
                    min(max(int(np.floor(column + 0.5)), 0), geometry.columns - 1),
                )
                expected = labels[slice_index][index] if all(near) else 0
                assert whole[plane, y, x] == expected, (plane, y, x, row, column)


def test_halfway_between_slices_every_slice_counts_once_in_turn(geometry_of):
    geometry = geometry_of(shape=(4, 3, 3), spacing_mm=(1.0, 1.0, 10.0))
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    labels[1:3] = np.array([1, 2], dtype=np.uint8)[:, None, None]
    part, box = resample_labels(labels, Grid(geometry, (1.0, 1.0, 5.0)))
    assert box.start[0] == 1
    assert part[:, 0, 0].tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("size", [8, 21, 40])
def test_resizing_to_fit_is_torchs_interpolation(size):
    from torch import as_tensor
    from torch.nn.functional import interpolate

    pixels = np.random.default_rng(1).random((3, 17, 21), dtype=np.float32)
    ours = resize(pixels, size, Recipe(), (2, 1, 0))
    theirs = interpolate(
        as_tensor(pixels.astype(float))[None, None], (size,) * 3, mode="trilinear", align_corners=False
    )
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=3e-7)


def test_the_window_is_the_plans():
    recipe = Recipe(window_level_hu=50, window_width_hu=100)
    np.testing.assert_allclose(window(np.array([-5.0, 0, 25, 100, 120]), recipe), [0, 0, 0.25, 1, 1])


def test_an_overview_shows_the_largest_slice_whole(unit):
    scan, mask = unit
    seen = make_overview(scan, mask, prepare_inputs(scan, mask, Recipe(), (TWO,)), Recipe())
    assert np.array_equal(seen.labels, mask.voxels[3])
    assert seen.pixels.shape == (12, 14)
    assert seen.pixels[5, 6] == round(60 / 80 * 255)
    assert seen.histogram[0].sum() == (mask.voxels > 0).sum()


def monai_input(ct: Path, mask: Path, recipe: Recipe) -> np.ndarray:
    from monai import transforms as mt

    keys = ("ct", "mask")
    darkest = recipe.window_level_hu - recipe.window_width_hu / 2
    steps = mt.Compose(
        [
            mt.LoadImaged(keys),
            mt.EnsureChannelFirstd(keys),
            mt.Orientationd(keys, axcodes="LPS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            mt.Spacingd(keys, pixdim=recipe.spacing_mm, mode=("bilinear", "nearest")),
            mt.ScaleIntensityRanged(
                "ct", a_min=darkest, a_max=darkest + recipe.window_width_hu, b_min=0, b_max=1, clip=True
            ),
            mt.CropForegroundd(keys, source_key="mask"),
            mt.Resized("ct", (112, 112, 112), mode="trilinear", align_corners=False, dtype=np.float64),
        ]
    )
    return np.asarray(steps({"ct": str(ct), "mask": str(mask)})["ct"]).transpose(0, 3, 2, 1)


DIRECTIONS = {
    "left, back, head": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "right, front, head": (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    "coronal": (1, 0, 0, 0, 0, -1, 0, 1, 0),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize("spacing_mm", [(0.449, 0.449, 5.0), (0.6, 0.7, 2.3)], ids=["thick", "thin"])
def test_the_3d_input_is_that_of_monais_dictionary_pipeline(tmp_path, spacing_mm, direction):
    random = np.random.default_rng(4)
    voxels = np.rint(random.normal(35, 32, (26, 90, 80))).astype(np.int16)
    voxels[:, :10] = -1000
    z, y, x = np.mgrid[:26, :90, :80]
    lesion = ((z - 14) / 6) ** 2 + ((y - 50) / 17) ** 2 + ((x - 36) / 15) ** 2 < 1
    for name, values in (("ct", voxels), ("mask", lesion.astype(np.uint8))):
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(spacing_mm)
        image.SetOrigin((-20.0, 31.0, 12.0))
        image.SetDirection([float(value) for value in direction])
        sitk.WriteImage(image, str(tmp_path / f"{name}.nii.gz"))
    ct, mask = tmp_path / "ct.nii.gz", tmp_path / "mask.nii.gz"
    shape = InputShape(3, 112)

    scan = read_scan(ct)
    ours = prepare_inputs(scan, read_mask(mask, scan, MaskLabels()), Recipe(), (shape,)).inputs[shape]

    theirs = monai_input(ct, mask, Recipe())
    assert ours.shape == theirs.shape == (1, 112, 112, 112)
    assert np.abs(ours - theirs).max() <= 1e-6
    assert ours.std() > 0.1


def test_locating_needs_no_pixels(unit):
    scan, mask = unit
    assert locate_crops(mask, Grid(scan.geometry, (1.0, 1.0, 5.0)), Recipe()).box.count == (2, 4, 3)
