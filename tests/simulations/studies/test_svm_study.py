"""Support vector machines of a study: exact where they stay, in random Fourier features where they travel."""

import itertools
import math
import re

import numpy as np
import pytest
from rich.progress import Progress
from scipy.special import expit
from sites.tables import Habits, read_cohort, table_only_hospital, write_cohort
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from client.answers.kernel import Choice, fit_exact_machine
from client.engine import SiteEngine
from common.cards.card_file import load_card
from common.cards.fourier_machine import map_of
from common.messages.envelope import split_messages
from common.messages.signed_reply import take_body
from common.plan.study import StudyPlan
from common.seeds import derive_seed
from common.stats.folds import deal_folds
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

pytestmark = pytest.mark.slow

NUMBERS = ("onset_to_ct_h", "ich_volume_ml", "ivh")
C_GRID, GAMMA_GRID, FEATURES = (0.1, 10.0), (0.02, 0.1), 16
MODEL = {
    "kind": "svm",
    "name": "SVM",
    "covariates": [*NUMBERS, "location"],
    "c_grid": list(C_GRID),
    "gamma_grid": list(GAMMA_GRID),
    "fourier_features": FEATURES,
}


def a_plan(*models, **changes):
    settings = {
        "name": "Machines",
        "seed": 5,
        "profile": "simulation",
        "two_site_ack": True,
        "sites": [
            {"name": "east", "role": "train", "model_release": True},
            {"name": "west", "role": "train"},
        ],
        "models": models or [MODEL],
        "phases": ["training", "evaluation"],
        "evaluation": {"bins": 20_000},
    }
    return StudyPlan.model_validate(settings | changes)


PLAN = a_plan()
FEW_BINS = {"evaluation": {"bins": 1000}}
"""Enough where no AUC is compared with another program's."""


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    root = tmp_path_factory.mktemp("hospitals")
    habits = Habits(split=("train", "validation", "train", "test"))
    folders = {}
    for seed, name in enumerate(("east", "west")):
        folder = table_only_hospital(root / name, name, 120, seed, ("alpha",), habits=habits)
        rows = read_cohort(folder)
        for row in rows:
            # A risk that is highest in the middle: what a linear model misses.
            row["onset_to_ct_h"] = round(2 + float(row["onset_to_ct_h"]) * (0.2 if grows(row) else 1), 2)
            row["sah"] = 0
        write_cohort(folder, rows)
        settings = folder / "site.toml"
        settings.write_text(settings.read_text() + "model_release = true\n")
        folders[name] = folder
    return folders


@pytest.fixture(scope="module")
def traffic():
    return []


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "out"


@pytest.fixture(scope="module")
def results(hospitals, traffic, out):
    answer = SiteEngine.handle

    def overheard(engine, message):
        traffic.append(answer(engine, message))
        return traffic[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SiteEngine, "handle", overheard)
        return study(PLAN, hospitals, out)


def study(plan, folders, out, *, resume=False):
    run = StudyRun(plan, out, derive_simulated_key(plan), resume=resume)
    return run_in_process(run, folders, Progress(disable=True))


def grows(row):
    return float(row["followup_ich_volume_ml"]) - float(row["ich_volume_ml"]) >= 6


def rows_of(hospitals, names=("east", "west"), *, tested=False):
    rows = [row | {"site": name} for name in names for row in read_cohort(hospitals[name])]
    return [row for row in rows if (row["split"] == "test") == tested]


def design(rows):
    numbers = [[float(row[name]) for row in rows] for name in NUMBERS]
    levels = [[float(row["location"] == level) for row in rows] for level in ("deep", "infratentorial")]
    return np.array(numbers + levels).T, np.array([grows(row) for row in rows])


def standardised(rows, training):
    x, own = design(training)[0], design(rows)[0]
    return (own - x.mean(axis=0)) / x.std(axis=0)


def features(rows, training, gamma):
    z = standardised(rows, training)
    return map_of(PLAN, PLAN.table_models[0], FEATURES, z.shape[1]).features(z, gamma)


def ridge(rows, training, c, gamma):
    model = LogisticRegression(C=c, tol=1e-13, max_iter=100_000, solver="newton-cholesky")
    return model.fit(features(rows, training, gamma), design(rows)[1])


def kept_by(out, arm):
    return fitted_in(out / f"models/SVM/{arm}.json")


def fitted_in(path):
    return load_card(path).card.content.fitted.model_dump(mode="json")


