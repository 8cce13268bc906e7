"""The same bytes as the safetensors library writes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from common.runtime.tensor_file import cut_tensor_file, read_metadata, read_tensor_file

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


# Reading


@given(ARRAYS, NAMES, st.text(st.characters(exclude_categories=["Cs"]), max_size=9))
def test_what_the_library_wrote_is_read(arrays, key, value):
    metadata, read = read_tensor_file(safetensors.numpy.save(arrays, metadata={key: value}))

    assert metadata == read_metadata(safetensors.numpy.save(arrays, metadata={key: value})) == {key: value}
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (read[name].shape, read[name].dtype.newbyteorder("=")) == (
            array.shape,
            array.dtype.newbyteorder("="),
        )
        np.testing.assert_array_equal(read[name], array)


@given(
    ARRAYS.filter(bool),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_whatever_is_altered_is_refused_or_read_as_the_library_reads_it(arrays, changes):
    file = bytearray(safetensors.numpy.save(arrays, metadata={"header": "{}"}))
    for place, byte in changes:
        file[place % len(file)] = byte

    try:
        _, read = read_tensor_file(bytes(file))
    except ValueError:
        return
    expected = safetensors.numpy.load(bytes(file))
    assert read.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(read[name], array)


def entry(shape: str, start: int, stop: int, kind: str = "U8") -> str:
    """How a header describes an array."""
    return f'{{"dtype":"{kind}","shape":[{shape}],"data_offsets":[{start},{stop}]}}'


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (f'{{"a":{entry("2", 0, 2)},"a":{entry("2", 0, 2)}}}', "twice"),
        (f'{{"a":{entry("1", 1, 2)}}}', "gap or overlap"),
        (f'{{"a":{entry("2", 0, 2)},"b":{entry("1", 1, 2)}}}', "gap or overlap"),
        (f'{{"a":{entry("1", 0, 1)}}}', "before or after"),
        (f'{{"a":{entry("2", 0, 2, "U16")}}}', "another length"),
        (f'{{"a":{entry("true,2", 0, 2)}}}', "described by"),
        (f'{{"a":{entry("-2", 0, -2)}}}', "described by"),
        (f'{{"a":{entry("2", 0, 2, "U7")}}}', "described by"),
        ('{"a":2}', "described by"),
        ('{"__metadata__":{"a":2}}', "no texts"),
        ("[]", "no object"),
        ("[" * 100_000, "nested"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_reason(header, reason):
    with pytest.raises(ValueError, match=reason):
        read_tensor_file(len(header).to_bytes(8, "little") + header.encode() + b"12")


def test_a_header_that_ends_behind_the_file_is_refused():
    with pytest.raises(ValueError, match="behind the content"):
        read_tensor_file(b"\xff" * 8 + b"{}")


def test_a_large_array_is_read_where_it_lies_and_nobody_writes_to_it():
    file = b"".join(cut_tensor_file({"weights": np.arange(1 << 15, dtype=np.float32)}, {}))

    _, arrays = read_tensor_file(file)

    assert np.shares_memory(arrays["weights"], np.frombuffer(file, np.uint8))
    assert not arrays["weights"].flags.writeable


def test_an_array_at_an_odd_place_is_copied():
    file = b"".join((b"x", *cut_tensor_file({"weights": np.arange(1 << 15, dtype=np.float32)}, {})))

    _, arrays = read_tensor_file(memoryview(file)[1:])

    assert arrays["weights"].flags.aligned
    assert arrays["weights"].tolist() == list(range(1 << 15))
