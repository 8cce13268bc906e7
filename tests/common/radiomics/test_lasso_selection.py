"""Selection of features over whoever sums: as scikit-learn's, and what it does where it cannot."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.linear_model import Lasso

from common.radiomics.lasso_selection import SelectionSettings, complete_features, fold_of, select_features
from common.stats.contract import total
from common.stats.lasso import Scaling, local_gram, local_scaling
from common.stats.minima import SIMULATION, STANDARD
from common.stats.prescreen import local_prescreen

FOLDS = 3
WIDE = SelectionSettings(wide_gram_accepted=True)


@dataclass
class Hospitals:
    """Patients spread over sites; what is asked of each is summed."""

    x: np.ndarray
    labels: np.ndarray
    sites: int = 2
    asked: int = 0

    @property
    def parts(self):
        folds = np.arange(len(self.x)) % FOLDS
        return [
            (self.x[s :: self.sites], self.labels[s :: self.sites], folds[s :: self.sites])
            for s in range(self.sites)
        ]

    def sum_moments(self):
        return total(local_scaling(x, np.zeros(x.shape[1])) for x, _, _ in self.parts)

    def sum_products(self, scale):
        return total(local_prescreen(x, y, folds, FOLDS, scale) for x, y, folds in self.parts)

    def sum_cross_products(self, scale, kept):
        self.asked = kept.size
        own = Scaling(scale.mean[kept], scale.sd[kept], scale.kept[kept])
        return total(local_gram(x[:, kept], y, folds, FOLDS, own) for x, y, folds in self.parts)


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


def test_a_fold_depends_on_seed_site_and_patient_and_folds_are_about_even():
    folds = [fold_of(7, "a", f"P{n}", 5) for n in range(2000)]

    assert folds[:50] == [fold_of(7, "a", f"P{n}", 5) for n in range(50)]
    assert folds[:50] != [fold_of(8, "a", f"P{n}", 5) for n in range(50)]
    assert folds[:50] != [fold_of(7, "b", f"P{n}", 5) for n in range(50)]
    assert np.bincount(folds, minlength=5).min() > 340
