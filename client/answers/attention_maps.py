"""The attention maps of a site's tested patients about their lesions; only sums over them leave."""

from __future__ import annotations

import numpy as np

from client.answers.samples import TEST, SiteSamples
from client.answers.score_store import ScoreStore
from client.answers.trainer import Trainer
from client.cohort.cases import PreparedCase
from common.models.gradcam import attention
from common.stats.mean_map import encode_map
from common.training.device import reproducible
from common.training.loop import score
from common.types import Counts


def keep_maps(trainer: Trainer, samples: SiteSamples, store: ScoreStore, arm: str) -> None:
    """Draw the map of each tested patient, of what speaks for the decision that the network takes; keep them.

    Parameters
    ----------
    trainer : Trainer
        With the weights loaded.
    samples : SiteSamples
        The site's patients.
    store : ScoreStore
        Where the maps are kept, with the outline of each lesion.
    arm : str
        Name of the network's arm.

    Raises
    ------
    ScanError
        If a scan or a mask can no longer be read.
    NonFiniteError
        If a map is not made of numbers.
    """
    cases = samples.prepared.cases
    drawn = np.array([case.part == TEST for case in cases], dtype=np.bool_)
    maps = [_map_patient(trainer, case, samples) for case in cases if case.part == TEST]
    store.keep_maps(trainer.model.name, arm, cases, (drawn, maps))


def _map_patient(trainer: Trainer, case: PreparedCase, samples: SiteSamples) -> Counts:
    plan, network = trainer.plan, trainer.network
    image = np.load(case.inputs[trainer.model.shape])
    probability = float(score(network, trainer.make_batch(image), trainer.device, plan.threads)[0])
    # As in the pictures: with more threads the last bits were seen to differ from run to run
    with reproducible(trainer.device, threads=1):
        heat = attention(network, image, against=probability < plan.evaluation.threshold)
    field = samples.find_field(case, plan, trainer.model.shape)
    return encode_map(field.lay_out(heat), field.lesion)
