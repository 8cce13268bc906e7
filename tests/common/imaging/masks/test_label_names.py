"""What names and codes of segments mean: the obvious ones by themselves, all others by site.toml alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import ScanError
from common.imaging.masks.label_names import NamedSegment, find_meanings, interpret_segments
from common.imaging.masks.labels import ICH, IVH, NEITHER, MaskLabels


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        *[(name, {ICH}) for name in ("ICH", "ich_left", "ICH 2", "Intracerebral Hemorrhage", "IPH")],
        *[(name, {ICH}) for name in ("intraparenchymal haematoma", "Cerebral-haemorrhage", "脑出血")],
        *[(name, {IVH}) for name in ("IVH", "IVH_1", "intraventricular haemorrhage", "脑室出血")],
        *[(name, {NEITHER}) for name in ("Edema", "perihaematomal oedema", "PHE", "Background", "水肿")],
        # Not said, or said in words that are not understood
        *[(name, set()) for name in ("", "Hemorrhage", "Segment_1", "old ICH", "no IVH", "SAH", "lesion")],
        ("intracranial hemorrhage", set()),
        ("ICH + IVH", {ICH, IVH}),
        ("ICH edema", {ICH, NEITHER}),
    ],
)
def test_only_obvious_names_are_understood(name, meaning):
    assert find_meanings(NamedSegment(1, (name,)), MaskLabels()) == meaning


@pytest.mark.parametrize(
    ("labels", "meaning"),
    [
        (MaskLabels(), set()),
        (MaskLabels(ich_names=("bleed*",)), {ICH}),
        (MaskLabels(ich_names=("SCT:50960005",)), {ICH}),
        (MaskLabels(ich_names=("50960005",)), {ICH}),
        (MaskLabels(ivh_names=("*ventricle",), ignored_names=("*",)), {IVH}),
        (MaskLabels(ignored_names=("*",)), {NEITHER}),
        (MaskLabels(ich_names=("bleeding",), ivh_names=("in the ventricle",)), {ICH, IVH}),
    ],
)
def test_the_sites_names_and_codes_go_before_the_obvious_ones(labels, meaning):
    segment = NamedSegment(1, (" Bleeding ", "in the VENTRICLE"), ("SCT:50960005",))
    assert find_meanings(segment, labels) == meaning


def test_the_site_may_say_that_an_obvious_name_is_meant_otherwise():
    segment = NamedSegment(1, ("ICH",))
    assert find_meanings(segment, MaskLabels(ignored_names=("ich",))) == {NEITHER}
    assert find_meanings(segment, MaskLabels(ivh_names=("ich",))) == {IVH}


def test_a_code_that_contradicts_a_name_is_refused():
    with pytest.raises(ScanError, match="can be more than one of ICH, IVH and neither"):
        interpret_segments(Path("m.dcm"), [NamedSegment(3, ("IVH",), ("SCT:274100004",))], MaskLabels())


def test_a_refusal_names_the_segment_lists_all_and_stays_short():
    segments = [NamedSegment(1, ("ICH",)), *(NamedSegment(n, ("x" * 500,)) for n in range(2, 40))]
    with pytest.raises(ScanError) as caught:
        interpret_segments(Path("m.dcm"), segments, MaskLabels())
    assert "the file holds: 1 'ICH'; 2 'xxx" in str(caught.value)
    assert "and 27 more" in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_one_name_has_one_meaning():
    with pytest.raises(ValueError, match="two meanings"):
        MaskLabels(ich_names=("blood",), ivh_names=("Blood",))
