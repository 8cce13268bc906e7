from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from common.training.augment import augments, draw_transforms, warp
from common.training.settings import TrainingSettings

fractions = st.floats(0, 0.9)


def source(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def settings(*, flip: bool = False, crop: float = 0.0, translation: float = 0.0) -> TrainingSettings:
    return TrainingSettings(flip=flip, crop_fraction=crop, translation_fraction=translation)


def affine(scale: list[float], shift: list[float]) -> torch.Tensor:
    """One transform in torch's order of axes: x, y, z."""
    return torch.cat([torch.diag(torch.tensor(scale)), torch.tensor(shift).unsqueeze(1)], dim=1).unsqueeze(0)


@pytest.mark.parametrize("shape", [(1, 2, 4, 6), (1, 1, 3, 4, 6)])
def test_the_flip_is_left_to_right_and_the_identity_changes_nothing(shape):
    images = torch.rand(shape)
    still = [0.0] * (len(shape) - 2)
    identity = affine([1.0] * len(still), still)
    mirror = affine([-1.0] + [1.0] * (len(still) - 1), still)
    torch.testing.assert_close(warp(images, identity), images)
    torch.testing.assert_close(warp(images, mirror), images.flip(-1))


@pytest.mark.parametrize("shape", [(1, 1, 4, 8), (1, 1, 3, 4, 8)])
def test_a_shift_by_whole_pixels_moves_and_fills_with_the_windows_lower_end(shape):
    images = torch.rand(shape) + 1
    dimensions = len(shape) - 2
    moved = warp(images, affine([1.0] * dimensions, [2 * 3 / 8] + [0.0] * (dimensions - 1)))
    torch.testing.assert_close(moved[..., :5], images[..., 3:])
    assert not moved[..., 5:].any()


def test_a_crop_enlarges_the_part_that_is_kept():
    # The middle half of a ramp that is linear between pixel centres, drawn over the whole width.
    ramp = (torch.arange(8.0) + 0.5).expand(1, 1, 4, 8)
    cropped = warp(ramp, affine([0.5, 1.0], [0.0, 0.0]))
    torch.testing.assert_close(cropped[0, 0, 0], 4 + (torch.arange(8) + 0.5 - 4) / 2)


def test_the_whole_agrees_with_scipys_resampling():
    images = np.random.default_rng(1).random((1, 1, 5, 6, 7), dtype=np.float32)
    scale, shift = np.array([0.7, 0.8, 0.9]), np.array([0.2, -0.1, 0.15])
    warped = warp(torch.from_numpy(images), affine(scale.tolist(), shift.tolist()))[0, 0].numpy()
    centres = [(2 * np.arange(size) + 1) / size - 1 for size in (7, 6, 5)]
    mapped = [
        (centre * s + t + 1) * size / 2 - 0.5
        for centre, s, t, size in zip(centres, scale, shift, (7, 6, 5), strict=True)
    ]
    coordinates = np.meshgrid(mapped[2], mapped[1], mapped[0], indexing="ij")
    expected = map_coordinates(np.pad(images[0, 0], 1), np.array(coordinates) + 1, order=1)
    np.testing.assert_allclose(warped, expected, atol=2e-6)


@given(fractions, fractions, st.sampled_from([2, 3]), st.integers(0, 2**32))
def test_transforms_keep_within_what_the_settings_allow(crop, translation, dimensions, seed):
    drawn = draw_transforms(
        16, dimensions, settings(flip=True, crop=crop, translation=translation), source(seed)
    )
    assert drawn.shape == (16, dimensions, dimensions + 1)
    matrix, shift = drawn[..., :-1], drawn[..., -1]
    scale = torch.diagonal(matrix, dim1=1, dim2=2)
    assert torch.equal(matrix, torch.diag_embed(scale))
    assert bool((scale[:, 1:] > 0).all())
    kept = scale.abs()
    assert bool((kept >= 1 - crop - 1e-6).all())
    assert bool((kept <= 1 + 1e-6).all())
    assert bool((shift.abs() <= (1 - kept) + 2 * translation + 1e-5).all())


def test_a_crop_alone_never_looks_outside():
    drawn = draw_transforms(500, 2, settings(crop=0.5), source())
    images = torch.ones(500, 1, 9, 9)
    inner = warp(images, drawn)[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.ones_like(inner))


def test_each_setting_switches_its_own_part():
    def scales_and_shifts(**parts):
        drawn = draw_transforms(400, 2, settings(**parts), source())
        return torch.diagonal(drawn[..., :-1], dim1=1, dim2=2), drawn[..., -1]

    scale, shift = scales_and_shifts()
    assert bool((scale == 1).all())
    assert not shift.any()
    scale, shift = scales_and_shifts(flip=True)
    assert 150 < int((scale[:, 0] == -1).sum()) < 250
    assert not shift.any()
    scale, shift = scales_and_shifts(translation=0.1)
    assert bool((scale == 1).all())
    assert 0.19 < float(shift.abs().max()) <= 0.2
    assert float(shift.mean()) == pytest.approx(0, abs=0.02)
    scale, shift = scales_and_shifts(crop=0.4)
    assert float(scale.min()) == pytest.approx(0.6, abs=0.01)
    assert float(scale.max()) == pytest.approx(1.0, abs=0.01)


def test_the_same_source_gives_the_same_transforms_and_patients_differ():
    first = draw_transforms(5, 3, TrainingSettings(), source(4))
    assert torch.equal(first, draw_transforms(5, 3, TrainingSettings(), source(4)))
    assert not torch.equal(first, draw_transforms(5, 3, TrainingSettings(), source(5)))
    assert not torch.equal(first[0], first[1])


def test_nothing_is_asked_for_when_everything_is_off():
    assert not augments(settings())
    assert augments(settings(flip=True))
    assert augments(settings(crop=0.1))
    assert augments(settings(translation=0.1))
