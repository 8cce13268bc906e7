"""The longest message of a plan: nothing that a study sends is longer, and not much else would fit."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from sites.plans import LOGISTIC, NETWORK, plan_of

from common.hiding.rounds import hiding_of
from common.hiding.vectors import Hiding, Precision
from common.models.layout import Layout
from common.models.spec import Family, NetworkSpec
from common.models.zoo import build
from common.plan.design import design_of
from common.plan.grids import MOST_PIECES, most_edges
from common.plan.matrix import PARTS, scorers_of
from common.plan.message_size import _COLUMNS, largest_message
from common.plan.state_sizes import STATE_SIZES
from common.plan.study import StudyPlan, load_plan
from common.plan.variables import table_variables
from common.radiomics.features import FEATURES
from common.stats.contract import Summary, join_summaries
from common.stats.lasso import Scaling, local_gram
from common.stats.lasso_binomial import PathQuery, local_path
from common.stats.ridge import local_ridge
from common.stats.roc import local_roc
from common.stats.score_grid import ScoreGrid
from common.stats.table_one import Continuous, local_table_one

SITES = {"A": "train", "B": "train", "C": "external"}
RADIOMICS = {"kind": "logistic", "name": "Radiomics", "covariates": ["radiomics"]}
MIB = 2**20


def bytes_of(hiding: Hiding) -> int:
    return sum(vector.words * vector.dtype.itemsize for vector in hiding.vectors)


def masked(summary: Summary, precision: Precision = Precision.EXACT) -> int:
    """Bytes of a summary on its way, masked."""
    return bytes_of(Hiding(summary.layout(), precision=precision))


def built(family: Family, dimensions: int) -> Layout:
    with torch.device("meta"):
        network = build(NetworkSpec(family, dimensions, 3 if dimensions == 2 else 1))
    return Layout.of(network)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("family", get_args(Family))
def test_the_table_has_the_size_of_every_network_that_can_be_built(family, dimensions):
    layout = built(family, dimensions)
    statistics = sum(entry.size for entry in layout.entries if entry.kind == "batchnorm-buffer")
    assert STATE_SIZES[family, dimensions] == (layout.size, statistics)


@pytest.mark.parametrize("secure", [True, False])
def test_a_round_of_a_networks_training_fits(secure):
    network = NETWORK | {"family": "densenet121", "input_size": 64}
    plan = plan_of(SITES, network, privacy={"secure": secure})
    needed = bytes_of(hiding_of(plan, built("densenet121", 2)))
    assert needed < largest_message(plan) < needed + 64 * MIB


@pytest.mark.parametrize("folds", [3, 20])
def test_the_products_of_all_features_fit(folds):
    plan = plan_of(SITES, RADIOMICS, radiomics={"folds": folds, "wide_gram_accepted": True})
    features, nobody = np.zeros((0, len(FEATURES))), np.zeros(0, dtype=np.int64)
    scale = Scaling(np.zeros(len(FEATURES)), np.ones(len(FEATURES)), np.ones(len(FEATURES), dtype=np.bool_))
    gram = local_gram(features, nobody.astype(np.bool_), nobody, folds, scale)
    assert masked(gram, Precision.PRODUCTS) < largest_message(plan)
    everything = np.tile(np.arange(len(FEATURES)), (folds + 1, 1))
    query = PathQuery(
        np.zeros((folds + 1, len(FEATURES) + 1)), everything, np.zeros(folds + 1, dtype=np.bool_)
    )
    path = local_path(features, nobody.astype(np.bool_), nobody, scale, query)
    assert masked(path, Precision.PRODUCTS) < largest_message(plan)


def test_the_candidates_of_a_support_vector_machine_fit():
    machine = {"kind": "svm", "name": "SVM", "covariates": ["age"], "fourier_features": 512, "folds": 5}
    plan = plan_of(SITES, machine)
    candidates = 4 * 4 * 5
    sums = local_ridge(
        np.zeros((0, 512)),
        np.zeros(0, dtype=np.bool_),
        np.zeros((candidates, 0), dtype=np.bool_),
        np.zeros((candidates, 513)),
    )
    assert masked(sums, Precision.PRODUCTS) < largest_message(plan)


def test_table_one_fits_in_each_part_and_again_masked():
    plan = plan_of(SITES, LOGISTIC)
    variables = table_variables(plan)
    columns = [
        np.zeros(0) if isinstance(variable, Continuous) else np.zeros(0, dtype=np.int64)
        for variable in variables
    ]
    sums = local_table_one(columns, np.zeros(0, dtype=np.int64), variables)
    assert 9 * masked(sums) < largest_message(plan)


def test_the_scores_of_all_models_fit_in_every_part_with_subgroups():
    subgroups = {"subgroups": ["sex", "location"], "bins": 10_000}
    plan = plan_of(SITES, LOGISTIC, LOGISTIC | {"name": "Second"}, evaluation=subgroups)
    grid = ScoreGrid.with_fine_ends(most_edges(plan))
    nobody = np.zeros(0)
    cell = local_roc(nobody, nobody.astype(np.bool_), grid)
    cells = [
        cell.under(f"{part}/{scorer}/{level}")
        for part in PARTS
        for scorer in range(len(scorers_of(plan)))
        for level in range(1 + 2 + 3)
    ]
    assert masked(join_summaries(cells)) < largest_message(plan)


def test_a_question_that_divides_bins_fits():
    plan = plan_of(SITES, LOGISTIC)
    assert 2 * 8 * MOST_PIECES * len(PARTS) < largest_message(plan)


def test_no_design_is_wider_than_the_bound_takes_it_for():
    plan = plan_of(SITES, LOGISTIC, regression={"missing": "level"})
    assert len(design_of(plan).columns) + 1 < _COLUMNS


def test_every_plan_of_the_guide_has_a_bound_that_a_computer_can_hold():
    for path in Path("deploy/plans").glob("*.toml"):
        plan: StudyPlan = load_plan(path)
        assert 16 * MIB < largest_message(plan) < 1024 * MIB


def test_a_small_plan_has_a_small_bound():
    assert largest_message(plan_of(SITES, LOGISTIC)) < 64 * MIB
