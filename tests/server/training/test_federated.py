import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ExchangeError, ModelError, ResumeError
from common.hiding.rounds import VALIDATION_GRID, hiding_of, share_of, to_hidden
from common.messages.catalogue import Operation
from common.messages.headers import ReplyHeader
from common.messages.protocol import Reply, decode_request, encode_reply, question_of
from common.models.layout import Layout, StateTensor
from common.plan.study import StudyPlan
from common.secagg.crypto.encoding import encode
from common.secagg.crypto.masks import add_words
from common.stats.contract import Summary, join_summaries, total
from common.stats.minima import SIMULATION, STANDARD
from common.stats.roc import local_roc
from server.exchange import Exchange
from server.training.early_end import EarlyEnd
from server.training.federated import (
    FederatedTraining,
    Round,
    TrainingState,
    find_end,
    hash_weights,
    judge_round,
    list_first_weights,
    make_initial_weights,
)
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
            return encode_reply(Reply(ReplyHeader(site=self.name)).name_request(message))
        self.rounds.append((str(header.operation), header.round))
        if header.operation is Operation.TRAIN and header.round == self.breaks_in_round:
            return encode_reply(Reply(ReplyHeader(site=self.name, code="E_INTERNAL")).name_request(message))
        summary = self.summarise(request.weights, trains=header.operation is Operation.TRAIN)
        return encode_reply(Reply(ReplyHeader(site=self.name), summary).name_request(message))

    def summarise(self, weights, *, trains):
        # The score of the one positive grows with the weights until they pass 0.4, then it falls.
        positive = 0.5 + 0.4 - abs(0.4 - float(weights[0]))
        validation = local_roc(
            np.array([0.6, 0.7, positive]), np.array([False, False, True]), VALIDATION_GRID
        )
        trained = Summary(
            {"patients": np.array(self.patients)},
            {"loss": np.array(self.patients * 0.5 * self.target)},
            {"delta": self.patients * (self.target - weights) / 2},
        )
        summary = validation.under("validation")
        return join_summaries([summary, trained]) if trains else summary


class Masks:
    """Opens sums as the protocol does: in each round over those sites alone that take part."""

    def __init__(self, plan, learners, rounds):
        self.plan, self.learners, self.members = plan, {site.name: site for site in learners}, rounds

    def train(self, training, number, weights, _question):
        opened, hiding, members = [], hiding_of(self.plan, training[2]), self.members[number - 1]
        words = {vector.name: np.zeros(vector.words, vector.dtype) for vector in hiding.vectors}
        for name in members:
            learner = self.learners[name]
            one = to_hidden(self.plan, training[2], learner.summarise(weights, trains=True))
            alpha = share_of(self.plan, learner.patients)
            for vector, values in zip(hiding.vectors, hiding.values(one), strict=True):
                share = alpha if vector.is_delta else 1.0
                encoded = encode(vector, values, sites=len(self.learners), alpha=share)
                add_words(words[vector.name], encoded.words, vector.ring)
            opened.append(Summary(one.counts, one.reals))
        return total(opened), OpenRound(members, words)

    def gather(self, groups, question):
        (group,), asked = groups, question_of(question)
        patients = sum(self.learners[name].patients for name in group.sites)
        if asked.operation is Operation.WEIGHT:
            return {group.sites: Summary({"patients": np.array(patients)})}
        validated = [self.learners[name].summarise(START, trains=False) for name in self.members[-1]]
        return {group.sites: total(validated)}

    def settle(self, _model, _arm):
        pass


class OpenRound:
    """A round whose sum was opened."""

    def __init__(self, members, words):
        self.members, self.words = members, words

    def close(self, _weights, _total):
        pass

    def forget(self):
        pass


def a_training(folder, plan, *sites):
    exchange = Exchange(LocalGrid({site.name: site for site in sites}), plan, KEY)
    exchange.enrol(patience_s=0)
    (arm, *_) = plan.all_arms()
    patients = {site.name: site.patients for site in sites}
    return FederatedTraining(exchange, plan.models[0], arm, LAYOUT, folder, lambda _: None, patients)


def test_one_round_is_the_mean_weighted_by_patients(tmp_path):
    training = a_training(tmp_path, a_plan(rounds=1), Learner("a", 30, 1.0), Learner("b", 10, 0.0))

    done = training.run(START)

    # Thirty patients move by one half, ten do not move; the others' losses are 0.5 and 0.
    np.testing.assert_allclose(done.weights, [0.375, 0.375, 0.375], rtol=1e-6)
    assert done.curve[0].loss == 0.375
    assert done.curve[0].contributors == done.curve[0].answered == ("a", "b")


def a_masked_training(folder, rounds, **privacy):
    plan = a_plan(rounds=len(rounds))
    sites = [{"name": name, "role": "train"} for name in "abc"]
    plan = StudyPlan.model_validate(plan.model_dump(mode="json") | {"sites": sites, "privacy": privacy})
    learners = (Learner("a", 30, 1.0), Learner("b", 10, 0.2), Learner("c", 40, 0.6))
    training = a_training(folder, plan, *learners)
    training.exchange.hidden = Masks(plan, learners, rounds)
    return training


