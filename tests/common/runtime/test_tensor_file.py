"""The same bytes as the safetensors library writes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from common.runtime.tensor_file import cut_tensor_file

TYPES = (
    "bool",
    "u1",
    "i1",
    "<i2",
    "<u2",
    "<f2",
    "<i4",
    "<u4",
    "<f4",
    "<f8",
    "<i8",
    "<u8",
    "<c8",
    ">f4",
    ">i8",
)
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(
    lambda name: name != "__metadata__"
)
ARRAYS = st.dictionaries(
    NAMES, st.sampled_from(TYPES).flatmap(lambda kind: arrays_of.arrays(kind, SHAPES)), max_size=5
)


@given(ARRAYS, NAMES, st.text(st.characters(exclude_categories=["Cs"]), max_size=9))
def test_library_writes_the_same_bytes(arrays, key, value):
    pieces = cut_tensor_file(arrays, {key: value})

    assert b"".join(pieces) == safetensors.numpy.save(arrays, metadata={key: value})


@given(ARRAYS)
def test_sorted_header_says_the_same(arrays):
    metadata = {"b": "1", "a": "2"}
    (_, header, *data) = cut_tensor_file(arrays, metadata, sort_header=True)

    file = safetensors.numpy.save(arrays, metadata=metadata)
    length = int.from_bytes(file[:8], "little")
    assert json.loads(header) == json.loads(file[8 : 8 + length])
    assert list(json.loads(header)) == sorted(json.loads(header))
    assert b"".join(data) == file[8 + length :]


def test_memory_is_not_copied():
    weights = np.arange(3, dtype=np.float32)

    *_, piece = cut_tensor_file({"weights": weights}, {"a": "b"})

    assert np.shares_memory(np.frombuffer(piece, dtype=np.float32), weights)


def test_array_in_another_order_is_written_row_by_row():
    turned = np.arange(6, dtype=np.int64).reshape(2, 3).T

    *_, piece = cut_tensor_file({"turned": turned}, {})

    assert np.frombuffer(piece, dtype=np.int64).tolist() == [0, 3, 1, 4, 2, 5]


def test_unknown_type_is_refused():
    with pytest.raises(TypeError, match=r"cannot hold words of <U3"):
        cut_tensor_file({"words": np.array(["abc"])}, {})
