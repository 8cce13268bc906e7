import numpy as np
import pytest
import torch

from common.errors import ModelError
from common.training.server_optimiser import PseudoGradientStep

TRAINED = np.array([True, True, False])


def f32(*values):
    return np.array(values, dtype=np.float32)


def test_sgd_with_rate_one_is_federated_averaging():
    step = PseudoGradientStep("sgd", 1.0, TRAINED)

    np.testing.assert_allclose(step.apply(f32(1, 2, 3), f32(0.5, -0.5, 1)), [1.5, 1.5, 4])


def test_statistics_follow_the_mean_whatever_the_rate():
    step = PseudoGradientStep("sgd", 0.1, TRAINED)

    np.testing.assert_allclose(step.apply(f32(0, 0, 0), f32(1, 1, 1)), [0.1, 0.1, 1])


def test_two_steps_of_adam_are_those_of_reddi_et_al():
    step = PseudoGradientStep("adam", 0.1, TRAINED)
    weights, updates = f32(0, 0, 0), (f32(1, -2, 0), f32(0.5, 1, 0))
    first = second = np.zeros(2)
    expected = np.zeros(2)
    for number, update in enumerate(updates, start=1):
        weights = step.apply(weights, update)
        gradient = -update[:2].astype(float)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        corrected = first / (1 - 0.9**number)
        expected = expected - 0.1 * corrected / (np.sqrt(second / (1 - 0.99**number)) + 1e-3)

    np.testing.assert_allclose(weights[:2], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adagrad"])
def test_a_restored_memory_goes_on_with_the_same_bits(kind):
    whole, before, after = (PseudoGradientStep(kind, 0.1, TRAINED) for _ in range(3))
    updates = [f32(1, -2, 0.5), f32(0.25, 1, 0), f32(-1, 0, 0)]
    expected = weights = f32(0, 0, 0)
    for update in updates:
        expected = whole.apply(expected, update)
    for update in updates[:2]:
        weights = before.apply(weights, update)

    after.restore({name: array.copy() for name, array in before.state().items()})

    assert after.apply(weights, updates[2]).tobytes() == expected.tobytes()


def test_the_memory_of_another_network_is_refused():
    with pytest.raises(ModelError, match="exp_avg"):
        PseudoGradientStep("adam", 0.1, TRAINED).restore({"exp_avg": f32(1, 2, 3)})


def test_the_weights_that_came_are_left_alone():
    weights, update = f32(1, 2, 3), f32(1, 1, 1)

    PseudoGradientStep("adam", 0.1, TRAINED).apply(weights, update)

    np.testing.assert_array_equal(weights, [1, 2, 3])
    np.testing.assert_array_equal(update, [1, 1, 1])


OF_TORCH = {
    "sgd": lambda weights: torch.optim.SGD([weights], lr=0.1),
    "adam": lambda weights: torch.optim.Adam([weights], lr=0.1, betas=(0.9, 0.99), eps=1e-3),
    "adagrad": lambda weights: torch.optim.Adagrad([weights], lr=0.1, eps=1e-3),
}


@pytest.mark.parametrize("kind", OF_TORCH)
def test_steps_are_those_of_torch_but_for_how_it_rounds(kind):
    random = np.random.default_rng(3)
    weights = random.normal(size=500).astype(np.float32)
    theirs = torch.nn.Parameter(torch.from_numpy(weights.copy()))
    optimiser, step = OF_TORCH[kind](theirs), PseudoGradientStep(kind, 0.1, np.ones(500, dtype=bool))

    for _ in range(5):
        update = random.normal(scale=0.1, size=500).astype(np.float32)
        weights = step.apply(weights, update)
        theirs.grad = -torch.from_numpy(update)
        optimiser.step()

    np.testing.assert_allclose(weights, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", OF_TORCH)
def test_a_step_in_pieces_has_the_same_bits(kind):
    random = np.random.default_rng(4)
    weights, update = (random.normal(size=500).astype(np.float32) for _ in "wu")
    whole, cut = (PseudoGradientStep(kind, 0.1, np.ones(500, dtype=bool)) for _ in "wc")

    for _ in range(2):
        expected = whole.apply(weights, update)
        cut.begin()
        places = [slice(start, start + 123) for start in range(0, 500, 123)]
        pieces = [cut.move(place, weights[place], update[place]) for place in places]
        assert np.concatenate(pieces).tobytes() == expected.tobytes()
