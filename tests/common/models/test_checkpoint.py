from __future__ import annotations

import errno
import json
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from common.errors import ModelError, StorageError
from common.models.checkpoint import Checkpoint, load, save
from common.models.layout import Layout, StateTensor

LAYOUT = Layout(
    (
        StateTensor("head.weight", (2, 3), "float32", "weight"),
        StateTensor("norm.running_var", (2,), "float32", "batchnorm-buffer"),
        StateTensor("norm.num_batches_tracked", (), "int64", "counter"),
    )
)
WEIGHTS = np.array([0.1, -0.2, 3e-39, 4e30, -0.0, 6, 7, 8, 2.5], dtype=np.float32)
WHOLE = Checkpoint(
    WEIGHTS,
    LAYOUT,
    {"plan": "abc", "round": "12", "städte": "Žižkov"},
    {"momentum": np.arange(9.0), "step": np.array(3), "empty": np.zeros((0, 2), np.float32)},
)


def same(one: Checkpoint, other: Checkpoint) -> bool:
    return (
        one.weights.tobytes() == other.weights.tobytes()
        and one.layout == other.layout
        and dict(one.metadata) == dict(other.metadata)
        and one.extras.keys() == other.extras.keys()
        and all(
            array.dtype == other.extras[name].dtype
            and array.shape == other.extras[name].shape
            and np.array_equal(array, other.extras[name])
            for name, array in one.extras.items()
        )
    )


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "deep" / "model.safetensors"
    save(path, WHOLE)
    return path


def test_what_was_saved_comes_back_bit_for_bit(path):
    assert same(load(path), WHOLE)
    assert same(load(path, LAYOUT), WHOLE)
    assert [child.name for child in path.parent.iterdir()] == ["model.safetensors"]


def test_the_file_is_plain_safetensors_as_the_format_is_specified(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert header["__metadata__"]["round"] == "12"
    entry = header["model/head.weight"]
    assert entry["dtype"] == "F32"
    assert entry["shape"] == [2, 3]
    begin, end = entry["data_offsets"]
    assert content[8 + length :][begin:end] == WEIGHTS[:6].tobytes()


def test_a_second_save_replaces_the_first(path):
    later = Checkpoint(WEIGHTS + 1, LAYOUT)
    save(path, later)
    assert same(load(path), later)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_altered_bit_anywhere_is_found(path, data):
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    altered = path.with_name("altered")
    altered.write_bytes(content)
    with pytest.raises(ModelError):
        load(altered)


def test_no_letter_of_the_header_can_be_spelt_in_two_ways(path):
    # Bit 5 is upper or lower case, and what hexadecimal escapes do not distinguish.
    content = path.read_bytes()
    altered = path.with_name("altered")
    for position in range(8, 8 + struct.unpack("<Q", content[:8])[0]):
        other = bytes([content[position] ^ 1 << 5])
        altered.write_bytes(content[:position] + other + content[position + 1 :])
        with pytest.raises(ModelError):
            load(altered)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_file_is_refused(path, data):
    content = path.read_bytes()
    cut = path.with_name("cut")
    cut.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ModelError, match="damaged or no safetensors file .* -> .*--resume"):
        load(cut)


def test_a_model_of_another_layout_is_refused(path):
    other = Layout((*LAYOUT.entries[:2], StateTensor("norm.other", (), "int64", "counter")))
    with pytest.raises(ModelError, match=f"layout {LAYOUT.digest[:8]}, needed is {other.digest[:8]}"):
        load(path, other)


def test_foreign_files_are_refused(path):
    pickled = path.with_name("model.pkl")
    pickled.write_bytes(pickle.dumps({"weights": [1.0]}))
    with pytest.raises(ModelError, match="no safetensors file"):
        load(pickled)
    foreign = path.with_name("foreign.safetensors")
    save_file({"a": WEIGHTS}, foreign)
    with pytest.raises(ModelError, match="no rhe-checkpoint-2 file"):
        load(foreign)
    save_file({"a": WEIGHTS}, foreign, metadata={"rhe.format": "rhe-checkpoint-1"})
    with pytest.raises(ModelError, match="altered"):
        load(foreign)


def test_a_missing_file_is_a_matter_of_storage(tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        load(tmp_path / "none.safetensors")


def test_a_full_disk_leaves_the_old_file(path, monkeypatch):
    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        save(path, Checkpoint(WEIGHTS + 1, LAYOUT))
    assert same(load(path), WHOLE)
    assert [child.name for child in path.parent.iterdir()] == ["model.safetensors"]


def test_what_cannot_be_a_checkpoint_is_refused_at_once():
    with pytest.raises(ModelError, match="do not fit a layout of 9"):
        Checkpoint(WEIGHTS[:-1], LAYOUT)
    with pytest.raises(ModelError, match="float64 weights"):
        Checkpoint(WEIGHTS.astype(np.float64), LAYOUT)
    with pytest.raises(ModelError, match="reserved"):
        Checkpoint(WEIGHTS, LAYOUT, {"rhe.digest": "0"})


def test_the_same_checkpoint_gives_the_same_bytes(tmp_path):
    weights = np.array([1.0, 2.0], dtype=np.float32)
    layout = Layout((StateTensor("w", (2,), "float32", "weight"),))
    metadata = {name: name for name in ("plan", "model", "arm", "chosen", "curve", "training_sites")}

    files = set()
    for number in range(8):
        save(tmp_path / f"{number}", Checkpoint(weights, layout, metadata))
        files.add((tmp_path / f"{number}").read_bytes())

    assert len(files) == 1
