from __future__ import annotations

import hashlib
import json
import os

import pytest

from common.cards.card_file import load_card
from common.errors import ModelError, StorageError


@pytest.mark.parametrize("spelling", [b'"\\ud800"', b'"\xed\xa0\x80"', b'{"\\udfff": 1}'])
def test_a_card_with_half_a_character_is_refused_by_name(tmp_path, spelling):
    card = b'{"model": ' + spelling + b"}"
    digest = hashlib.sha256(card).hexdigest()
    path = tmp_path / "model.json"
    path.write_bytes(b'{"card": ' + card + b', "sha256": "' + digest.encode() + b'"}')

    with pytest.raises(ModelError, match=r"no Unicode \(a lone surrogate\) -> restore it from a copy"):
        load_card(path)


def test_a_whole_pair_of_surrogates_is_a_character(tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"card": {"model": "\U0001f9e0"}}))

    with pytest.raises(ModelError, match="has been altered since it was written"):
        load_card(path)


def test_a_card_nested_without_end_is_refused(tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(b"[" * 100_000)

    with pytest.raises(ModelError, match="truncated or no JSON"):
        load_card(path)


def test_nobody_waits_for_a_pipe_in_place_of_a_card(tmp_path):
    os.mkfifo(tmp_path / "model.json")

    with pytest.raises(StorageError, match=r"cannot be read \(it is no file\)"):
        load_card(tmp_path / "model.json")