def test_a_site_that_rests_is_neither_in_the_loss_nor_among_the_contributors(tmp_path):
    done = a_masked_training(tmp_path, [("a", "b", "c"), ("a", "b"), ("a", "b")]).run(START)

    assert [line.contributors for line in done.curve] == [("a", "b", "c"), ("a", "b"), ("a", "b")]
    # (30 * 0.5 + 10 * 0.1 + 40 * 0.3) / 80, then without c: (30 * 0.5 + 10 * 0.1) / 40
    np.testing.assert_allclose([line.loss for line in done.curve], [0.35, 0.4, 0.4], rtol=1e-12)


def test_a_running_variance_that_falls_far_in_a_round_is_not_rounded_below_zero(tmp_path):
    """From 22,870 a float32 change errs by a thousandth, and BatchNorm takes the root of the variance."""
    random = np.random.default_rng(0)
    before = random.uniform(1e4, 22870, 1000).astype(np.float32)
    training = a_training(tmp_path, a_plan(), Learner("a", 17, 1.0), Learner("b", 23, 0.0))
    training.layout = Layout((StateTensor("bn.running_var", (1000,), "float32", "batchnorm-buffer"),))
    after = {patients: random.uniform(0, 1e-3, 1000).astype(np.float32) for patients in (17, 23)}
    delta = sum((change - before) * np.float32(patients) for patients, change in after.items())
    sums = Summary({"patients": np.array(40)}, {"loss": np.array(0.0)}, {"delta": delta})

    moved = training._aggregate(TrainingState(before, before), sums, None, None).weights

    assert 0 <= moved.min() <= moved.max() < 0.01


@pytest.mark.parametrize("size", [1, 2, 4])
def test_an_update_of_another_network_ends_the_training_with_a_message(tmp_path, size):
    """A hospital alone in its arm sends whatever it likes."""
    training = a_training(tmp_path, a_plan(), Learner("a", 30, 1.0), Learner("b", 10, 0.0))
    delta = np.ones(size, dtype=np.float32)
    sums = Summary({"patients": np.array(40)}, {"loss": np.array(0.0)}, {"delta": delta})

    with pytest.raises(ExchangeError, match=f"update has {size} values, not 3 -> "):
        training._aggregate(TrainingState(START, START), sums, None, None)


def test_a_site_that_rests_counts_as_no_change_of_the_weights(tmp_path):
    done = a_masked_training(tmp_path, [("a", "b")]).run(START)

    # 30 patients move by 0.5, 10 by 0.1, 40 not at all
    np.testing.assert_allclose(done.weights, np.full(3, 0.2), rtol=1e-6)
    assert done.curve[0].contributors == ("a", "b")


def test_where_each_round_tells_its_patients_the_mean_is_over_those_in_it(tmp_path):
    done = a_masked_training(tmp_path, [("a", "b")], weights="per-round").run(START)

    np.testing.assert_allclose(done.weights, np.full(3, 0.4), rtol=1e-6)
    assert done.curve[0].loss == pytest.approx(0.4)


def test_a_site_with_too_few_patients_to_train_judges_and_does_not_contribute(tmp_path):
    done = a_training(tmp_path, a_plan(rounds=1), Learner("a", 30, 1.0), Learner("b", 1, 0.0)).run(START)

    assert done.curve[0].contributors == ("a",)
    assert done.curve[0].answered == ("a", "b")


def test_who_took_part_is_known_after_a_resume(tmp_path):
    rounds = [("a", "b", "c"), ("a", "b"), ("a", "b")]
    whole = a_masked_training(tmp_path, rounds).run(START)

    assert a_masked_training(tmp_path, rounds).run(START).curve == whole.curve


def test_each_round_is_one_message_and_the_last_is_judged_too(tmp_path):
    learner = Learner("a", 2, 1.0)

    a_training(tmp_path, a_plan(), learner, Learner("b", 2, 1.0)).run(START)

    assert learner.rounds == [("train", 1), ("train", 2), ("train", 3), ("validate", 3)]


def test_the_round_with_the_best_validation_is_chosen(tmp_path):
    # Weights after the rounds: 0.5, 0.75, 0.875; the positive scores 0.8, 0.55, 0.425.
    done = a_training(tmp_path, a_plan(), Learner("a", 2, 1.0), Learner("b", 2, 1.0)).run(START)

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


def test_a_training_without_gain_ends_early_with_its_best_round(tmp_path):
    plan = a_plan(rounds=9, early_stopping={"patience": 1})
    learner = Learner("a", 2, 1.0)

    done = a_training(tmp_path, plan, learner, Learner("b", 2, 1.0)).run(START)

    # Round 2 is judged while round 3 is trained, which is judged by itself
    assert learner.rounds == [("train", 1), ("train", 2), ("train", 3), ("validate", 3)]
    assert [line.validation_auc for line in done.curve] == [1.0, 0.0, 0.0]
    whole = a_training(tmp_path / "whole", a_plan(rounds=3), Learner("a", 2, 1.0), Learner("b", 2, 1.0))
    assert done.best.tobytes() == whole.run(START).best.tobytes()
    assert done.chosen == 1
    assert find_end(plan, done.curve) == EarlyEnd(gained=1, last=2, planned=9, minimum_gain=0.0)
    again = Learner("a", 2, 1.0)
    assert a_training(tmp_path, plan, again, Learner("b", 2, 1.0)).run(START).chosen == 1
    assert again.rounds == []


