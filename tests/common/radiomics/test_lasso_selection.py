"""Selection of features over whoever sums: as scikit-learn's, and what it does where it cannot."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.linear_model import Lasso

from common.radiomics.lasso_selection import (
    AskCrossProducts,
    AskMagnitudes,
    AskMoments,
    AskProducts,
    SelectionSettings,
    complete_features,
    iterate_selection,
    select_features,
)
from common.stats.contract import join_summaries, total
from common.stats.dialogue import answer_all
from common.stats.lasso import Scaling, local_gram, local_magnitude, local_scaling
from common.stats.lasso_binomial import local_path
from common.stats.minima import SIMULATION, STANDARD
from common.stats.prescreen import local_prescreen
from common.stats.unusual_values import count_unusual

FOLDS = 3
WIDE = SelectionSettings(wide_gram_accepted=True)


@dataclass
class Hospitals:
    """Patients spread over sites; what is asked of each is summed."""

    x: np.ndarray
    labels: np.ndarray
    sites: int = 2
    asked: int = 0
    rounds: int = 0

    @property
    def parts(self):
        folds = np.arange(len(self.x)) % FOLDS
        return [
            (self.x[s :: self.sites], self.labels[s :: self.sites], folds[s :: self.sites])
            for s in range(self.sites)
        ]

    def sum_magnitudes(self):
        return self._count(local_magnitude(x) for x, _, _ in self.parts)

    def sum_moments(self, magnitude):
        return self._count(
            join_summaries([local_scaling(x, magnitude), count_unusual(x, folds, FOLDS)])
            for x, _, folds in self.parts
        )

    def sum_products(self, scale):
        return self._count(local_prescreen(x, y, folds, FOLDS, scale) for x, y, folds in self.parts)

    def sum_cross_products(self, scale, kept):
        self.asked = kept.size
        own = Scaling(scale.mean[kept], scale.sd[kept], scale.kept[kept])
        return self._count(local_gram(x[:, kept], y, folds, FOLDS, own) for x, y, folds in self.parts)

    def sum_path(self, scale, kept, query):
        self.asked = max(self.asked, query.working.shape[1])
        own = Scaling(scale.mean[kept], scale.sd[kept], scale.kept[kept])
        return self._count(local_path(x[:, kept], y, folds, own, query) for x, y, folds in self.parts)

    def _count(self, answers):
        self.rounds += 1
        return total(answers)


def names_of(x):
    return tuple(f"f{j}" for j in range(x.shape[1]))


def draw(patients, features, seed=0):
    random = np.random.default_rng(seed)
    x = 5 + 3 * random.normal(size=(patients, features))
    labels = x[:, 1] - x[:, 4] + random.normal(size=patients) > 0
    return x, labels


def select(x, labels, settings=WIDE, minima=SIMULATION, sites=2):
    return select_features(Hospitals(x, labels, sites), names_of(x), settings, minima)


@pytest.mark.parametrize("rule", ["lambda_min", "1se"])
def test_more_features_than_patients_are_selected_as_scikit_learn_does(rule):
    x, labels = draw(40, 120)

    found = select(x, labels, SelectionSettings(rule, wide_gram_accepted=True))

    expected = Lasso(alpha=found.lasso.penalty, tol=1e-13, max_iter=1_000_000)
    expected.fit((x - x.mean(axis=0)) / x.std(axis=0), labels.astype(float))
    kept = np.flatnonzero(expected.coef_)
    assert 0 < len(found.names) < 40
    assert found.names == tuple(f"f{j}" for j in kept)
    assert found.coefficients == pytest.approx(expected.coef_[kept], abs=1e-8)
    assert found.mean == pytest.approx(x.mean(axis=0)[kept])
    assert found.sd == pytest.approx(x.std(axis=0)[kept])
    assert (found.candidates, found.prescreened) == (120, 120)


def test_one_hospital_or_five_select_the_same():
    x, labels = draw(60, 30)
    alone = select(x, labels, SelectionSettings(), sites=1)

    over_five = select(x, labels, SelectionSettings(), sites=5)

    assert alone.prescreened == 10  # half of the smallest fold's 20 patients
    assert over_five.names == alone.names
    assert over_five.coefficients == pytest.approx(alone.coefficients, abs=1e-9)


@pytest.mark.parametrize("wide", [False, True])
def test_a_binomial_selection_solves_the_penalised_likelihood_of_pooled_rows(wide):
    """By the conditions of Karush, Kuhn and Tucker; the path itself is held against glmnet's elsewhere."""
    x, labels = draw(90, 30)
    x += np.where(np.arange(30) % 2 == 0, 1e8, 0.0)
    hospitals = Hospitals(x, labels, 3)
    binomial = SelectionSettings(wide_gram_accepted=wide, family="binomial")

    found = select_features(hospitals, names_of(x), binomial, SIMULATION)

    chosen = np.array([int(name[1:]) for name in found.names])
    shifted = x - x[0]
    z = (shifted - shifted.mean(axis=0)) / shifted.std(axis=0)
    residual = labels - 1 / (1 + np.exp(-found.lasso.intercept - z[:, chosen] @ found.coefficients))
    pull = residual @ z / len(labels)
    assert {1, 4} <= set(chosen.tolist())
    assert found.prescreened == (30 if wide else 15)
    np.testing.assert_allclose(pull[chosen], found.lasso.penalty * np.sign(found.coefficients), atol=1e-6)
    if wide:
        assert (np.abs(np.delete(pull, chosen)) <= found.lasso.penalty + 1e-6).all()
    assert residual.sum() == pytest.approx(0, abs=1e-4)
    assert found.family == "binomial"
    assert len(found.lasso.profiles) == len(chosen)
    assert found.rounds == hospitals.rounds > 100


