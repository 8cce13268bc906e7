"""Whatever a DICOM file's bytes are, the patient is refused and not the site."""

from __future__ import annotations

import struct

import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from common.errors import ScanError
from common.imaging.dicom.ct_series import read_series
from tests.common.imaging.fuzz_dicom import make_seeds, try_mutations
from tests.common.imaging.head_series import Acquisition, describe_plane


def test_damaged_series_are_read_or_refused(tmp_path):
    tallies = try_mutations(make_seeds(tmp_path), 600, seed=7)

    assert [tally.failed for tally in tallies.values()] == [[]] * len(tallies)
    # Neither so little damage that all pass, nor so much that none does
    assert all(tally.read > 3 and tally.refused.total() > 15 for tally in tallies.values())


def test_a_panic_of_the_run_length_decoder_refuses_the_patient(tmp_path, capfd, caplog):
    """Found by changing bytes: the decoder, written in Rust, raises what is no Exception."""
    head = Acquisition(heights_mm=[0.0, 40.0], rows=8, columns=6)
    # Two segments of 48 bytes; the second one is a run of 128
    frame = struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\xd1\x00\x81\x00"
    for index in range(2):
        one = describe_plane(head, index)
        one.compress(RLELossless, generate_instance_uid=False)
        one.PixelData = encapsulate([frame])
        one.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)

    with pytest.raises(ScanError, match="0.dcm: pixels cannot be decoded"):
        read_series(tmp_path)
    assert "error=PanicException" in caplog.text
    capfd.readouterr()
