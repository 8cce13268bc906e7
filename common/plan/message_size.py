"""How long a message of a study can be, from its plan alone: what is longer is refused before it is read.

A generous bound, not a forecast: it counts what grows with the plan (networks, grids of scores, products of
features) as it travels at its longest, masked, and adds room for everything that stays small.
"""

from __future__ import annotations

from common.cohort.schema import BY_NAME
from common.models.spec import Family
from common.plan.grids import MOST_PIECES, most_edges
from common.plan.matrix import PARTS, cohorts_of, scorers_of
from common.plan.models import CnnModel, SvmModel
from common.plan.study import StudyPlan
from common.plan.variables import levels_of, table_variables
from common.radiomics.features import FEATURES
from common.stats.stack import WIDEST_THIRD
from common.stats.table_one import Continuous

_ROOM = 16 * 2**20
"""Bytes for whatever is small: headers, signatures, sealed keys, moments, a released model of the table."""
_COUNT, _EXACT, _PRODUCT, _WEIGHT = 8, 48, 16, 4
"""Bytes of a number on its way: a count; a real in three numbers; one of many sums of products; a weight."""
_STATISTIC = 16
"""Bytes of a running statistic of BatchNorm, which has a wide ring."""
_COPIES = 4
"""How often one message can hold a site's numbers: in the clear as its own, and in each group's sum."""
_PICTURE = 2**20
"""Bytes of an attention map, at most."""
_COLUMNS = 64
"""Columns of a design matrix without radiomics and scores of networks, at most: every variable's levels."""

STATE_SIZES: dict[tuple[Family, int], tuple[int, int]] = {
    ("resnet10-narrow", 2): (311_037, 1_440),
    ("resnet10-narrow", 3): (903_997, 1_440),
    ("resnet18", 2): (11_186_645, 9_600),
    ("resnet18", 3): (33_170_133, 9_600),
    ("resnet101", 2): (42_607_657, 105_344),
    ("resnet101", 3): (85_308_713, 105_344),
    ("resnet152", 2): (58_297_436, 151_424),
    ("resnet152", 3): (117_513_564, 151_424),
    ("densenet-small", 2): (29_734, 1_120),
    ("densenet-small", 3): (69_734, 1_120),
    ("densenet121", 2): (7_038_650, 83_648),
    ("densenet121", 3): (11_327_418, 83_648),
    ("densenet201", 2): (18_324_106, 229_056),
    ("densenet201", 3): (25_561_994, 229_056),
}
"""Elements of each network's state, and how many of them are running statistics, with three input channels in
2D and one in 3D: `common.models.zoo.build`, without importing torch."""


def largest_message(plan: StudyPlan) -> int:
    """Most bytes that a message of the study needs, from a site or to it."""
    sizes = [_size_table(plan), _size_scores(plan), _size_regressions(plan)]
    sizes += [_size_weights(model) for model in plan.networks]
    sizes += [_size_machine(model) for model in plan.table_models if isinstance(model, SvmModel)]
    if plan.takes_radiomics:
        sizes.append((plan.radiomics.folds + 1) * (len(FEATURES) + 2) ** 2 * _PRODUCT)
    if plan.networks and "explanation" in plan.phases:
        sizes.append(plan.explanation.per_site * _PICTURE)
    return _ROOM + max(sizes)


def _size_weights(model: CnnModel) -> int:
    elements, statistics = STATE_SIZES[model.family, model.dimensions]
    return elements * _WEIGHT + statistics * _STATISTIC


def _size_table(plan: StudyPlan) -> int:
    """Table 1: each variable's counts by outcome, in each part of the patients."""
    bins = sum(variable.grid.bins for variable in table_variables(plan) if isinstance(variable, Continuous))
    return 2 * bins * _COUNT * len(PARTS) * _COPIES


def _size_scores(plan: StudyPlan) -> int:
    """Every score's histogram by outcome, in each part, each subgroup's level and each comparison."""
    scorers = len(scorers_of(plan))
    levels = sum(len(levels_of(BY_NAME[name])) for name in plan.evaluation.subgroups)
    histograms = scorers * (len(PARTS) * (1 + levels) * _COPIES + 3 * len(cohorts_of(plan)))
    dividing = MOST_PIECES * len(PARTS) * _COPIES
    return 2 * _COUNT * max(dividing, histograms * (most_edges(plan) + 1))


def _size_regressions(plan: StudyPlan) -> int:
    """Information and third moments of every model that one question can be about."""
    width = _COLUMNS + len(plan.networks) + (len(FEATURES) if plan.takes_radiomics else 0)
    screened = (len(plan.regression.candidates) + 1) * max(_COLUMNS**2, WIDEST_THIRD**3)
    fitted = (len(plan.table_models) + 1) * max(width**2, WIDEST_THIRD**3)
    calibrated = len(scorers_of(plan)) * len(cohorts_of(plan)) * 4
    return _EXACT * max(screened, fitted, calibrated)


def _size_machine(model: SvmModel) -> int:
    """Information of every candidate of a support vector machine, as one triangle each."""
    candidates = len(model.c_grid) * len(model.gamma_grid) * (model.folds + 1)
    width = model.fourier_features + 2
    return candidates * width * (width + 1) // 2 * _PRODUCT
