"""The best round's weights are written once: as the checkpoint that they were."""

from __future__ import annotations

import os

import numpy as np
import pytest

from common.errors import ModelError, StorageError
from common.models.checkpoint import Checkpoint, save
from common.models.layout import Layout, StateTensor
from common.runtime.array_digest import digest_array, freeze_array
from server.training.best_weights import BestWeights

LAYOUT = Layout((StateTensor("head", (3,), "float32", "weight"),))


def weights(first: float):
    return freeze_array(np.array([first, 1, 2], dtype=np.float32))


@pytest.fixture
def best(tmp_path):
    """After a round that gave these weights."""
    kept = BestWeights(tmp_path / "federated.safetensors", LAYOUT)
    save(kept.checkpoint, Checkpoint(weights(1), LAYOUT))
    kept.written = digest_array(weights(1))
    return kept


def names(best: BestWeights) -> list[str]:
    return sorted(path.name for path in best.checkpoint.parent.iterdir() if path != best.checkpoint)


def test_the_last_rounds_weights_are_not_written_again(best):
    digest = best.keep(weights(1))
    (name,) = names(best)

    assert best.checkpoint.with_name(name).samefile(best.checkpoint)
    save(best.checkpoint, Checkpoint(weights(2), LAYOUT))
    assert best.read(digest).tolist() == [1, 1, 2]
    assert best.keep(weights(1)) == digest
    assert names(best) == [name]


@pytest.mark.parametrize("why", ["other weights", "unseen", "no second names"])
def test_they_are_written_where_the_file_cannot_have_a_second_name(best, monkeypatch, why):
    wanted = weights(5 if why == "other weights" else 1)
    if why == "unseen":
        best.written = ""
    if why == "no second names":

        def refuse(*_):
            raise OSError

        monkeypatch.setattr(os, "link", refuse)

    digest = best.keep(wanted)

    assert best.read(digest).tolist() == wanted.tolist()
    assert not best.checkpoint.with_name(names(best)[0]).samefile(best.checkpoint)


def test_what_was_best_before_is_erased(best):
    best.keep(weights(3))
    digest = best.keep(weights(4))

    best.drop_others(digest)

    assert len(names(best)) == 1
    assert best.read(digest).tolist() == [4, 1, 2]


def test_a_file_that_was_exchanged_or_is_gone_is_refused(best):
    digest = best.keep(weights(1))
    (name,) = names(best)
    path = best.checkpoint.with_name(name)
    path.unlink()
    with pytest.raises(StorageError, match="cannot be read"):
        best.read(digest)

    save(path, Checkpoint(weights(9), LAYOUT))
    with pytest.raises(ModelError, match="other weights"):
        best.read(digest)
