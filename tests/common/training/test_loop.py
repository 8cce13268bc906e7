from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sites.noise import noise_samples as patients
from sklearn.metrics import roc_auc_score
from torch import nn

from common.errors import ModelError, NonFiniteError, SmallNumberError
from common.models.layout import TRAINED, Layout
from common.models.spec import NetworkSpec
from common.models.weights import flatten, load_flat
from common.models.zoo import build
from common.training.dataset import Samples
from common.training.loop import CPU, Schedule, _Run, cut_batches, score, train
from common.training.settings import TrainingSettings

PLAIN = TrainingSettings(
    learning_rate=0.01, batch_size=4, flip=False, crop_fraction=0.0, translation_fraction=0.0
)
AUGMENTED = TrainingSettings(batch_size=4)
RECOMPUTED = replace(AUGMENTED, batch_norm_statistics="recomputed")


def network(dimensions: int = 2, seed: int = 1, dropout: float = 0.5) -> nn.Module:
    return build(NetworkSpec("resnet10-narrow", dimensions, dropout=dropout), seed)


def trained(settings: TrainingSettings, schedule: Schedule, samples: Samples | None = None) -> np.ndarray:
    model = network()
    train(model, samples or patients(), settings, schedule)
    return flatten(model)


def bare_loop(model: nn.Module, samples: Samples, epochs: int, seed: int, mu: float = 0.0) -> list[float]:
    """What everybody writes; FedProx' penalty as part of the loss."""
    if samples.dimensions == 2:
        model.to(memory_format=torch.channels_last)
    order = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    start = [parameter.detach().clone() for parameter in model.parameters()]
    adam = torch.optim.Adam(model.parameters(), lr=PLAIN.learning_rate, fused=True)
    model.train()
    losses = []
    for _ in range(epochs):
        total = 0.0
        for part in torch.randperm(len(samples), generator=order).split(PLAIN.batch_size):
            adam.zero_grad()
            images = samples.images[part]
            if samples.dimensions == 2:
                images = images.to(memory_format=torch.channels_last, copy=True)
            logits = model(images).squeeze(1)
            loss = nn.functional.binary_cross_entropy_with_logits(logits, samples.labels[part])
            total += loss.item() * len(part)
            if mu:
                loss = loss + mu / 2 * sum(
                    ((parameter - anchor) ** 2).sum()
                    for parameter, anchor in zip(model.parameters(), start, strict=True)
                )
            loss.backward()
            adam.step()
        losses.append(total / len(samples))
    return losses


@pytest.mark.parametrize("dimensions", [2, 3])
def test_training_is_the_bare_loop_bit_for_bit(dimensions):
    samples = patients(dimensions=dimensions)
    ours, bare = network(dimensions), network(dimensions)
    threads = torch.get_num_threads()
    log = train(ours, samples, PLAIN, Schedule(epochs=2, seed=5, threads=threads))
    with torch.random.fork_rng(devices=[]):
        losses = bare_loop(bare, samples, epochs=2, seed=5)
    assert flatten(ours).tobytes() == flatten(bare).tobytes()
    assert log.losses == pytest.approx(losses, rel=1e-6)
    assert (log.steps, log.patients) == (6, 10)


def test_fedprox_is_the_penalty_in_the_loss():
    # In a smooth network: Adam turns the rounding of a gradient near zero into a whole step.
    def smooth() -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 1))

    samples = patients()
    ours, bare, free = smooth(), smooth(), smooth()
    train(ours, samples, PLAIN, Schedule(epochs=2, seed=5, proximal_mu=5.0))
    train(free, samples, PLAIN, Schedule(epochs=2, seed=5))
    with torch.random.fork_rng(devices=[]):
        bare_loop(bare, samples, epochs=2, seed=5, mu=5.0)
    assert np.abs(flatten(ours) - flatten(free)).max() > 1e-2
    np.testing.assert_allclose(flatten(ours), flatten(bare), atol=1e-6)


def test_fedprox_pulls_towards_the_given_anchor():
    anchor_model = network(seed=2)
    anchor = flatten(anchor_model)
    mask = Layout.of(anchor_model).mask(TRAINED)

    def distance(**proximal):
        return float(np.abs((trained(PLAIN, Schedule(8, 5, **proximal)) - anchor)[mask]).mean())

    near = distance(proximal_mu=100.0, anchor=anchor)
    assert near < 0.8 * distance()
    assert near < 0.8 * distance(proximal_mu=100.0)
    with pytest.raises(ModelError, match="flat weights"):
        distance(proximal_mu=1.0, anchor=anchor[:-1])
    with pytest.raises(NonFiniteError):
        distance(proximal_mu=1.0, anchor=anchor * np.float32(np.nan))


@pytest.mark.parametrize("settings", [AUGMENTED, RECOMPUTED])
def test_the_same_seed_gives_the_same_bits_whatever_ran_before(settings):
    first = trained(settings, Schedule(2, seed=11))
    torch.rand(7)
    np.random.default_rng().random()
    torch.manual_seed(123)
    untouched = torch.random.get_rng_state()
    second = trained(settings, Schedule(2, seed=11))
    assert first.tobytes() == second.tobytes()
    assert torch.equal(torch.random.get_rng_state(), untouched)
    assert first.tobytes() != trained(settings, Schedule(2, seed=12)).tobytes()


