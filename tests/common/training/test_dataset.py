from __future__ import annotations

import numpy as np
import pytest
import torch

from common.errors import ModelError, NonFiniteError
from common.training.dataset import Samples

IMAGES = np.linspace(0, 1, 2 * 1 * 2 * 3, dtype=np.float32).reshape(2, 1, 2, 3)
POSITIVES = np.array([True, False])


def test_arrays_become_tensors():
    samples = Samples.of(IMAGES, POSITIVES)
    assert samples.images.numpy().tolist() == IMAGES.tolist()
    assert samples.labels.tolist() == [1.0, 0.0]
    assert samples.labels.dtype == torch.float32
    assert (len(samples), samples.positives, samples.dimensions) == (2, 1, 2)
    assert Samples.of(IMAGES[:, :, None], POSITIVES).dimensions == 3


def test_large_arrays_are_not_copied_and_read_only_files_are():
    shared = IMAGES.copy()
    Samples.of(shared, POSITIVES).images[0, 0, 0, 0] = 0.5
    assert shared[0, 0, 0, 0] == 0.5
    shared.setflags(write=False)
    Samples.of(shared, POSITIVES).images[0, 0, 0, 0] = 0.25
    assert shared[0, 0, 0, 0] == 0.5


def test_files_mapped_into_memory_are_read(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert torch.equal(Samples.of(mapped, POSITIVES).images, torch.tensor(IMAGES))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_refused(value):
    images = IMAGES.copy()
    images[1, 0, 1, 2] = value
    with pytest.raises(NonFiniteError, match="prepare the scans again"):
        Samples.of(images, POSITIVES)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 3, 4), torch.zeros(2), r"\(2, 3, 4\); needed: float32"),
        (torch.zeros(2, 1, 3, 3, 3, 3), torch.zeros(2), "needed: float32"),
        (torch.zeros(2, 1, 3, 3, dtype=torch.float64), torch.zeros(2), "float64"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(3), r"2 images with labels .*\(3,\)"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(2, 1), r"\(2, 1\)"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(2, dtype=torch.int64), "int64"),
        (torch.zeros(2, 1, 3, 3), torch.tensor([0, 2.0]), "neither 0"),
        (torch.zeros(2, 1, 3, 3), torch.tensor([0, torch.nan]), "neither 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(images, labels, message):
    with pytest.raises(ModelError, match=message):
        Samples(images, labels)


def test_samples_that_are_in_place_stay_the_same_object():
    samples = Samples.of(IMAGES, POSITIVES)
    assert samples.to(torch.device("cpu")) is samples
