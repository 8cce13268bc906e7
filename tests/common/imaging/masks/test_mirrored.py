"""A mask that was flipped is found by what lies at its mirror image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import Level
from common.imaging.masks.lesion_checks import check_lesion
from common.imaging.masks.mirrored import note_mirrored
from common.imaging.nearest import find_extent
from common.imaging.scan import Scan

SHAPE = (16, 60, 80)
LESION = np.s_[3:8, 15:26, 25:48]
"""Reaches over the middle in every direction: its mirror images overlap it."""


@pytest.fixture
def scan(geometry_of) -> Scan:
    noise = np.random.default_rng(1).normal(0, 8, SHAPE)
    voxels = np.full(SHAPE, 33.0)
    voxels[LESION] = 62
    voxels = (voxels + noise).astype(np.int16)
    voxels[:, :, :5] = voxels[:, :, 75:] = 1000
    return Scan(Path("ct"), voxels, geometry_of(shape=SHAPE, spacing_mm=(2.0, 2.0, 5.0)))


def mark(label: int = 1) -> np.ndarray:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[LESION] = label
    return labels


def notes_on(labels: np.ndarray, scan: Scan) -> list:
    return list(note_mirrored(Path("mask"), labels, scan, find_extent(labels)))


@pytest.mark.parametrize(
    ("axis", "name"), [(2, "left and right"), (1, "front and back"), (0, "top and bottom")]
)
def test_a_flipped_mask_is_to_be_looked_at_though_it_lies_on_bright_tissue(scan, axis, name):
    labels = np.flip(mark(), axis)

    (note,) = notes_on(labels, scan)

    assert note.level is Level.LOOK
    assert f"with {name} exchanged the mask would lie on more blood" in note.what
    assert note in check_lesion(Path("mask"), labels, scan)


@pytest.mark.parametrize("label", [1, 2])
def test_a_mask_on_its_hematoma_is_not(scan, label):
    assert notes_on(mark(label), scan) == []


def test_a_hematoma_on_both_sides_of_which_one_is_marked_is_not(scan):
    labels = mark()
    scan.voxels[np.flip(labels, 2) > 0] = 64
    assert notes_on(labels, scan) == []


def test_few_voxels_tell_nothing(scan):
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[10, 30:33, 30:36] = 1
    scan.voxels[np.flip(labels, 2) > 0] = 64
    assert notes_on(labels, scan) == []


def test_the_ich_is_judged_beside_an_ivh_of_diluted_blood(scan):
    labels = mark()
    labels[10, 5:55, 10:70] = 2
    scan.voxels[np.flip(labels == 2, 0)] = 60
    assert notes_on(labels, scan) == []
