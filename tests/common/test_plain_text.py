from __future__ import annotations

import pytest

from common.errors import Finding
from common.plain_text import escape_surrogates, is_unicode


@pytest.mark.parametrize(
    ("text", "shown"),
    [("p1", "p1"), ("M\u00fcller \U0001f9e0", "M\u00fcller \U0001f9e0"), ("a\udcffb", r"a\udcffb"), ("", "")],
)
def test_only_half_characters_are_spelt_out(text, shown):
    assert escape_surrogates(text) == shown
    assert is_unicode(text) == (text == shown)


def test_a_finding_can_always_be_written():
    finding = Finding("scan-\udcff.dcm", "holds '\ud800'", "rename \udcff")

    assert str(finding).encode().decode() == r"scan-\udcff.dcm: holds '\ud800' -> rename \udcff"