def test_a_network_that_was_used_before_trains_like_a_fresh_one():
    # What a resumed study needs: nothing but the weights is carried from call to call.
    used, layout = network(seed=9), Layout.of(network())
    train(used, patients(seed=3), AUGMENTED, Schedule(1, seed=1))
    score(used, patients().images, CPU)
    load_flat(used, flatten(network()), layout)
    train(used, patients(), AUGMENTED, Schedule(2, seed=11))
    assert flatten(used).tobytes() == trained(AUGMENTED, Schedule(2, seed=11)).tobytes()


def test_it_does_not_matter_in_which_mode_the_network_comes():
    model = network().eval()
    train(model, patients(), PLAIN, Schedule(2, seed=11))
    assert flatten(model).tobytes() == trained(PLAIN, Schedule(2, seed=11)).tobytes()


def test_augmentation_and_dropout_take_part():
    plain = trained(PLAIN, Schedule(1, seed=1))
    for change in (
        {"flip": True},
        {"crop_fraction": 0.2},
        {"translation_fraction": 0.2},
        {"weight_decay": 0.1},
    ):
        assert plain.tobytes() != trained(replace(PLAIN, **change), Schedule(1, seed=1)).tobytes()
    without = network(dropout=0.0)
    train(without, patients(), PLAIN, Schedule(1, seed=1))
    assert plain.tobytes() != flatten(without).tobytes()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_something_that_can_be_learnt_is_learnt(dimensions):
    model = network(dimensions)
    settings = TrainingSettings(learning_rate=0.003, batch_size=8, batch_norm_statistics="recomputed")
    log = train(model, patients(24, dimensions), settings, Schedule(6, seed=1))
    unseen = patients(20, dimensions, seed=8)
    assert log.losses[-1] < 0.7 * log.losses[0]
    assert roc_auc_score(unseen.labels, score(model, unseen.images, CPU)) > 0.95


@pytest.mark.parametrize("settings", [AUGMENTED, RECOMPUTED])
def test_the_report_hears_every_epoch_and_may_score_without_changing_the_bits(settings):
    heard = []
    model = network()

    def report(epoch: int, loss: float) -> None:
        heard.append((epoch, loss))
        score(model, patients().images, CPU)

    log = train(model, patients(), settings, Schedule(3, seed=2), report)
    assert heard == list(enumerate(log.losses, start=1))
    assert flatten(model).tobytes() == trained(settings, Schedule(3, seed=2)).tobytes()


@pytest.mark.parametrize("settings", [AUGMENTED, RECOMPUTED])
def test_weights_taken_at_an_epoch_are_those_of_training_that_long(settings):
    model, taken = network(), []
    train(
        model, patients(), settings, Schedule(3, seed=2), lambda _epoch, _loss: taken.append(flatten(model))
    )
    assert taken[1].tobytes() == trained(settings, Schedule(2, seed=2)).tobytes()


def test_recomputed_statistics_are_those_of_the_final_weights():
    samples = patients(12)
    model = network()
    train(model, samples, replace(PLAIN, batch_norm_statistics="recomputed"), Schedule(2, seed=4))
    lagging = trained(PLAIN, Schedule(2, seed=4), samples)
    layout = Layout.of(model)
    moved = layout.mask(TRAINED)
    assert flatten(model)[moved].tobytes() == lagging[moved].tobytes()
    convolved = model.conv1(samples.images)
    means = torch.stack([part.mean(dim=(0, 2, 3)) for part in convolved.split(4)]).mean(dim=0)
    variances = torch.stack([part.var(dim=(0, 2, 3)) for part in convolved.split(4)]).mean(dim=0)
    torch.testing.assert_close(model.bn1.running_mean, means, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.bn1.running_var, variances, atol=1e-5, rtol=1e-4)
    assert not np.allclose(lagging[layout.slices["bn1.running_mean"]], means.detach().numpy(), rtol=1e-2)
    assert all(module.momentum == 0.1 for module in model.modules() if isinstance(module, nn.BatchNorm2d))


def test_a_failure_leaves_the_network_as_it_can_be_used_again():
    model = network()
    wrong = Samples(torch.rand(4, 3, 32, 32), torch.tensor([0.0, 1, 0, 1]))
    model.train()
    with pytest.raises(RuntimeError, match="channels"):
        score(model, wrong.images, CPU)
    assert model.training
    run = _Run(model, wrong, RECOMPUTED, Schedule(1, seed=1), None)
    with pytest.raises(RuntimeError, match="channels"):
        run.recompute_statistics()
    assert all(module.momentum == 0.1 for module in model.modules() if isinstance(module, nn.BatchNorm2d))


def test_three_slices_as_channels_train_and_score():
    model = build(NetworkSpec("densenet-small", channels=3))
    samples = Samples(torch.rand(6, 3, 32, 32), torch.tensor([0.0, 1, 0, 1, 0, 1]))
    assert train(model, samples, AUGMENTED, Schedule(1, seed=1)).steps == 2
    assert score(model, samples.images, CPU).shape == (6,)


