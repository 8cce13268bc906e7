"""A few hundred damaged files of each format; `python -m tests.common.imaging.fuzz_volumes` tries more."""

from __future__ import annotations

import pytest

from tests.common.imaging.fuzz_volumes import make_seeds, try_inputs

NAMES = [
    "beside.mhd", "beside.nhdr", "big.nii", "one.nii", "packed.mha", "packed.nii.gz", "packed.nrrd",
    "pair.hdr", "raw.mha", "raw.nrrd", "tilted.nii", "two.nii",
]  # fmt: skip


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return make_seeds(tmp_path_factory.mktemp("seeds"))


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_or_refused(seeds, name):
    assert sorted(seeds) == NAMES

    tally = try_inputs(seeds[name], 150, 7)

    assert tally.failed == []
    assert min(tally.read, tally.refused.total()) > 15
