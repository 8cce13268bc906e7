import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ExchangeError, ResumeError
from common.messages.headers import Operation, ReplyHeader
from common.messages.protocol import Reply, decode_request, encode_reply
from common.models.layout import Layout, StateTensor
from common.plan.study import StudyPlan
from common.stats.contract import Summary, join_summaries
from common.stats.minima import SIMULATION, STANDARD
from common.stats.roc import local_roc
from server.exchange import Exchange
from server.training.federated import FederatedTraining, Round, TrainingState, judge_round
from simulations.backends.local_grid import LocalGrid

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LAYOUT = Layout(
    (StateTensor("w", (2,), "float32", "weight"), StateTensor("m", (), "float32", "batchnorm-buffer"))
)
START = np.zeros(3, dtype=np.float32)


def a_plan(**federation):
    return StudyPlan.model_validate(
        {
            "name": "A study",
            "seed": 7,
            "profile": "simulation",
            "two_site_ack": True,
            "sites": [{"name": "a", "role": "train"}, {"name": "b", "role": "train"}],
            "models": [{"name": "m", "family": "resnet18"}],
            "federation": {"rounds": 3} | federation,
        }
    )


class Learner:
    """A site whose training moves every weight half the way to its target, and that can break down."""

    def __init__(self, name, patients, target, breaks_in_round=0):
        self.name, self.patients, self.target = name, patients, np.float32(target)
        self.breaks_in_round = breaks_in_round
        self.rounds = []

    def __call__(self, message):
        request = decode_request(message, KEY.public_key())
        header = request.header
        if header.operation is Operation.DESCRIBE:
            return encode_reply(Reply(ReplyHeader(site=self.name)))
        self.rounds.append((str(header.operation), header.round))
        if header.operation is Operation.TRAIN and header.round == self.breaks_in_round:
            return encode_reply(Reply(ReplyHeader(site=self.name, code="E_INTERNAL")))
        # The score of the one positive grows with the weights until they pass 0.4, then it falls.
        positive = 0.5 + 0.4 - abs(0.4 - float(request.weights[0]))
        validation = local_roc(np.array([0.6, 0.7, positive]), np.array([False, False, True]), 50)
        trained = Summary(
            {"patients": np.array(self.patients)},
            {"loss": np.array(self.patients * 0.5)},
            {"delta": self.patients * (self.target - request.weights) / 2},
        )
        summary = validation.under("validation")
        if header.operation is Operation.TRAIN:
            summary = join_summaries([summary, trained])
        return encode_reply(Reply(ReplyHeader(site=self.name), summary))


def a_training(folder, plan, *sites):
    exchange = Exchange(LocalGrid({site.name: site for site in sites}), plan, KEY)
    exchange.enrol(patience_s=0)
    (arm, *_) = plan.all_arms()
    return FederatedTraining(exchange, plan.models[0], arm, LAYOUT, folder, lambda _: None)


def test_one_round_is_the_mean_weighted_by_patients(tmp_path):
    training = a_training(tmp_path, a_plan(rounds=1), Learner("a", 30, 1.0), Learner("b", 10, 0.0))

    done = training.run(START)

    # Thirty patients move by one half, ten do not move.
    np.testing.assert_allclose(done.weights, [0.375, 0.375, 0.375], rtol=1e-6)
    assert done.curve[0].loss == 0.5


def test_each_round_is_one_message_and_the_last_is_judged_too(tmp_path):
    learner = Learner("a", 1, 1.0)

    a_training(tmp_path, a_plan(), learner, Learner("b", 1, 1.0)).run(START)

    assert learner.rounds == [("train", 1), ("train", 2), ("train", 3), ("validate", 3)]


def test_the_round_with_the_best_validation_is_chosen(tmp_path):
    # Weights after the rounds: 0.5, 0.75, 0.875; the positive scores 0.8, 0.55, 0.425.
    done = a_training(tmp_path, a_plan(), Learner("a", 1, 1.0), Learner("b", 1, 1.0)).run(START)

    assert [line.validation_auc for line in done.curve] == [1.0, 0.0, 0.0]
    assert done.chosen == 1
    np.testing.assert_allclose(done.best, [0.5, 0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(done.weights, [0.875, 0.875, 0.875], rtol=1e-6)


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path):
    plan = a_plan(server_optimiser="adam", server_learning_rate=0.1)
    whole = a_training(tmp_path / "whole", plan, Learner("a", 3, 1.0), Learner("b", 4, 0.3)).run(START)
    broken = Learner("a", 3, 1.0, breaks_in_round=3)
    with pytest.raises(ExchangeError, match="E_INTERNAL"):
        a_training(tmp_path / "broken", plan, broken, Learner("b", 4, 0.3)).run(START)
    mended = Learner("a", 3, 1.0)

    resumed = a_training(tmp_path / "broken", plan, mended, Learner("b", 4, 0.3)).run(START)

    assert mended.rounds == [("train", 3), ("validate", 3)]
    assert resumed.weights.tobytes() == whole.weights.tobytes()
    assert resumed.best.tobytes() == whole.best.tobytes()
    assert resumed.curve == whole.curve


def test_a_checkpoint_of_another_plan_is_refused(tmp_path):
    a_training(tmp_path, a_plan(), Learner("a", 1, 1.0), Learner("b", 1, 1.0)).run(START)

    with pytest.raises(ResumeError, match="another plan"):
        a_training(tmp_path, a_plan(rounds=4), Learner("a", 1, 1.0), Learner("b", 1, 1.0)).run(START)


def test_an_adaptive_server_moves_buffers_by_the_plain_mean(tmp_path):
    plan = a_plan(rounds=1, server_optimiser="sgd", server_learning_rate=0.5)

    done = a_training(tmp_path, plan, Learner("a", 1, 1.0), Learner("b", 1, 1.0)).run(START)

    np.testing.assert_allclose(done.weights, [0.25, 0.25, 0.5], rtol=1e-6)


def after_a_round(auc=-1.0, chosen=0, rounds=1):
    curve = tuple(Round(number=number + 1, loss=1.0, validation_auc=None) for number in range(rounds))
    return TrainingState(START + 1, START, chosen, auc, curve)


def validation(*scores_and_labels):
    scores, labels = zip(*scores_and_labels, strict=True)
    return local_roc(np.array(scores), np.array(labels), 50).under("validation")


def test_equal_validation_goes_to_the_later_round():
    state = judge_round(
        after_a_round(auc=1.0, chosen=1, rounds=2), validation((0.9, True), (0.1, False)), SIMULATION
    )

    assert state.chosen == 2


def test_without_both_classes_the_last_round_is_chosen():
    state = judge_round(after_a_round(auc=-1.0, rounds=2), validation((0.9, True), (0.8, True)), SIMULATION)

    assert state.chosen == 2
    assert state.curve[-1].validation_auc is None


def test_few_validation_patients_choose_but_are_not_shown():
    state = judge_round(after_a_round(), validation((0.9, True), (0.1, False)), STANDARD)

    assert state.chosen == 1
    assert not state.curve[-1].released
