"""The picture of an attention map is the same however the scan was stored, and names the decision."""

from __future__ import annotations

import io

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from PIL import Image
from sites.handmade import make_site

from client.answers.attention_drawing import CtSlice, draw_attention_picture, slice_scan
from common.imaging.masks.mask import MaskLabels, read_mask
from common.imaging.reader import read_scan
from common.imaging.recipe import InputShape, Recipe

FLAT = InputShape(2, 16)
RIGHT_OF_MIDDLE = CtSlice(np.zeros((40, 40), np.float32), (1.0, 1.0), (5, 15, 25, 15), 0.5)
"""Black, with the network's field in the half where columns begin."""


def pixels_of(png):
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_site(tmp_path_factory.mktemp("drawn") / "a", "a", 1) / "images"


def slice_of(images, folder=None, flip=None):
    paths = []
    for what in ("ct", "mask"):
        path = images / f"a-000_{what}.nii.gz"
        if flip is not None:
            image = sitk.Flip(sitk.ReadImage(str(path)), [axis == flip for axis in range(3)])
            path = folder / path.name
            sitk.WriteImage(image, str(path))
        paths.append(path)
    scan = read_scan(paths[0])
    return slice_scan(scan, read_mask(paths[1], scan, MaskLabels()), Recipe(), FLAT)


@pytest.mark.parametrize("flip", [0, 1])
def test_a_scan_stored_from_the_other_side_gives_the_same_slice(images, tmp_path, flip):
    # The flip turns voxels and axes at once: the patient is the same, and so must be R and L
    asked, stored = slice_of(images), slice_of(images, tmp_path, flip)
    np.testing.assert_allclose(stored.pixels, asked.pixels, atol=1e-4)
    assert stored.extent == pytest.approx(asked.extent)


def test_the_lesion_lies_in_the_frame(images):
    view = slice_of(images)
    left, right, bottom, top = (round(side) for side in view.extent)
    inside = view.pixels[top:bottom, left:right]
    assert inside.mean() > view.pixels[top - 5 : top, left:right].mean() + 0.1


def test_the_map_s_colour_lies_where_it_is_strongest_and_only_there():
    heat = np.zeros((4, 4), np.float32)
    heat[:, 3] = 1
    cold = pixels_of(draw_attention_picture(RIGHT_OF_MIDDLE, heat * 0, "expansion"))
    warm = pixels_of(draw_attention_picture(RIGHT_OF_MIDDLE, heat, "expansion"))
    # Beside the colour bar, whose words differ
    changed = np.abs(warm - cold).sum(axis=2)[:, :710] > 60
    columns = np.flatnonzero(changed.any(axis=0))
    field = np.flatnonzero((np.abs(cold - [255, 210, 74]).sum(axis=2) < 60)[:, 370:710].any(axis=0)) + 370
    assert columns.min() > (field.min() + field.max()) / 2
    assert columns.max() <= field.max()


def test_brightness_grows_with_attention():
    # A perceptual map: jet's red end is darker than its middle
    levels = np.linspace(0.05, 1, 5, dtype=np.float32)
    brightness = []
    for level in levels:
        heat = np.full((4, 4), level, np.float32)
        picture = pixels_of(draw_attention_picture(RIGHT_OF_MIDDLE, heat, "expansion"))
        field = picture[100:300, 480:600]
        brightness.append(field.mean())
    assert np.all(np.diff(brightness) > 0)


def test_the_bar_says_for_which_decision():
    heat = np.ones((4, 4), np.float32)
    pictures = {draw_attention_picture(RIGHT_OF_MIDDLE, heat, noun) for noun in ("expansion", "no expansion")}
    assert len(pictures) == 2


def test_a_slice_in_which_a_3d_map_is_invisible_is_not_called_a_finding():
    elsewhere = np.zeros((4, 4, 4), np.float32)
    elsewhere[0], elsewhere[2] = 1, 0.01
    nothing = np.zeros((4, 4), np.float32)
    bar = [
        pixels_of(draw_attention_picture(RIGHT_OF_MIDDLE, heat, "expansion"))[:, 730:]
        for heat in (elsewhere, nothing, np.ones((4, 4), np.float32))
    ]
    assert np.array_equal(bar[0], bar[1])
    assert not np.array_equal(bar[0], bar[2])


def test_of_a_3d_map_the_slice_s_plane_is_shown():
    solid = np.zeros((4, 4, 4), np.float32)
    solid[2] = np.eye(4)
    flat = draw_attention_picture(RIGHT_OF_MIDDLE, np.eye(4, dtype=np.float32), "expansion")
    assert draw_attention_picture(RIGHT_OF_MIDDLE, solid, "expansion") == flat
