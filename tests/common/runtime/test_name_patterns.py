"""Names as people write them, and the plain names that files and messages carry."""

from __future__ import annotations

import re
import unicodedata

import pytest

from common.errors import SiteError
from common.runtime.name_patterns import NAME_PATTERN, derive_name, read_name, tidy_name


@pytest.mark.parametrize(
    ("written", "derived"),
    [
        ("2D-ResNet-101", "2D-ResNet-101"),
        ("Vendor X", "Vendor-X"),
        ("Klinikum Köln", "Klinikum-Koeln"),
        (unicodedata.normalize("NFD", "Klinikum Köln"), "Klinikum-Koeln"),
        ("Hôpital Sainte-Anne (Paris)", "Hopital-Sainte-Anne-Paris"),
        ("Ålesund & Łódź", "Aalesund-Lodz"),
        ("  Straße  7 ", "Strasse-7"),
    ],
)
def test_a_name_is_spelt_out_for_files_and_messages(written, derived):
    assert derive_name(written) == derived
    assert derive_name(derived) == derived


@pytest.mark.parametrize(
    "written", ["北京医院", "上海医院", "Госпиталь", "上海 Hospital 1", "x" * 41, "n " * 30]
)
def test_what_letters_do_not_tell_apart_gets_a_digest(written):
    derived = derive_name(written)
    assert re.fullmatch(NAME_PATTERN, derived)
    assert re.search("-[0-9a-f]{8}$", derived)
    assert derive_name(written) == derived
    assert derive_name(f"{written[:20]}1") != derived


def test_a_name_on_the_command_line_is_refused_as_other_mistakes_are():
    assert read_name("--site", "Klinikum Köln", SiteError) == "Klinikum-Koeln"
    with pytest.raises(SiteError, match="--site 'a/b': is no name -> "):
        read_name("--site", "a/b", SiteError)


@pytest.mark.parametrize(
    "written", ["", " ", "../m", "no/rth", "a\nb", "a\u202eb", "a\0", "<b>", "-x", "x" * 61]
)
def test_what_is_no_name_is_refused(written):
    for take in (derive_name, tidy_name):
        with pytest.raises(ValueError, match="is no name -> a letter or digit first"):
            take(written)
