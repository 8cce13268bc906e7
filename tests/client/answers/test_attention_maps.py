"""The mean of attention maps says where a network looks: at the signal, and with other weights elsewhere."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sites.patients import a_case
from sites.plans import NETWORK, plan_of
from torch import nn

from client.answers.attention_maps import keep_maps
from client.answers.samples import SiteSamples
from client.answers.score_store import ScoreStore
from client.answers.trainer import Trainer
from client.cohort.lesion_fields import name_field
from common.imaging.cache import CachedScan, ScanRecord
from common.imaging.grid import Box
from common.imaging.lesion_cells import CELL_MM, CELLS, arrange_cells
from common.models.zoo import build
from common.stats.mean_map import QUANTA

SIDE = 48
OFFSET_MM = (14, -11)
"""Of the signal from the lesion's centre: to the patient's left, and to the front."""
PATIENTS = 10


def draw_disc(centre, radius):
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.hypot(y - centre[0], x - centre[1]) <= radius


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """Lesions at places of their own in the network's field; every second patient has a signal beside it."""
    folder, random = tmp_path_factory.mktemp("phantom"), np.random.default_rng(5)
    plan = plan_of(
        {"a": "train", "b": "external"},
        NETWORK | {"input_size": SIDE},
        threads=1,
        explanation={"mean_maps": True},
    )
    (shape,) = plan.input_shapes
    cases = []
    for number in range(PATIENTS):
        centre = random.integers(22, 34), random.integers(12, 26)
        lesion = draw_disc(centre, 7)
        image = random.normal(0, 0.05, (SIDE, SIDE)) + 0.6 * lesion
        if number % 2:
            image += draw_disc((centre[0] + OFFSET_MM[1], centre[1] + OFFSET_MM[0]), 4)
        path = folder / f"{number}.npy"
        np.save(path, image[np.newaxis].astype(np.float32))
        whole = Box((0, 0, 0), (1, SIDE, SIDE))
        field = arrange_cells(lesion[np.newaxis], whole, whole, (plan.preprocessing, shape))
        beside = folder / f"{number}-cells.npy"
        np.save(beside, field.pack())
        entry = CachedScan(ScanRecord(ich_ml=1, ivh_ml=0, voxels=""), {name_field(shape): beside})
        case = replace(
            a_case(f"P{number:02d}", grows=bool(number % 2), part="test"),
            inputs={shape: path},
            entry=entry,
        )
        cases.append(case)
    return plan, SiteSamples(SimpleNamespace(cases=tuple(cases)))


class Detector(nn.Module):
    """Looks for what is brighter than a lesion: its Grad-CAM is where that is, which a pencil can tell."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 1)
        self.convolution.weight.data.fill_(1.0)
        self.convolution.bias.data.fill_(-0.8)
        self.maps = nn.ReLU()

    def forward(self, images):
        return 1000 * self.maps(self.convolution(images)).flatten(1).mean(dim=1, keepdim=True) - 1


@pytest.fixture
def detector(phantom, monkeypatch):
    monkeypatch.setattr("common.models.gradcam.list_feature_maps", lambda _: ("maps",))
    trainer = Trainer(phantom[0], phantom[0].networks[0], "a", torch.device("cpu"))
    # In the place of the plan's own
    trainer.__dict__["network"] = Detector()
    return trainer


def average(trainer, samples, folder):
    """The mean map of the patients with the signal, shape (cells, cells)."""
    store = ScoreStore(folder / "scores", trainer.plan.digest())
    keep_maps(trainer, samples, store, "federated")
    cases = samples.prepared.cases
    kept = store.find_maps(trainer.model.name, "federated", cases)
    maps = kept.of(np.flatnonzero([case.positive for case in cases]))
    assert maps.shape == (PATIENTS // 2, 2, CELLS, CELLS)
    return maps[:, 0].mean(axis=0) / QUANTA


def find_peak_mm(mean):
    """Where the map is strongest, from the lesion's centre: to the left, and to the back."""
    row, column = np.unravel_index(mean.argmax(), mean.shape)
    return tuple((place + 0.5 - CELLS / 2) * CELL_MM for place in (column, row))


def test_the_mean_is_largest_where_the_signal_lies_beside_the_lesion(phantom, detector, tmp_path):
    mean = average(detector, phantom[1], tmp_path)

    assert find_peak_mm(mean) == pytest.approx(OFFSET_MM, abs=CELL_MM / 2)
    assert mean[CELLS // 2, CELLS // 2] == 0


def test_with_random_weights_the_mean_is_another(phantom, detector, tmp_path):
    # Adebayo et al. (2018): a map that survives this shows the image, not the network
    samples = phantom[1]
    told = average(detector, samples, tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        detector.network.convolution.reset_parameters()

    random = average(detector, samples, tmp_path / "random")

    assert np.abs(told - random).max() > 0.2


@pytest.mark.parametrize("layers", ["all", "last"])
def test_the_mean_of_the_study_s_network_depends_on_its_weights(phantom, layers, tmp_path):
    plan, samples = phantom
    means = []
    for seed in (1, 2):
        trainer = Trainer(plan, plan.networks[0], "a", torch.device("cpu"))
        start = build(plan.networks[0].network(plan.preprocessing), seed if layers == "all" else 1)
        trainer.network.load_state_dict(start.state_dict())
        if layers == "last":
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                last = [module for module in trainer.network.modules() if isinstance(module, nn.Linear)][-1]
                last.reset_parameters()
        means.append(average(trainer, samples, tmp_path / str(seed)))

    seen = means[0] + means[1] > 0
    assert np.corrcoef(means[0][seen], means[1][seen])[0, 1] < 0.9
    assert np.abs(means[0] - means[1]).max() > 0.05


def test_who_is_not_tested_has_no_map(phantom, detector, tmp_path):
    plan, samples = phantom
    cases = tuple(
        replace(case, part="train") if number < 4 else case
        for number, case in enumerate(samples.prepared.cases)
    )
    fewer = SiteSamples(SimpleNamespace(cases=cases))
    store = ScoreStore(tmp_path / "scores", plan.digest())

    keep_maps(detector, fewer, store, "federated")

    kept = store.find_maps("Net", "federated", cases)
    assert kept.drawn.tolist() == [False] * 4 + [True] * (PATIENTS - 4)
    assert len(kept.of(np.arange(6))) == 2


def test_a_site_whose_patients_all_train_keeps_no_map(phantom, detector, tmp_path):
    plan, samples = phantom
    cases = tuple(replace(case, part="train") for case in samples.prepared.cases)
    store = ScoreStore(tmp_path / "scores", plan.digest())

    keep_maps(detector, SiteSamples(SimpleNamespace(cases=cases)), store, "federated")

    kept = store.find_maps("Net", "federated", cases)
    assert not kept.drawn.any()
    assert kept.of(np.arange(PATIENTS)).shape == (0, 2, CELLS, CELLS)
