"""Whole studies whose network is trained from three seeds: in the clear, and with hidden sums."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from rich.progress import Progress
from sites.handmade import make_site
from studies.raw_rows import compare_with_raw_rows, open_rows

from common.cards.card_file import load_card
from common.errors import ModelError
from common.models.checkpoint import load
from common.plan.study import StudyPlan
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

ROLES = {"a": "train", "b": "train", "c": "external"}
FLAT = {
    "name": "flat",
    "family": "resnet10-narrow",
    "input_size": 16,
    "training": {"batch_size": 8, "learning_rate": 0.003},
}
SIZES = {"a": 20, "b": 21, "c": 12}
NAMES = ("flat", "flat-seed-2", "flat-seed-3")


def run(sites, out, models, *, secure):
    plan = StudyPlan.model_validate(
        {
            "name": "Seeds",
            "seed": 3,
            "threads": 1,
            "profile": "simulation",
            "sites": [{"name": name, "role": role} for name, role in ROLES.items()],
            "models": models,
            "phases": ["training", "evaluation"],
            "federation": {"rounds": 2},
            "arms": {"local_models": not secure},
            "privacy": {"secure": secure},
            "evaluation": {"reference_model": "flat"},
        }
    )
    results = run_in_process(StudyRun(plan, out, derive_simulated_key(plan)), sites, Progress(disable=True))
    return SimpleNamespace(plan=plan, out=out, results=results)


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sites")
    return {name: make_site(folder / name, name, size, seed=size) for name, size in SIZES.items()}


@pytest.fixture(scope="module")
def repeated(sites, tmp_path_factory):
    return run(sites, tmp_path_factory.mktemp("repeated"), [FLAT | {"repeats": 3}], secure=False)


@pytest.fixture(scope="module")
def named(sites, tmp_path_factory):
    """The same networks as models of a plan without repeats."""
    return run(
        sites, tmp_path_factory.mktemp("named"), [FLAT | {"name": name} for name in NAMES], secure=False
    )


def test_the_first_training_has_the_bits_of_a_plan_without_repeats(repeated, named):
    for record in ("evaluation", "training", "subgroups", "heterogeneity"):
        expected = tuple(one for one in getattr(named.results, record) if one.model == "flat")
        assert getattr(repeated.results, record) == expected, record
    assert list_compared(repeated) == {"flat"}
    assert list_compared(named) == set(NAMES)


def list_compared(study):
    """The models that the study compared with the reference, its own other arms included."""
    return {pair.second_model for table in study.results.comparisons for pair in table.pairs}


def test_each_training_has_the_bits_of_a_network_of_its_name(repeated, named):
    cells = {(cell.model, cell.arm, cell.cohort_sites, cell.part): cell for cell in named.results.evaluation}
    spreads = repeated.results.seed_spreads

    assert {(spread.arm, spread.relation) for spread in spreads} == {
        (arm, relation)
        for arm in ("federated", "local-a", "local-b")
        for relation in ("internal", "external")
    } - {("local-a", "external"), ("local-b", "external")}
    for spread in spreads:
        assert tuple(one.trained_as for one in spread.trainings) == NAMES
        for one in spread.trainings:
            cell = cells[one.trained_as, spread.arm, spread.cohort_sites, spread.part]
            assert (one.auc, one.auc_error_bound) == (cell.auc, cell.auc_error_bound)


def test_the_trainings_end_with_other_weights(repeated, named):
    flat = [load(repeated.out / "models" / name / "federated.safetensors").weights for name in NAMES]
    same = [load(named.out / "models" / name / "federated.safetensors").weights for name in NAMES]

    assert [one.tobytes() for one in flat] == [one.tobytes() for one in same]
    assert len({one.tobytes() for one in flat}) == 3


def test_a_further_training_is_no_model_to_predict_with(repeated):
    folder = repeated.out / "models"

    assert load_card(folder / "flat" / "federated.safetensors").card.model == "flat"
    with pytest.raises(ModelError):
        load_card(folder / "flat-seed-2" / "federated.safetensors")


def test_a_page_reader_is_told_which_training_stands_in_the_tables(repeated, named):
    said = [note for note in repeated.results.notes if "flat 3 times" in note]

    assert len(said) == 1
    assert "never of the best" in said[0]
    assert not any("seeds" in note for note in named.results.notes)


def test_hidden_sums_give_every_training_the_auc_of_the_raw_rows(sites, tmp_path):
    study = run(sites, tmp_path / "out", [FLAT | {"repeats": 3}], secure=True)

    assert study.plan.hides_sums
    assert len(study.results.seed_spreads) == 4
    assert all(len(spread.values) == 3 for spread in study.results.seed_spreads)
    assert any(len(set(spread.values)) > 1 for spread in study.results.seed_spreads)
    assert compare_with_raw_rows(study.results, open_rows(study.plan, sites, study.out)) > 100
