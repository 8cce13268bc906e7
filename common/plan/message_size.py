"""How long a message of a study can be, from its plan alone: what is longer is refused before it is read.

A generous bound, not a forecast: it counts what grows with the plan (networks, grids of scores, products of
features) as it travels at its longest, masked, and adds room for everything that stays small.
"""

from __future__ import annotations

from common.imaging.lesion_cells import CELLS
from common.plan.design import list_selectable
from common.plan.grids import MOST_PIECES, most_edges
from common.plan.mapped_cohorts import OUTCOMES, averages_maps, list_mapped_networks
from common.plan.matrix import PARTS, cohorts_of, scorers_of
from common.plan.models import CnnModel, SvmModel
from common.plan.state_sizes import STATE_SIZES
from common.plan.study import StudyPlan
from common.plan.variables import levels_of, table_variables
from common.stats.stack import WIDEST_THIRD
from common.stats.table_one import Continuous

MOST_TOGETHER = 6 * 2**20
"""Bytes of questions that travel in one message, and of the answers before the last one."""
_ROOM = 16 * 2**20
"""Bytes for whatever is small: headers, signatures, sealed keys, moments, a released model of the table."""
_COUNT, _EXACT, _PRODUCT, _WEIGHT = 8, 48, 16, 4
"""Bytes of a number on its way: a count; a real in three numbers; one of many sums of products; a weight."""
_STATISTIC = 16
"""Bytes of a running statistic of BatchNorm, which has a wide ring."""
_COPIES = 4
"""How often one message can hold a site's numbers: in the clear as its own, and in each group's sum."""
_SIGNED = 2**18
"""Bytes of a header that a site signed, with the digests of all its vectors, and of counts of patients."""
_PICTURE = 2**20
"""Bytes of an attention map, at most."""
_MAP = 4 * CELLS**2
"""Numbers of a mean map: attention and lesion, and where enough patients have something of each."""
_COLUMNS = 64
"""Columns of a design matrix without radiomics, scores of networks and the plan's own variables, at most:
every variable's levels."""


def largest_message(plan: StudyPlan) -> int:
    """Most bytes that a message of the study needs, from a site or to it.

    Before a question may stand what the other sites sent of the step before, where its sums steer the study.
    """
    sizes = [size_table(plan), _size_scores(plan), _size_regressions(plan)]
    sizes += [size_weights(model) for model in plan.networks]
    sizes += [model.bytes for model in plan.cards]
    sizes += [size_machine(model) for model in plan.table_models if isinstance(model, SvmModel)]
    if plan.takes_radiomics:
        sizes.append(size_products(plan))
    if plan.networks and "explanation" in plan.phases:
        sizes.append(plan.explanation.per_site * _PICTURE)
    if averages_maps(plan):
        sizes.append(_MAP * _COUNT * len(OUTCOMES) * len(list_mapped_networks(plan)) * _COPIES)
    others = len(plan.site_names) - 1 if plan.hides_sums else 0
    return _ROOM + MOST_TOGETHER + max(sizes) + others * _size_steering(plan)


def size_weights(model: CnnModel) -> int:
    """Bytes of a network's weights as they travel."""
    elements, statistics = STATE_SIZES[model.family, model.dimensions]
    return elements * _WEIGHT + statistics * _STATISTIC


def _size_steering(plan: StudyPlan) -> int:
    """What one site sent of one step whose sums come back to the sites, with its signature and digests."""
    moments = len(list_selectable(plan)) * 4 * _EXACT if plan.takes_radiomics else 0
    return _SIGNED + max(_size_regressions(plan), _size_histograms(plan, levels=0), moments)


def size_table(plan: StudyPlan) -> int:
    """Table 1: each variable's counts by outcome, in each part of the patients."""
    bins = sum(variable.grid.bins for variable in table_variables(plan) if isinstance(variable, Continuous))
    return 2 * bins * _COUNT * len(PARTS) * _COPIES


def _size_scores(plan: StudyPlan) -> int:
    """Every score's histogram by outcome, in each part, each subgroup's level and each comparison."""
    levels = sum(len(levels_of(plan.variable(name))) for name in plan.evaluation.subgroups)
    dividing = MOST_PIECES * len(PARTS) * _COPIES
    return max(2 * _COUNT * dividing, _size_histograms(plan, levels))


def _size_histograms(plan: StudyPlan, levels: int) -> int:
    """Every score's histograms by outcome; `levels` of all subgroups together are counted, too."""
    histograms = len(PARTS) * (1 + levels) * _COPIES + 3 * len(cohorts_of(plan))
    return 2 * _COUNT * len(scorers_of(plan)) * histograms * (most_edges(plan) + 1)


def _size_regressions(plan: StudyPlan) -> int:
    """Information and third moments of every model that one question can be about."""
    clinical = _COLUMNS + sum(len(levels_of(variable)) for variable in plan.own_variables.values())
    width = clinical + len(plan.networks) + (len(list_selectable(plan)) if plan.takes_radiomics else 0)
    screened = (len(plan.regression.candidates) + 1) * max(clinical**2, WIDEST_THIRD**3)
    fitted = (len(plan.table_models) + 1) * max(width**2, WIDEST_THIRD**3)
    calibrated = len(scorers_of(plan)) * len(cohorts_of(plan)) * 4
    return _EXACT * max(screened, fitted, calibrated)


def size_products(plan: StudyPlan) -> int:
    """Products of all features among which the LASSO selects, in each fold."""
    return (plan.radiomics.folds + 1) * (len(list_selectable(plan)) + 2) ** 2 * _PRODUCT


def size_machine(model: SvmModel) -> int:
    """Information of every candidate of a support vector machine, as one triangle each."""
    candidates = len(model.c_grid) * len(model.gamma_grid) * (model.folds + 1)
    width = model.fourier_features + 2
    return candidates * width * (width + 1) // 2 * _PRODUCT
