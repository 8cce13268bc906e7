from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ProtocolError
from common.runtime.settings_file import Section
from common.secagg.wire.canonical import encode_canonical, parse_canonical

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), PLAIN, max_size=4)


class Header(Section):
    round: int
    site: str
    shape: tuple[int, ...] = ()
    loss: float | None = None


@given(DOCUMENTS)
def test_what_is_written_is_read_and_has_one_spelling(document):
    data = encode_canonical(document)

    assert parse_canonical(data, len(data)) == document
    assert encode_canonical(dict(reversed(document.items()))) == data
    assert data.isascii()


def test_a_model_is_written_with_sorted_keys_and_without_spaces():
    assert encode_canonical(Header(site="å", round=2, shape=(3, 4))) == (
        rb'{"loss":null,"round":2,"shape":[3,4],"site":"\u00e5"}'
    )


@pytest.mark.parametrize(
    "document",
    [
        Header(site="a", round=1, loss=0.5),
        {"a": 1.0},
        {"a": [float("nan")]},
        {1: 2},
        {"a": {None: 1}},
        {"a": b""},
    ],
)
def test_what_has_no_canonical_form_is_refused(document):
    with pytest.raises(TypeError, match="no canonical form"):
        encode_canonical(document)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":-0}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'{"a":"\\u0041"}',
        b'{"a":"\xc3\xa5"}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_every_other_spelling_is_refused(data):
    with pytest.raises(ProtocolError, match="canonical JSON"):
        parse_canonical(data, 1 << 20)


def test_a_longer_header_is_not_even_read():
    with pytest.raises(ProtocolError, match="7 bytes, at most 6"):
        parse_canonical(b'{"a":1}', 6)
