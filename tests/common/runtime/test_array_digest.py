"""A digest that is remembered is always that of the array's bytes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from common.runtime import array_digest
from common.runtime.array_digest import digest_array, freeze_array, remember_digest

VALUES = np.arange(6, dtype=np.float32)


def sha(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.fixture
def counted(monkeypatch):
    """How often something was hashed."""
    calls = []

    def count(data):
        calls.append(len(data))
        return hashlib.sha256(data)

    monkeypatch.setattr(array_digest, "hashlib", type("Hashes", (), {"sha256": staticmethod(count)}))
    return calls


@pytest.mark.parametrize(
    "array", [VALUES, VALUES.astype(">f4"), VALUES.reshape(2, 3).T, np.float32(3).reshape(())]
)
def test_digest_is_of_the_bytes_row_by_row(array):
    assert digest_array(array) == sha(np.ascontiguousarray(array).astype("<f4"))


def test_what_cannot_change_is_hashed_once(counted):
    weights = freeze_array(VALUES.copy())
    lying = np.frombuffer(VALUES.tobytes(), dtype=np.float32)

    for _ in range(3):
        assert digest_array(weights) == digest_array(lying) == sha(VALUES)

    assert counted == [24, 24]
    with pytest.raises(ValueError, match="read-only"):
        weights[0] = 1


@pytest.mark.parametrize("base", ["array", "bytearray"])
def test_what_somebody_can_change_is_hashed_again(counted, base):
    owner = VALUES.copy() if base == "array" else bytearray(VALUES.tobytes())
    view = owner[:] if base == "array" else np.frombuffer(owner, dtype=np.float32)
    view = freeze_array(view)
    before = digest_array(view)

    owner[0] = 77

    assert digest_array(view) == sha(np.asarray(view)) != before
    assert len(counted) == 2


def test_an_array_that_is_gone_is_not_remembered():
    for number in range(50):
        array = freeze_array(np.full(4, number, dtype=np.float32))
        assert digest_array(array) == sha(array)
        del array


def test_what_was_computed_elsewhere_is_taken_for_what_cannot_change_alone():
    fixed, open_array = freeze_array(VALUES.copy()), VALUES.copy()

    remember_digest(fixed, "f" * 64)
    remember_digest(open_array, "f" * 64)

    assert digest_array(fixed) == "f" * 64
    assert digest_array(open_array) == sha(VALUES)