def test_a_gaussian_selection_takes_four_rounds():
    x, labels = draw(60, 8)
    hospitals = Hospitals(x, labels)

    found = select_features(hospitals, names_of(x), WIDE, SIMULATION)

    assert (found.family, found.rounds, hospitals.rounds) == ("gaussian", 4, 4)


def test_a_binomial_selection_asks_for_no_more_products_than_half_a_fold_s_patients():
    x, labels = draw(150, 60)
    hospitals = Hospitals(x, labels)

    found = select_features(hospitals, names_of(x), SelectionSettings(family="binomial"), STANDARD)

    assert found.status.ok
    assert 0 < hospitals.asked <= 25


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_means_of_a_billion_select_as_small_ones_do(family):
    x, labels = draw(90, 20)
    settings = SelectionSettings(family=family, wide_gram_accepted=True)
    # Digits beyond what a number near 10^9 can hold must not make a difference.
    x = np.round(x, 4)

    found, expected = select(x + 1e9, labels, settings), select(x, labels, settings)

    assert found.status.ok
    assert found.names == expected.names
    assert found.coefficients == pytest.approx(expected.coefficients, abs=1e-6)
    assert found.sd == pytest.approx(expected.sd, rel=1e-7)
    assert found.mean == pytest.approx(np.array(expected.mean) + 1e9, rel=1e-15)


def test_constant_features_are_never_selected_nor_asked_for():
    x, labels = draw(60, 8)
    x[:, 1] = 7.0
    hospitals = Hospitals(x, labels)

    found = select_features(hospitals, names_of(x), WIDE, SIMULATION)

    assert hospitals.asked == 7
    assert found.status.ok
    assert "f1" not in found.names


def test_of_constant_features_alone_nothing_is_selected_and_no_product_asked_for():
    x, labels = draw(60, 8)
    hospitals = Hospitals(np.full_like(x, 3.0), labels)

    found = select_features(hospitals, names_of(x), WIDE, SIMULATION)

    assert (found.names, found.status.reason) == ((), "no feature varies")
    assert hospitals.asked == 0


@pytest.mark.parametrize(
    ("patients", "classes", "reason"),
    [
        (9, "both", "too few patients with all features"),
        (300, "one", "fold below"),
        (45, "both", "fold below"),
    ],
)
def test_minima_stop_it_before_products_are_asked_for(patients, classes, reason):
    x, labels = draw(patients, 6)
    hospitals = Hospitals(x, labels if classes == "both" else np.zeros(patients, bool))

    found = select_features(hospitals, names_of(x), SelectionSettings(), STANDARD)

    assert reason in found.status.reason
    assert (found.names, found.lasso, hospitals.asked) == ((), None, 0)


def test_wide_products_are_asked_for_only_with_the_plan_s_waiver():
    x, labels = draw(120, 90)
    careful, waived = Hospitals(x, labels), Hospitals(x, labels)

    select_features(careful, names_of(x), SelectionSettings(), STANDARD)
    select_features(waived, names_of(x), WIDE, STANDARD)

    assert (careful.asked, waived.asked) == (20, 90)


def test_a_patient_without_one_feature_is_not_complete():
    features = np.arange(12.0).reshape(4, 3)
    features[2, 1] = np.nan

    assert complete_features(features).tolist() == [True, True, False, True]


def test_a_selection_asks_for_magnitudes_moments_products_and_cross_products():
    x, labels = draw(40, 5)
    hospitals, asked = Hospitals(x, labels), []
    dialogue = iterate_selection(names_of(x), WIDE, SIMULATION)

    def ask(question):
        asked.append(type(question))
        match question:
            case AskMagnitudes():
                return hospitals.sum_magnitudes()
            case AskMoments():
                return hospitals.sum_moments(question.magnitude)
            case AskProducts():
                return hospitals.sum_products(question.scale)
            case AskCrossProducts():
                return hospitals.sum_cross_products(question.scale, question.kept)

    found = answer_all(dialogue, ask)

    assert asked == [AskMagnitudes, AskMoments, AskProducts, AskCrossProducts]
    assert found.rounds == len(asked)
    assert found == select(x, labels)


def test_a_selection_of_which_nothing_is_reproducible_asks_nobody():
    names = ("f0", "f1")

    found = answer_all(iterate_selection(names, WIDE, SIMULATION, np.zeros(2, dtype=bool)), pytest.fail)

    assert found.reproducible == 0


@pytest.mark.parametrize(("holders", "is_kept"), [(0, False), (1, False), (12, False), (15, True)])
@pytest.mark.parametrize("usual", [0.0, 7.0])
def test_a_feature_that_few_of_a_fold_have_is_left_out(monkeypatch, holders, is_kept, usual):
    """Its products with other features would be theirs, by fold, whatever the others share."""
    random = np.random.default_rng(5)
    x, labels = random.normal(size=(120, 6)), np.arange(120) % 4 == 0
    x[:, 2] = usual
    x[:holders, 2] += 1 + random.random(holders)
    hospitals, scales = Hospitals(x, labels), []
    monkeypatch.setattr(
        hospitals,
        "sum_products",
        lambda scale: scales.append(scale) or Hospitals.sum_products(hospitals, scale),
    )

    select_features(hospitals, names_of(x), SelectionSettings(), STANDARD)

    assert scales[0].kept.tolist() == [True, True, is_kept, True, True, True]
