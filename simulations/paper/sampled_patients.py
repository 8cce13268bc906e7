"""The rows of the patients of one cohort and outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from common.cohort.schema import TABLE_ONE, VARIABLES, Variable
from common.seeds import generator
from common.types import Counts, Flags, Reals
from simulations.paper.described import Recording, values_of
from simulations.paper.facts import PrintedGroup, Ranking
from simulations.paper.sampled_scores import scores_of
from simulations.paper.spread import draw_leaning_keys

_RECORDINGS = {
    "age": Recording(Decimal(1)),
    "onset_to_ct_h": Recording(Decimal("0.01"), smallest=Decimal("0.25")),
    "sbp_mmhg": Recording(Decimal(1)),
    "dbp_mmhg": Recording(Decimal(1)),
    "inr": Recording(Decimal("0.01"), smallest=Decimal("0.8")),
    "ich_volume_ml": Recording(Decimal("0.01"), smallest=Decimal("0.5")),
    "ivh_volume_ml": Recording(Decimal("0.01"), smallest=Decimal("0.2"), reach=Decimal(10)),
}
_ELIGIBLE = {"ct_to_followup_h": 24, "primary_ivh": 0, "prior_surgery": 0, "artefacts": 0}
_LEAN = 0.6
"""How much earlier the first site's patients come in the order of a variable, in standard deviations."""
_LOOSENESS = 0.2
"""Largest shift between the ranks of systolic and diastolic pressure, as a share of the patients.

With more, the diastolic pressure of some patients would exceed the systolic one.
"""


@dataclass(frozen=True)
class Placing:
    """Which patients of a group are at which site.

    Attributes
    ----------
    first : bool array, shape (n,)
        Whether a patient is at the first site.
    levels : mapping of str to tuple of two int arrays, each of shape (levels,)
        By categorical variable, how many patients of each level are at the first and at the second site.
    seed : tuple of (int, str, int)
        Path of the group's random streams: the study's seed, the cohort, the outcome.
    """

    first: Flags
    levels: Mapping[str, tuple[Counts, Counts]]
    seed: tuple[int, str, int]

    def stream_of(self, purpose: str) -> np.random.Generator:
        """The random stream for one purpose."""
        return generator(self.seed[0], *self.seed[1:], purpose)

    def draw_keys(self, purpose: str) -> Reals:
        """Keys that order the patients such that the first site's tend to come early, of shape (n,)."""
        return draw_leaning_keys(self.first, _LEAN, self.stream_of(purpose))


def score_column_of(model: str) -> str:
    """The cohort table's column name for a model's score.

    Examples
    --------
    >>> score_column_of("2D-ResNet-101")
    'score_2d_resnet_101'
    """
    return "score_" + "".join(letter if letter.isalnum() else "_" for letter in model.lower())


def rows_of_group(
    group: PrintedGroup, placing: Placing, rankings: Mapping[str, Ranking], *, expanded: bool
) -> pd.DataFrame:
    """One row for each patient, the first site's patients first.

    Raises
    ------
    ValueError
        If no rows have these facts.
    """
    n = group.patients
    columns: dict[str, Any] = {variable.name: pd.Series([None] * n, dtype=object) for variable in VARIABLES}
    columns |= {name: np.full(n, value) for name, value in _ELIGIBLE.items()}
    columns |= {v.name: _draw_codes(v, placing) for v in TABLE_ONE if v.kind != "continuous"}
    columns |= _build_continuous(group, placing, np.asarray(columns["ivh"]) == 1)
    columns |= _grow_volumes(columns["ich_volume_ml"], columns["ivh_volume_ml"], expanded=expanded)
    for model, ranking in rankings.items():
        scores = scores_of(ranking)[int(expanded)]
        columns[score_column_of(model)] = _place(np.round(scores, 6), placing.draw_keys(model))
    return pd.DataFrame(columns)


def _draw_codes(variable: Variable, placing: Placing) -> Any:
    """0 and 1, or the level's name, in random order within each site."""
    random = placing.stream_of(variable.name)
    sites = [np.repeat(np.arange(counts.size), counts) for counts in placing.levels[variable.name]]
    codes = np.concatenate([random.permutation(site) for site in sites])
    return codes if variable.kind == "binary" else np.array(variable.levels)[codes]


def _build_continuous(group: PrintedGroup, placing: Placing, ivh: Flags) -> dict[str, Reals]:
    """Every continuous variable; patients with an IVH have its volume, and the two pressures go together."""
    keys = {name: placing.draw_keys(name) for name in _RECORDINGS}
    ranks = np.argsort(np.argsort(keys["sbp_mmhg"])) / group.patients
    keys["dbp_mmhg"] = ranks + placing.stream_of("looseness").uniform(0, _LOOSENESS, group.patients)
    # Patients without IVH come first; their order does not matter, as all have the volume 0.
    keys["ivh_volume_ml"] = np.argsort(np.argsort(keys["ivh_volume_ml"])) + group.patients * ivh
    zeros = {"ivh_volume_ml": int(np.count_nonzero(~ivh))}
    return {
        name: _place(
            values_of(group.continuous[name], group.patients, recording, zeros.get(name, 0)), keys[name]
        )
        for name, recording in _RECORDINGS.items()
    }


def _place(ascending: Reals, keys: Reals) -> Reals:
    """The ascending values, given to the patients in the order of their keys."""
    placed = np.empty_like(ascending)
    placed[np.argsort(keys, kind="stable")] = ascending
    return placed


def _grow_volumes(ich_ml: Reals, ivh_ml: Reals, *, expanded: bool) -> dict[str, Reals]:
    """Volumes at follow-up: stable, or grown for each of the rule's reasons in turn."""
    reason = np.arange(ich_ml.size) % 3 if expanded else np.full(ich_ml.size, 3)
    grown = np.select(
        [reason == 0, reason == 1], [ich_ml + 7.5, 1.4 * ich_ml], ich_ml + np.minimum(0.1 * ich_ml, 2.0)
    )
    # An IVH at baseline grows by more than 1 ml; otherwise a new IVH appears.
    bled = np.where(reason == 2, ivh_ml + np.where(ivh_ml > 0, 1.5, 0.6), ivh_ml)
    return {
        "followup_ich_volume_ml": np.round(grown, 2),
        "followup_ivh_volume_ml": np.round(bled, 2),
    }