@pytest.mark.parametrize("breaks_in", [2, 3])
def test_an_interrupted_training_ends_early_with_the_same_bits(tmp_path, breaks_in):
    plan = a_plan(rounds=9, early_stopping={"patience": 1}, server_optimiser="adam", server_learning_rate=0.3)
    whole = a_training(tmp_path / "whole", plan, Learner("a", 3, 1.0), Learner("b", 4, 1.0)).run(START)
    broken = Learner("a", 3, 1.0, breaks_in_round=breaks_in)
    with pytest.raises(ExchangeError, match="E_INTERNAL"):
        a_training(tmp_path / "broken", plan, broken, Learner("b", 4, 1.0)).run(START)

    resumed = a_training(tmp_path / "broken", plan, Learner("a", 3, 1.0), Learner("b", 4, 1.0)).run(START)

    assert find_end(plan, whole.curve) is not None
    assert resumed.curve == whole.curve
    assert resumed.weights.tobytes() == whole.weights.tobytes()
    assert resumed.best.tobytes() == whole.best.tobytes()


def test_a_checkpoint_of_another_plan_is_refused(tmp_path):
    a_training(tmp_path, a_plan(), Learner("a", 2, 1.0), Learner("b", 2, 1.0)).run(START)

    with pytest.raises(ResumeError, match="another plan"):
        a_training(tmp_path, a_plan(rounds=4), Learner("a", 2, 1.0), Learner("b", 2, 1.0)).run(START)


def test_an_adaptive_server_moves_buffers_by_the_plain_mean(tmp_path):
    plan = a_plan(rounds=1, server_optimiser="sgd", server_learning_rate=0.5)

    done = a_training(tmp_path, plan, Learner("a", 2, 1.0), Learner("b", 2, 1.0)).run(START)

    np.testing.assert_allclose(done.weights, [0.25, 0.25, 0.5], rtol=1e-6)


def after_a_round(auc=-1.0, chosen=0, rounds=1):
    curve = tuple(Round(number=number + 1, loss=1.0, validation_auc=None) for number in range(rounds))
    return TrainingState(START + 1, START, chosen, auc, curve)


def validation(*scores_and_labels):
    scores, labels = zip(*scores_and_labels, strict=True)
    return local_roc(np.array(scores), np.array(labels), VALIDATION_GRID).under("validation")


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


def imagenet_plan(**network):
    plan = a_plan().model_dump(mode="json")
    first = {"name": "m", "family": "resnet10-narrow", "initialisation": "imagenet"} | network
    return StudyPlan.model_validate(plan | {"models": [first, {"name": "n", "family": "resnet10-narrow"}]})


@pytest.fixture
def published(monkeypatch):
    """ImageNet weights of a network of which nobody publishes any: what stands in the file is written."""
    monkeypatch.setattr("common.plan.models.IMAGENET_FAMILIES", {"resnet10-narrow"})

    def fill(network, _, place):
        network.conv1.weight.data.fill_(float(place.read_text()))

    monkeypatch.setattr("common.models.pretrained.load_pretrained", fill)


def test_the_first_weights_are_those_of_the_plans_digest(published, tmp_path):
    del published
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("1")
    wrong.write_text("2")

    digests = list_first_weights(imagenet_plan(), right)
    plan = imagenet_plan(first_weights=digests["m"])

    assert list(digests) == ["m"]
    assert list_first_weights(plan, wrong) != digests == list_first_weights(plan, right)
    arm = plan.all_arms()[0]
    weights, _ = make_initial_weights(plan, plan.networks[0], arm, right)
    assert hash_weights(weights) == digests["m"]
    with pytest.raises(ModelError, match=r"wrong are not those of the plan's first_weights"):
        make_initial_weights(plan, plan.networks[0], arm, wrong)


def test_a_plan_without_a_digest_keeps_its_hash(published):
    del published
    assert "first_weights" not in imagenet_plan().model_dump(mode="json")["models"][0]
    assert imagenet_plan(first_weights="5" * 64).digest() != imagenet_plan().digest()


def test_a_digest_is_of_imagenet_weights_that_all_arms_share(published):
    del published
    with pytest.raises(ValueError, match="hospitals derive random ones"):
        imagenet_plan(first_weights="5" * 64, initialisation="random")
    plan = imagenet_plan(first_weights="5" * 64).model_dump(mode="json")
    plan |= {"sites": [{"name": name, "role": "train"} for name in "abc"]}
    plan |= {"arms": {"design": "leave-one-centre-out", "subtraction_ack": True}}
    with pytest.raises(ValueError, match="start with other weights each"):
        StudyPlan.model_validate(plan)