def kept_scores(out, hospitals, arm):
    """What west keeps of its test patients: it has them sorted, as its table does."""
    (path,) = (out / "sites/west/scores").glob(f"*/SVM/{arm}.npz")
    tested = [row["split"] == "test" for row in read_cohort(hospitals["west"])]
    with np.load(path) as kept:
        return kept["scores"][tested]


def cell_of(results, arm, site, part):
    (cell,) = [
        c
        for c in results.evaluation
        if (c.arm, c.cohort_sites, c.part) == (arm, (site,), part) and c.model == "SVM"
    ]
    return cell


def test_over_sites_it_is_the_one_of_all_rows_in_one_place(results, hospitals, out):
    training = rows_of(hospitals)
    folds = np.concatenate(
        [
            deal_folds(
                PLAN.seed, site, [row["patient"] for row in rows], np.array([grows(row) for row in rows]), 5
            )
            for site in ("east", "west")
            for rows in [[row for row in training if row["site"] == site]]
        ]
    )
    loss = {}
    for c, gamma in itertools.product(C_GRID, GAMMA_GRID):
        likelihood = 0.0
        for fold in range(5):
            seen = [row for row, own in zip(training, folds, strict=True) if own != fold]
            left = [row for row, own in zip(training, folds, strict=True) if own == fold]
            risk = ridge(seen, training, c, gamma).predict_proba(features(left, training, gamma))
            likelihood += np.log(risk[range(len(left)), design(left)[1].astype(int)]).sum()
        loss[c, gamma] = likelihood / len(training)
    c, gamma = max(loss, key=loss.get)
    expected = ridge(training, training, c, gamma)

    found = kept_by(out, "federated")
    assert (found["c"], found["gamma"]) == (c, gamma)
    assert found["criterion"] == pytest.approx(loss[c, gamma], abs=1e-9)
    assert found["weights"] == pytest.approx(expected.coef_[0], abs=1e-7)
    assert found["intercept"] == pytest.approx(expected.intercept_[0], abs=1e-7)
    assert found["used"] == len(training)
    tested = rows_of(hospitals, ("west",), tested=True)
    risks = expected.predict_proba(features(tested, training, gamma))[:, 1]
    assert kept_scores(out, hospitals, "federated") == pytest.approx(risks.tolist(), abs=1e-8)
    cell = cell_of(results, "federated", "west", "test")
    assert cell.relation == "internal"
    assert cell.auc.value == pytest.approx(roc_auc_score(design(tested)[1], risks), abs=1e-9)


def test_a_machine_that_stays_scores_exactly(results, hospitals, out):
    x, labels = design(rows_of(hospitals, ("west",)))
    seed = derive_seed(PLAN.seed, "west", "svm-folds", "SVM") % 2**32
    cv = StratifiedKFold(5, shuffle=True, random_state=seed)
    grid = {"svc__C": C_GRID, "svc__gamma": GAMMA_GRID}
    machine = GridSearchCV(make_pipeline(StandardScaler(), SVC()), grid, scoring="roc_auc", cv=cv)
    best = machine.fit(x, labels).best_estimator_
    exact = CalibratedClassifierCV(best, method="sigmoid", cv=cv, ensemble=False).fit(x, labels)
    x, labels = design(rows_of(hospitals, ("west",), tested=True))

    risks = exact.predict_proba(x)[:, 1]
    assert kept_scores(out, hospitals, "local-west") == pytest.approx(risks.tolist(), abs=1e-9)
    cell = cell_of(results, "local-west", "west", "test")
    assert cell.auc.value == pytest.approx(roc_auc_score(labels, risks), abs=1e-9)
    assert not (out / "models/SVM/local-west.json").exists()
    assert {c.cohort_sites for c in results.evaluation if c.arm == "local-west"} == {("west",)}
    (shown,) = [one for one in results.machines if one.arm == "local-west"]
    assert shown.standing.reason == "the model stayed at its centre"


def test_a_released_machine_is_judged_by_its_linear_form(results, hospitals, out):
    found = kept_by(out, "local-east")
    tested = rows_of(hospitals, ("west",), tested=True)
    form = features(tested, rows_of(hospitals, ("east",)), found["gamma"]) @ found["weights"]
    risks = expit(found["slope"] * (form + found["intercept"]) + found["offset"])

    cell = cell_of(results, "local-east", "west", "test")
    assert kept_scores(out, hospitals, "local-east") == pytest.approx(risks.tolist(), abs=1e-9)
    assert cell.relation == "external"
    assert cell.auc.value == pytest.approx(roc_auc_score(design(tested)[1], risks), abs=1e-9)
    (shown,) = [one for one in results.machines if one.arm == "local-east"]
    assert 0 < shown.deviation < 0.2
    assert any("trained at east alone left" in note for note in results.notes)


