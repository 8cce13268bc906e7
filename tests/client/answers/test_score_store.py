"""A site's scores on its disk: found for the same patients alone, whole or refused."""

import os

import numpy as np
import pytest
from sites.patients import a_case

from client.answers.score_store import ScoreStore
from common.errors import ProtocolError, StorageError

CASES = tuple(a_case(f"P{number}") for number in range(4))
SCORES = np.array([0.1, np.nan, 1 / 3, 1.0])
HASH = "ab" * 32


@pytest.fixture
def store(tmp_path):
    store = ScoreStore(tmp_path / "scores", HASH)
    store.keep("m", "federated", CASES, SCORES)
    return store


def file_of(store):
    (path,) = store.folder.rglob("*.npz")
    return path


def test_scores_are_found_to_the_last_bit_by_another_process(store):
    found = ScoreStore(store.folder, HASH).find("m", "federated", CASES)

    np.testing.assert_array_equal(found, SCORES)
    assert found.dtype == np.float64
    assert file_of(store).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "cases",
    [CASES[::-1], CASES[:3], (*CASES, a_case("P4")), (*CASES[:3], a_case("P5")), ()],
    ids=["order", "fewer", "more", "exchanged", "nobody"],
)
def test_scores_of_other_patients_are_not_found(store, cases):
    with pytest.raises(ProtocolError, match="m, federated: the patients have changed"):
        store.find("m", "federated", cases)


def test_the_same_patients_rows_are_read_once(store, monkeypatch):
    """A question opens the scores of every model, and a study asks often."""
    read = []
    monkeypatch.setattr("client.answers.score_store.digest_row", lambda case: read.append(case) or "")
    first, second = (*CASES,), (*CASES[:2], a_case("P5"), CASES[3])

    for _ in range(3):
        with pytest.raises(ProtocolError, match="changed"):
            store.find("m", "federated", first)
        assert read == [*first]
    with pytest.raises(ProtocolError, match="changed"):
        store.find("m", "federated", second)
    assert read == [*first, *second]


def test_names_that_run_together_are_other_patients(tmp_path):
    store = ScoreStore(tmp_path, HASH)
    store.keep("m", "given", (a_case("A"), a_case("BC")), np.zeros(2))

    with pytest.raises(ProtocolError, match="changed"):
        store.find("m", "given", (a_case("AB"), a_case("C")))


@pytest.mark.parametrize(
    ("model", "arm", "plan_hash"),
    [("n", "federated", HASH), ("m", "local-a", HASH), ("m", "federated", "cd" * 32)],
)
def test_another_model_arm_or_plan_has_not_scored(store, model, arm, plan_hash):
    other = ScoreStore(store.folder, plan_hash)

    with pytest.raises(ProtocolError, match=f"{model}, {arm}: asked to evaluate a model that has not scored"):
        other.find(model, arm, CASES)
    store.find("m", "federated", CASES)


def test_a_model_that_scores_anew_replaces_its_scores(store):
    store.keep("m", "federated", CASES[:2], np.array([0.5, 0.6]))

    assert store.find("m", "federated", CASES[:2]).tolist() == [0.5, 0.6]


def alien(path, **arrays):
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no archive"),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        lambda path: alien(path, scores=SCORES),
        lambda path: alien(path, patients=np.zeros(32, dtype=np.uint8)),
        lambda path: alien(path, scores=np.array([{}]), patients=np.array([{}])),
        lambda path: path.write_bytes(path.read_bytes().replace(SCORES.tobytes(), SCORES[::-1].tobytes())),
    ],
    ids=["empty", "other", "half", "no index", "no patients", "no scores", "pickles", "flipped"],
)
def test_a_damaged_file_is_named(store, damage):
    path = file_of(store)
    damage(path)

    with pytest.raises(StorageError, match=rf"{path.name}: the scores are damaged .* -> delete it"):
        store.find("m", "federated", CASES)


def test_a_process_that_dies_while_writing_leaves_the_old_scores(store):
    # A child, because a killed process runs no cleanup of Python's
    child = os.fork()
    if not child:
        os.replace = lambda *_: os._exit(9)
        store.keep("m", "federated", CASES, np.zeros(4))
        os._exit(0)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 9
    np.testing.assert_array_equal(store.find("m", "federated", CASES), SCORES)
    store.keep("m", "federated", CASES, np.ones(4))
    assert store.find("m", "federated", CASES).tolist() == [1, 1, 1, 1]
