"""An engine that dies in a training goes on at its epoch; what it kept serves no other training."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sites.noise import noise_samples
from sites.plans import NETWORK, plan_of

from client.answers import epoch_file
from client.answers.epoch_file import EpochFile
from client.answers.trainer import Trainer
from common.models.weights import flatten
from common.models.zoo import build
from common.runtime.tensor_file import read_metadata
from common.training.epoch_state import EpochState
from common.training.loop import _Run

CPU = torch.device("cpu")


def a_plan(**changes):
    network = NETWORK | {"family": "resnet10-narrow"}
    sites, federation = {"a": "train", "b": "train"}, {"rounds": 2, "local_epochs": 3}
    return plan_of(sites, network, federation=federation, threads=1, **changes)


PLAN = a_plan()
TRAINED = ("round", 2, [3]), ("alone", 4, [5, 6])
"""What is trained, after how many epochs it dies, and which are left."""


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    monkeypatch.setattr(epoch_file, "SHARE", 1e9)


def trainer_in(kept, **changes):
    return replace(Trainer(PLAN, PLAN.networks[0], "a", CPU, kept=kept), **changes)


def begin(trainer):
    return flatten(build(trainer.model.network(PLAN.preprocessing), 1))


def train_round(trainer, number=1, patients=5):
    weights = begin(trainer)
    trainer.load(weights)
    summary = trainer.train_round(weights, noise_samples(patients), number)
    return float(summary.reals["loss"]), flatten(trainer.network).tobytes()


def train_alone(trainer, patients=5):
    local = trainer.train_alone(
        begin(trainer), noise_samples(patients), noise_samples(6, seed=2), lambda _: None
    )
    return local.weights.tobytes(), local.curve, local.chosen


TRAININGS = {"round": train_round, "alone": train_alone}


def die_in(monkeypatch, after, train, kept):
    """A training whose process dies when it has kept so many epochs."""
    count = []

    def keep(self, collect):
        whole(self, collect)
        count.append(1)
        if len(count) == after:
            raise SystemExit

    whole = EpochFile.keep
    with monkeypatch.context() as patched:
        patched.setattr(EpochFile, "keep", keep)
        with pytest.raises(SystemExit):
            train(trainer_in(kept))


@pytest.fixture
def epochs(monkeypatch):
    """How many epochs were trained."""
    trained = []
    whole = _Run.run_epoch
    monkeypatch.setattr(_Run, "run_epoch", lambda run, number: trained.append(number) or whole(run, number))
    return trained


@pytest.mark.parametrize("dies", TRAINED)
def test_a_training_goes_on_at_its_epoch_to_the_same_model(tmp_path, monkeypatch, epochs, dies):
    name, after, left = dies
    train = TRAININGS[name]
    undisturbed = train(trainer_in(None))
    die_in(monkeypatch, after, train, tmp_path / "kept")
    (path,) = (tmp_path / "kept").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    epochs.clear()

    trainer = trainer_in(tmp_path / "kept")
    assert train(trainer) == undisturbed
    assert epochs == left
    trainer.forget_epochs()
    assert list((tmp_path / "kept").iterdir()) == []


CHANGES = {
    "another round": lambda kept: train_round(trainer_in(kept), number=2),
    "another patient": lambda kept: train_round(trainer_in(kept), patients=6),
    "another secret": lambda kept: train_round(trainer_in(kept, secret="s")),
    "another lot": lambda kept: train_round(trainer_in(kept, own_seed=9)),
    "another place": lambda kept: train_round(trainer_in(kept, place="b")),
    "another plan": lambda kept: train_round(trainer_in(kept, plan=a_plan(name="Another study"))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_kept_serves_no_other_training(tmp_path, monkeypatch, epochs, change):
    die_in(monkeypatch, 1, train_round, tmp_path)
    if change == "another round":
        # Its file has another name: as if somebody had put the old one there
        (tmp_path / "round-1.epochs").rename(tmp_path / "round-2.epochs")
    epochs.clear()
    changed = CHANGES[change](tmp_path)
    assert epochs == [1, 2, 3]
    assert changed == CHANGES[change](None)


def cut(content, at):
    return content[:at]


def flip(content, at):
    spoilt = bytearray(content)
    spoilt[at] ^= 1
    return bytes(spoilt)


@pytest.mark.parametrize(
    ("spoil", "place"), [(cut, 100), (cut, -100), (flip, 12), (flip, 5000), (flip, -100)]
)
def test_a_damaged_file_costs_its_epochs_alone(tmp_path, monkeypatch, spoil, place):
    die_in(monkeypatch, 2, train_round, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = EpochFile(path, lambda: read_digest(path), 1)
    assert whole.start is not None
    path.write_bytes(spoil(path.read_bytes(), place))

    assert EpochFile(path, lambda: whole._digest, 1).start is None
    assert not path.exists()


def read_digest(path):
    return read_metadata(path.read_bytes())["training"]


def test_files_take_no_more_than_their_share_of_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(epoch_file, "SHARE", 0.02)
    now, written = [0.0], []
    monkeypatch.setattr(epoch_file.time, "monotonic", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    def write(*_, **__):
        written.append(now[0])
        wait(0.5)

    monkeypatch.setattr(epoch_file, "write_pieces_atomically", write)

    file = EpochFile(tmp_path / "x.epochs", lambda: "", size=40_000_000)
    for _ in range(1000):
        wait(1)
        file.keep(lambda: EpochState((1.0,), 1, {"a": np.zeros(3)}))
    assert written[0] == 10
    assert 0.5 * len(written) / now[0] == pytest.approx(0.02, rel=0.1)


def test_a_full_disk_costs_the_file_and_not_the_training(tmp_path, caplog):
    (tmp_path / "kept").write_text("a file where the folder should be")
    loss, _ = train_round(trainer_in(tmp_path / "kept"))
    assert np.isfinite(loss)
    assert "an epoch is not kept" in caplog.text


KILLED = """
import sys
sys.path[:0] = {path!r}
import os, signal
from pathlib import Path
from client.answers import epoch_file, test_epoch_file as test
epoch_file.SHARE = 1e9
kept = []
whole = epoch_file.write_pieces_atomically
def write(*arguments, **options):
    whole(*arguments, **options)
    kept.append(1)
    if len(kept) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
epoch_file.write_pieces_atomically = write
test.train_alone(test.trainer_in(Path({folder!r})))
"""


def test_a_process_that_was_killed_loses_no_epoch_that_it_kept(tmp_path, epochs):
    path = [entry for entry in sys.path if entry]
    script = KILLED.format(path=path, folder=str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    model = train_alone(trainer_in(tmp_path))

    assert epochs == [5, 6]
    assert model == train_alone(trainer_in(None))
