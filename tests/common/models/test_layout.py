from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from common.errors import ModelError
from common.models import layout as layout_module
from common.models.layout import BATCHNORM, TRAINED, Layout, StateTensor

NETWORK = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 1))
LAYOUT = Layout(
    (
        StateTensor("0.weight", (2, 1, 3, 3), "float32", "weight"),
        StateTensor("0.bias", (2,), "float32", "weight"),
        StateTensor("1.weight", (2,), "float32", "batchnorm-parameter"),
        StateTensor("1.bias", (2,), "float32", "batchnorm-parameter"),
        StateTensor("1.running_mean", (2,), "float32", "batchnorm-buffer"),
        StateTensor("1.running_var", (2,), "float32", "batchnorm-buffer"),
        StateTensor("1.num_batches_tracked", (), "int64", "counter"),
        StateTensor("3.weight", (1, 2), "float32", "weight"),
        StateTensor("3.bias", (1,), "float32", "weight"),
    )
)
entries = st.builds(
    StateTensor,
    st.text(max_size=12),
    st.lists(st.integers(0, 9), max_size=4).map(tuple),
    st.sampled_from(["float32", "int64"]),
    st.sampled_from(["weight", "batchnorm-parameter", "batchnorm-buffer", "counter"]),
)
layouts = st.lists(entries, max_size=6, unique_by=lambda entry: entry.name).map(
    lambda rows: Layout(tuple(rows))
)


def test_a_network_written_by_hand_has_the_layout_written_by_hand():
    assert Layout.of(NETWORK) == LAYOUT
    assert LAYOUT.size == 18 + 2 + 2 + 2 + 2 + 2 + 1 + 2 + 1


def test_a_batch_normalisation_alone_is_recognised():
    kinds = [entry.kind for entry in Layout.of(nn.BatchNorm3d(1)).entries]
    assert kinds == ["batchnorm-parameter"] * 2 + ["batchnorm-buffer"] * 2 + ["counter"]


def test_masks_select_by_kind_and_divide_the_whole():
    assert LAYOUT.mask({"counter"}).nonzero()[0].tolist() == [28]
    assert LAYOUT.mask(BATCHNORM).nonzero()[0].tolist() == list(range(20, 29))
    assert LAYOUT.mask({"weight"}).tolist() == (~LAYOUT.mask(BATCHNORM)).tolist()
    assert LAYOUT.mask(TRAINED).sum() == 18 + 2 + 4 + 2 + 1
    assert not LAYOUT.mask(()).any()


def test_slices_lie_end_to_end():
    assert LAYOUT.slices["0.bias"] == slice(18, 20)
    assert LAYOUT.slices["3.bias"] == slice(31, 32)


@given(layouts)
def test_json_round_trip_keeps_layout_and_digest(layout):
    again = Layout.from_json(layout.to_json())
    assert again == layout
    assert again.digest == layout.digest


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[0].__setitem__(0, "other"),
        lambda rows: rows[0].__setitem__(1, [1, 2, 3, 3]),
        lambda rows: rows[2].__setitem__(3, "weight"),
        lambda rows: rows.append(rows.pop(0)),
    ],
)
def test_any_change_changes_the_digest(change):
    rows = json.loads(LAYOUT.to_json())
    change(rows)
    assert Layout.from_json(json.dumps(rows)).digest != LAYOUT.digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3",
        "[3]",
        "[[]]",
        '[["a",[2],"float32"]]',
        '[["a",[-1],"float32","weight"]]',
        '[["a",[true],"float32","weight"]]',
        '[["a",[1.5],"float32","weight"]]',
        '[["a","2","float32","weight"]]',
        '[["a",[2],"float16","weight"]]',
        '[["a",[2],"float32","gamma"]]',
        '[["a",[2],"float32",["weight"]]]',
        '[["a",[2],"float32","weight"],["a",[2],"float32","weight"]]',
        "[" * 100_000,
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ModelError, match="not the layout of a model"):
        Layout.from_json(text)


@given(st.text())
def test_no_text_breaks_the_reader(text):
    try:
        layout = Layout.from_json(text)
    except ModelError:
        return
    assert layout == Layout(())


def test_half_precision_networks_are_refused():
    with pytest.raises(ModelError, match=r"weight is float16"):
        Layout.of(nn.Linear(2, 1).half())


def test_the_coordinator_reads_layouts_and_checkpoints_without_torch():
    code = "import sys, common.models.layout, common.models.checkpoint; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


@pytest.mark.parametrize("kinds", [TRAINED, {"batchnorm-buffer"}, {"counter"}, TRAINED | {"counter"}])
@pytest.mark.parametrize("block", [1, 3, 1 << 16])
def test_what_is_taken_of_flat_weights_is_what_the_mask_says(monkeypatch, kinds, block):
    layout = Layout.of(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)))
    flat = np.arange(layout.size, dtype=np.float32)
    monkeypatch.setattr(layout_module, "_BLOCK", block)

    taken = layout.take(flat, kinds)

    np.testing.assert_array_equal(taken, flat[layout.mask(kinds)])
    assert not np.shares_memory(taken, flat)
    squeezed = layout.squeeze(flat, kinds)
    np.testing.assert_array_equal(squeezed, taken)
    assert squeezed.base is flat
