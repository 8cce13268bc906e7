"""Damaged segmentations of each kind; `python -m tests.common.imaging.fuzz_segmentations` tries more."""

from __future__ import annotations

import pytest

from tests.common.imaging.fuzz_segmentations import make_seeds, try_inputs

NAMES = ["binary.dcm", "contours.dcm", "fractional.dcm", "layers.nrrd", "map.dcm", "packed.dcm"]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return make_seeds(tmp_path_factory.mktemp("seeds"))


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_segmentation_is_read_or_refused(seeds, name):
    scan, files = seeds
    assert sorted(files) == NAMES

    tally = try_inputs(scan, files[name], 60, 7)

    assert tally.failed == []
    assert min(tally.read, tally.refused.total()) > 5