@given(st.integers(2, 60), st.integers(1, 20))
def test_batches_hold_every_patient_once_and_none_alone(count, size):
    parts = cut_batches(torch.arange(count), size)
    assert torch.cat(parts).tolist() == list(range(count))
    assert all(len(part) >= 2 for part in parts)
    assert all(len(part) <= max(size, 2) + 1 for part in parts)
    assert all(len(part) == max(size, 2) for part in parts[:-1])


@pytest.mark.parametrize(("count", "steps"), [(2, 1), (3, 1), (5, 1), (6, 2), (9, 2)])
def test_few_patients_and_a_last_one_alone_train(count, steps):
    model = network()
    assert train(model, patients(count), PLAIN, Schedule(1, seed=1)).steps == steps


def test_balanced_classes_weigh_positives_by_the_ratio():
    samples = patients(10)  # 4 of 10 expand
    one_batch = replace(PLAIN, batch_size=10, class_weighting="balanced")
    log = train(network(dropout=0.0), samples, one_batch, Schedule(1, seed=1))
    with torch.no_grad():
        logits = network(dropout=0.0).train()(samples.images).squeeze(1)
    probability = torch.sigmoid(logits)
    cost = torch.where(samples.labels == 1, -6 / 4 * probability.log(), -(1 - probability).log())
    assert log.losses[0] == pytest.approx(float(cost.mean()), rel=1e-4)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_single_class_trains_and_has_nothing_to_balance(label):
    samples = Samples(patients().images, torch.full((10,), label))
    plain, balanced = network(), network()

    train(plain, samples, PLAIN, Schedule(1, seed=1))
    train(balanced, samples, replace(PLAIN, class_weighting="balanced"), Schedule(1, seed=1))

    assert flatten(balanced).tobytes() == flatten(plain).tobytes()


@pytest.mark.parametrize("count", [0, 1])
def test_one_patient_is_too_few(count):
    samples = Samples(torch.rand(count, 1, 32, 32), torch.ones(count))
    with pytest.raises(SmallNumberError, match=rf"{count} training patient\(s\)"):
        train(network(), samples, PLAIN, Schedule(1, seed=1))


def test_a_loss_that_is_no_number_stops_with_epoch_and_step():
    with pytest.raises(NonFiniteError, match=r"epoch 1, step [23] of 3 -> lower the learning rate"):
        trained(replace(PLAIN, learning_rate=1e30), Schedule(2, seed=1))
    broken = network()
    with torch.no_grad():
        broken.conv1.weight[0] = torch.nan
    with pytest.raises(NonFiniteError, match="the loss is nan at epoch 1, step 1 of 3"):
        train(broken, patients(), PLAIN, Schedule(2, seed=1))


def test_weights_that_end_as_no_numbers_are_refused():
    # One step of one epoch: the loss was still a number when the weights no longer were.
    with pytest.raises(NonFiniteError, match=r"is NaN or infinite after training"):
        trained(replace(PLAIN, batch_size=10, learning_rate=3e38), Schedule(1, seed=1))


def test_bfloat16_is_another_way_to_nearly_the_same_place():
    half = trained(replace(PLAIN, precision="bfloat16"), Schedule(1, seed=1))
    full = trained(PLAIN, Schedule(1, seed=1))
    assert trained(replace(PLAIN, precision="auto"), Schedule(1, seed=1)).tobytes() == full.tobytes()
    assert half.tobytes() != full.tobytes()
    assert np.corrcoef(half, full)[0, 1] > 0.99


def test_scores_are_probabilities_without_dropout_in_any_batch():
    model, images = network(), patients(11).images
    model.train()
    with torch.no_grad():
        expected = torch.sigmoid(network().eval()(images).squeeze(1).double()).numpy()
    scores = score(model, images, CPU)
    assert scores.dtype == np.float64
    assert scores.shape == (11,)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    np.testing.assert_allclose(score(model, images, CPU, batch=3), expected, rtol=1e-5)
    assert np.array_equal(score(model, images, CPU), scores)
    assert model.training
    assert flatten(model).tobytes() == flatten(network()).tobytes()


def test_scores_that_are_no_numbers_are_refused():
    broken = network()
    with torch.no_grad():
        broken.conv1.weight[0] = torch.inf
    with pytest.raises(NonFiniteError, match="scores are not numbers"):
        score(broken, patients().images, CPU)


def test_no_patients_have_no_scores():
    assert score(network(), torch.zeros(0, 1, 32, 32), CPU).shape == (0,)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"threads": 0}, {"proximal_mu": -1.0}])
def test_impossible_schedules_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Schedule(**{"epochs": 1, "seed": 1, **wrong})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_bits_twice_and_scores_like_the_cpu():
    schedule = Schedule(2, seed=3, device=torch.device("cuda", 0))
    assert trained(AUGMENTED, schedule).tobytes() == trained(AUGMENTED, schedule).tobytes()
    images = patients().images
    np.testing.assert_allclose(
        score(network(), images, schedule.device), score(network(), images, CPU), atol=1e-4
    )
