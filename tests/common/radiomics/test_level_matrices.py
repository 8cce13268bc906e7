"""Texture matrices are the numbers of PyRadiomics' own C functions, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import radiomics.glrlm
from radiomics import cMatrices

from common.radiomics import level_matrices
from common.radiomics.pyradiomics import features_of
from common.radiomics.settings import ExtractionSettings
from common.radiomics.volume import cut_lesion_volume
from tests.common.radiomics.lesions import head_with_lesion

DISTANCE = np.array([1])


def draw(random: np.random.Generator):
    """A box of at most 10 voxels a side, a lesion in it of any density, and its levels."""
    shape = tuple(random.integers(1, 11, 3))
    lesion = random.random(shape) < random.choice([0.05, 0.3, 0.7, 1.0])
    lesion[tuple(random.integers(0, side) for side in shape)] = True
    levels = random.integers(1, random.choice([2, 4, 40, 300]), shape)
    return np.where(lesion | (random.random() < 0.5), levels, 0), lesion


def shape_lesions():
    """One voxel, a line, a diagonal of lone voxels, a plane, two parts; each in a box larger than itself."""
    box = np.zeros((4, 5, 6), dtype=bool)
    for part in (
        np.s_[1, 2, 3],
        np.s_[1, 2, :],
        ([0, 1, 2, 3],) * 3,
        np.s_[2],
        np.s_[::3, ::2],
    ):
        lesion = box.copy()
        lesion[part] = True
        yield np.where(lesion, np.arange(box.size).reshape(box.shape) % 3 + 1, 0), lesion


def count_both(levels, lesion):
    """Each matrix as PyRadiomics counts it and as it is counted here."""
    highest, longest = int(levels[lesion].max()), max(levels.shape)
    flat = (False, 0)
    for name, arguments in (
        ("calculate_glcm", (DISTANCE, highest, *flat)),
        ("calculate_glrlm", (highest, longest, *flat)),
        ("calculate_gldm", (DISTANCE, highest, 0, *flat)),
        ("calculate_ngtdm", (DISTANCE, highest, *flat)),
    ):
        theirs, ours = (
            getattr(module, name)(levels, lesion, *arguments) for module in (cMatrices, level_matrices)
        )
        parts = zip(theirs, ours, strict=True) if isinstance(theirs, tuple) else [(theirs, ours)]
        yield from ((name, *pair) for pair in parts)


@pytest.mark.parametrize("seed", range(3))
def test_matrices_of_random_lesions(seed):
    random = np.random.default_rng(seed)
    for _ in range(40):
        levels, lesion = draw(random)
        if (
            lesion.size == 1
        ):  # PyRadiomics' functions refuse a box of one voxel, and so does its check of masks
            continue
        for name, theirs, ours in count_both(levels.astype(np.intp), lesion):
            assert (theirs.dtype, theirs.tobytes()) == (ours.dtype, ours.tobytes()), (name, levels)


@pytest.mark.parametrize("case", list(shape_lesions()), ids=["voxel", "line", "lone", "plane", "parts"])
def test_matrices_of_degenerate_lesions(case):
    levels, lesion = case
    for name, theirs, ours in count_both(levels.astype(np.intp), lesion):
        assert np.array_equal(theirs, ours), name


def test_lines_without_a_pair_of_voxels_count_no_run():
    """Lone voxels on one diagonal: along it they are runs of one, across it they are none."""
    levels, lesion = list(shape_lesions())[2]

    matrices, directions = level_matrices.calculate_glrlm(levels, lesion, 3, 6)

    runs = dict(zip(map(tuple, directions.tolist()), matrices[0].sum(axis=(0, 1)), strict=True))
    assert runs.pop((1, 1, 1)) == 4
    assert set(runs.values()) == {0}


def test_pyradiomics_itself_is_left_alone():
    """Whoever else calls it in this process gets its own functions."""
    features_of(cut_lesion_volume(*head_with_lesion(1), ExtractionSettings()))

    assert radiomics.glrlm.cMatrices is cMatrices
    assert radiomics.glrlm.numpy is np
    assert np.nanmean.__module__ == "numpy"
