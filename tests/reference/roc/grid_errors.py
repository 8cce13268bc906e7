"""Prints how far AUCs over three sites are from the raw ones, by grid and spread of the logits.

`python -m tests.reference.roc.grid_errors`; the table is in ARCHITECTURE. 210 patients, a third with the
outcome, AUC near .75, 200 draws a row.
"""

from __future__ import annotations

import sys

import numpy as np

from common.stats.contract import total
from common.stats.minima import SIMULATION
from common.stats.roc import finish_roc, local_roc
from common.stats.score_grid import ScoreGrid

DRAWS, PATIENTS, SITES = 200, 210, 3
ROWS = [(spread, 0.0) for spread in (0.02, 0.05, 0.1, 0.3, 1, 2, 4, 8, 16)]
ROWS += [(1.0, centre) for centre in (-9.2, -18.4, -27.6)]
GRIDS = {"even": ScoreGrid.even(1000), "fine ends": ScoreGrid.with_fine_ends(1000)}


def main() -> None:
    """Print a row for each spread and centre: the mean and the largest error by each grid."""
    random = np.random.default_rng(2026)
    for spread, centre in ROWS:
        errors = np.array([_draw_errors(random, spread, centre) for _ in range(DRAWS)])
        cells = [f"{spread:>5g} {1 / (1 + np.exp(-centre)):8.1e}"]
        cells += [
            f"{name} {errors[:, i].mean():.5f} {errors[:, i].max():.5f}" for i, name in enumerate(GRIDS)
        ]
        sys.stdout.write("  ".join(cells) + "\n")


def _draw_errors(random: np.random.Generator, spread: float, centre: float) -> list[float]:
    labels = np.arange(PATIENTS) < PATIENTS // 3
    logits = centre + spread * (random.normal(size=PATIENTS) + 0.95 * labels)
    scores, site = 1 / (1 + np.exp(-logits)), random.integers(0, SITES, PATIENTS)
    wins = np.sign(scores[labels][:, np.newaxis] - scores[~labels]).mean() / 2 + 0.5
    return [
        abs(
            float(
                finish_roc(
                    total(local_roc(scores[site == s], labels[site == s], grid) for s in range(SITES)),
                    grid,
                    minima=SIMULATION,
                ).auc.value
                or 0.0
            )
            - wins
        )
        for grid in GRIDS.values()
    ]


if __name__ == "__main__":
    main()
