"""Scoring a site's patients with a model, answered as histograms and counts."""

from __future__ import annotations

import numpy as np

from client.samples import PARTS, SiteSamples
from client.train import Trainer
from common.stats.confusion import local_confusion
from common.stats.contract import Summary, join
from common.stats.roc import local_roc
from common.study import StudyPlan
from common.training.loop import score
from common.types import Flags, Reals


def evaluate(trainer: Trainer, samples: SiteSamples) -> Summary:
    """Histograms and counts of the loaded model on every part of the site's cohort and on the whole.

    Each under the part's name; parts without patients are there with zeros, so that all sites can be added.
    """
    plan = trainer.plan
    scores: dict[str, Reals] = {}
    labels: dict[str, Flags] = {}
    for part in PARTS:
        scores[part], labels[part] = np.empty(0), np.empty(0, dtype=np.bool_)
        if samples.cases(part):
            patients = samples.of(trainer.model, part)
            scores[part] = score(trainer.network, patients.images, trainer.device, plan.threads)
            labels[part] = patients.labels.cpu().numpy() > 0
    scores["whole"] = np.concatenate([scores[part] for part in PARTS])
    labels["whole"] = np.concatenate([labels[part] for part in PARTS])
    return join(_summarise(scores[part], labels[part], plan).under(part) for part in scores)


def _summarise(scores: Reals, labels: Flags, plan: StudyPlan) -> Summary:
    return join(
        [
            local_roc(scores, labels, plan.evaluation.bins).under("roc"),
            local_confusion(scores, labels, plan.evaluation.threshold).under("confusion"),
        ]
    )