def test_validation_patients_train_it(results):
    assert cell_of(results, "federated", "east", "validation").relation == "apparent"


def numbers_of_patients(training):
    """A number of each patient's row that could leave: raw volume, z-scores, random Fourier features."""
    mapped = [features(training, training, gamma) for gamma in GAMMA_GRID]
    tables = (design(training)[0][:, 1:2], standardised(training, training)[:, :2], *mapped)
    return np.unique(np.concatenate([table.ravel() for table in tables]))


ROUNDING = 1e-12
"""Sums in another order move a number by less; unrelated numbers differ by more."""


def found_in(data, numbers, text=None):
    """Which numbers, sorted, stand in bytes as float64 at any place, or as text where there is text.

    Masks are random bytes: in megabytes of them any four characters occur by chance.
    """
    hit = np.zeros(len(numbers), bool)
    for start in range(8):
        hit |= near(np.frombuffer(data[start:][: (len(data) - start) // 8 * 8], np.float64), numbers)
    texts = re.findall(rb"-?\d+\.\d+(?:e-?\d+)?", data if text is None else text)
    return numbers[hit | near(np.array([float(one) for one in texts]), numbers)]


def near(values, numbers):
    """Which of the sorted numbers some value equals but for rounding."""
    smallest, largest = np.abs(numbers).min() / 2, 2 * np.abs(numbers).max()
    with np.errstate(invalid="ignore"):
        # Of random bytes, nearly all are nearer to 0 or farther from it than any number
        values = values[(np.abs(values) >= smallest) & (np.abs(values) <= largest)]
    hit = np.zeros(len(numbers), bool)
    place = np.searchsorted(numbers, values)
    for neighbour in (np.clip(place - 1, 0, None), np.clip(place, None, len(numbers) - 1)):
        close = np.abs(values - numbers[neighbour]) <= ROUNDING * np.abs(numbers[neighbour])
        hit[neighbour[close]] = True
    return hit


def header_of(message):
    """The JSON part of a message in safetensors' format, behind the site's signature."""
    message = bytes(take_body(message))
    length = int.from_bytes(message[:8], "little")
    assert message[8:9] == b"{"
    return message[8 : 8 + length]


def test_no_number_of_a_patient_leaves_its_site(results, hospitals, traffic, out):
    # A site keeps its cache and its findings to itself
    files = [path for path in out.rglob("*.json") if not {"cache", "findings.json"} & {*path.parts}]
    # How long a phase took is no patient's number, and may equal one
    exported = [re.sub(rb'"seconds": \d+\.\d+', b"", path.read_bytes()) for path in files]
    every = (("east", "west"), ("east",), ("west",))
    numbers = np.unique(np.concatenate([numbers_of_patients(rows_of(hospitals, own)) for own in every]))

    assert len(traffic) > 20
    assert len([path for path in files if path.name == "local.json"]) == 2
    replies = [reply for message in traffic for reply in split_messages(message) if reply]
    headers = b"\n".join(map(header_of, replies))
    assert found_in(b"".join(traffic), numbers, headers).size == 0
    # Times of a run are rounded to tenths, which some volumes are, too
    times, others = (
        [
            content
            for path, content in zip(files, exported, strict=True)
            if (path.name == "state.json") == is_state
        ]
        for is_state in (True, False)
    )
    tenths = np.isclose(numbers * 10, np.round(numbers * 10), rtol=0, atol=1e-9)
    assert found_in(b"\n".join(others), numbers).size == 0
    assert found_in(b"\n".join(times), numbers[~tenths]).size == 0
    # The search finds what it looks for.
    planted = b"x" + numbers[7].tobytes() + repr(float(numbers[8])).encode()
    assert found_in(planted, numbers).tolist() == numbers[7:9].tolist()


@pytest.mark.usefixtures("no_page")
def test_a_study_that_goes_on_ends_with_the_same_numbers(results, hospitals, out):
    again = study(PLAN, hospitals, out, resume=True)

    assert again.machines == results.machines
    assert again.evaluation == results.evaluation


def test_constant_covariates_are_left_out_and_of_them_alone_there_is_no_machine(hospitals, tmp_path):
    small = {"c_grid": [1.0], "gamma_grid": [0.1], "fourier_features": 8}
    models = [
        MODEL | small | {"name": "Some", "covariates": ["onset_to_ct_h", "sah"]},
        MODEL | small | {"name": "None", "covariates": ["sah"]},
    ]
    results = study(a_plan(*models, **FEW_BINS), hospitals, tmp_path / "out")
    some, none = (
        [one for one in results.machines if one.model == name and one.arm != "local-west"]
        for name in ("Some", "None")
    )

    assert all(one.features == 8 and one.used for one in some)
    kept = fitted_in(tmp_path / "out/models/Some/federated.json")
    assert [column["variable"] for column in kept["columns"]] == ["onset_to_ct_h"]
    assert [one.standing.reason for one in none] == ["every covariate is constant"] * 2
    judged = [c for c in results.evaluation if c.model == "None"]
    assert judged
    assert all(cell.auc.value is None for cell in judged)


def test_support_vectors_are_among_the_numbers_that_are_looked_for(results, hospitals):
    """And they leave neither in a message nor in a card: see the test above."""
    training = rows_of(hospitals, ("west",))
    x, labels = design(training)
    machine = fit_exact_machine(x, labels, PLAN.table_models[0], Choice(10.0, 0.1, 0.5), 3)
    (calibrated,) = machine.calibrated_classifiers_

    vectors = calibrated.estimator.named_steps["svc"].support_vectors_

    assert len(vectors) > 5
    looked_for = numbers_of_patients(training)
    nearest = np.abs(looked_for[:, np.newaxis] - vectors[:, :2].ravel()).min(axis=0)
    assert nearest.max() < 1e-12


def one_class(hospitals, tmp_path, change):
    """The hospitals with west's rows changed."""
    folders = {"east": hospitals["east"]}
    folders["west"] = table_only_hospital(
        tmp_path / "west", "west", 3, habits=Habits(split=("train", "test"))
    )
    write_cohort(folders["west"], [change(row) for row in read_cohort(hospitals["west"])])
    settings = folders["west"] / "site.toml"
    settings.write_text(settings.read_text() + "model_release = true\n")
    return folders


SMALL_GRID = {"c_grid": [1.0], "gamma_grid": [0.1], "fourier_features": 8}


LOGISTIC = {"kind": "logistic", "name": "Logistic", "covariates": list(NUMBERS)}


def test_a_site_whose_training_patients_are_of_one_class_is_left_out_of_what_needs_both(hospitals, tmp_path):
    folders = one_class(hospitals, tmp_path, lambda row: row | ({"split": "test"} if grows(row) else {}))

    results = study(a_plan(MODEL | SMALL_GRID, LOGISTIC, **FEW_BINS), folders, tmp_path / "out")

    for fits in (results.machines, results.fitted):
        standing = {one.arm: one.standing.reason for one in fits}
        assert (standing["federated"], standing["local-east"]) == ("", "")
        assert standing["local-west"] == "patients of one class only"
    x, labels = design(rows_of(folders))
    assert not design(rows_of(folders, ("west",)))[1].any()
    pooled = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(x[:, : len(NUMBERS)], labels)
    (fit,) = (one for one in results.fitted if one.arm == "federated")
    ours = [math.log(row.multivariable.odds_ratio.value) for row in fit.rows]
    np.testing.assert_allclose(ours, pooled.coef_[0], rtol=1e-4, atol=1e-5)
    cells = {(c.model, c.arm, c.cohort_sites, c.part): c for c in results.evaluation}
    west = cells["Logistic", "federated", ("west",), "train"]
    assert west.auc.standing.reason == "patients of one class only"
    assert west.confusion.false_positive + west.confusion.true_negative == west.negative
    assert cells["Logistic", "federated", ("east", "west"), "train"].auc.value is not None
    assert cells["Logistic", "federated", ("west",), "test"].auc.value is not None


def test_a_site_that_lacks_a_covariate_in_one_class_counts_with_the_other(hospitals, tmp_path):
    """Of complete patients west has one class: enough of it, and none of the other to tell of."""
    folders = one_class(hospitals, tmp_path, lambda row: row | ({"ivh": ""} if grows(row) else {}))

    results = study(a_plan(MODEL | SMALL_GRID, LOGISTIC, **FEW_BINS), folders, tmp_path / "out")

    for fits in (results.machines, results.fitted):
        standing = {one.arm: one.standing.reason for one in fits}
        assert (standing["federated"], standing["local-east"]) == ("", "")
        assert standing["local-west"] == "patients of one class only"
    west = {c.auc.standing.reason for c in results.evaluation if c.cohort_sites == ("west",)}
    assert west == {"patients of one class only", "not fitted: patients of one class only"}
