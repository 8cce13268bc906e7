"""Whole studies with SCAFFOLD: masked as in the clear, resumed as undisturbed, never without a hospital."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from sites.handmade import make_site
from sites.wires import NETWORK, Wire, final

from client.membership.party import HidingParty
from common.errors import ExchangeError
from common.models.checkpoint import load
from common.models.layout import TRAINED
from common.plan.study import StudyPlan
from common.secagg.wire.frames import MessageKind

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

TRAINING = {"batch_size": 8, "learning_rate": 0.001, "optimiser": "sgd"}
FEDERATION = {"rounds": 2, "timeout_s": 60, "local_steps": 3, "control_variates": True}
SIZES = {"a": 12, "b": 15, "c": 9, "d": 9, "e": 9}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    return {
        name: make_site(root / name, name, size, seed=seed) for seed, (name, size) in enumerate(SIZES.items())
    }


MODEL = "models/net/federated.safetensors"


def a_plan(*, secure=True):
    changes = {
        "sites": [{"name": name, "role": "train"} for name in SIZES],
        "models": [NETWORK["models"][0] | {"training": TRAINING}],
        "federation": FEDERATION,
        "privacy": {"secure": secure, "largest_site": 20},
    }
    return StudyPlan.model_validate(NETWORK | changes)


@pytest.fixture(scope="module")
def trained(scans, tmp_path_factory):
    """With the same seeds in all studies: a site's own secret would make another training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HidingParty, "training_secret", "")
        wire = Wire(a_plan(), scans, tmp_path_factory.mktemp("trained"))
        wire.study()
        yield wire


@pytest.fixture
def open_wire(scans, trained):
    """A study over the scans, which each site has read and prepared before."""

    def open_line(out, **changes):
        for name in scans:
            shutil.copytree(trained.run.out / "sites" / name / "cache", out / "sites" / name / "cache")
        return Wire(a_plan(**changes), scans, out)

    return open_line


def list_controls(out):
    return sorted(path.name for path in (out / "sites").rglob("*-control-*"))


def test_a_masked_training_is_that_in_the_clear_and_leaves_no_control_variate(trained, open_wire, tmp_path):
    bare = open_wire(tmp_path, secure=False)
    bare.study()

    ours, theirs, layout = final(trained.run.out), final(tmp_path), load(tmp_path / MODEL).layout

    # What the ring rounds in the first round, the steps of the second make a little larger
    np.testing.assert_allclose(ours[layout.mask(TRAINED)], theirs[layout.mask(TRAINED)], atol=1e-4)
    assert list_controls(trained.run.out) == list_controls(tmp_path) == []


def test_a_round_waits_for_every_hospital_and_then_ends_with_the_same_bits(trained, open_wire, tmp_path):
    wire, asked = open_wire(tmp_path), []

    def is_lost(site, kind, training):
        """From the second round on two hospitals are away, so that three are as many as a sum needs."""
        if training and kind is MessageKind.CLOSE and site in "de":
            asked.append(site)
        return bool(asked) and training and site in "de"

    wire.lost = is_lost
    with pytest.raises(ExchangeError, match="round 2") as failure:
        wire.study()
    assert str(failure.value).endswith("see that it is running, then go on with --resume")
    assert set(list_controls(tmp_path)) == {f"federated-control-{number}.safetensors" for number in (1, 2)}

    wire.lost = lambda *_: False
    wire.study()

    assert final(tmp_path).tobytes() == final(trained.run.out).tobytes()
