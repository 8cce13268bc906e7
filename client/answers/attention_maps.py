"""The attention maps of a site's tested patients about their lesions; only sums over them leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from client.answers.samples import TEST, SiteSamples
from client.answers.score_store import KeptMaps, ScoreStore
from client.answers.trainer import Trainer
from client.cohort.cases import PreparedCase, stack_inputs
from client.cohort.lesion_fields import read_field
from common.imaging.lesion_cells import CELLS
from common.models.gradcam import attend_to_several
from common.stats.mean_map import encode_map
from common.training.device import reproducible
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
    StorageError
        If the cache was damaged since it was checked.
    NonFiniteError
        If a map is not made of numbers.
    """
    cases = samples.prepared.cases
    drawn = np.array([case.part == TEST for case in cases], dtype=np.bool_)
    tested = [case for case in cases if case.part == TEST]
    # As many at once as a step of training has
    step = trainer.model.settings.batch_size
    maps = [
        one
        for first in range(0, len(tested), step)
        for one in _map_patients(trainer, tested[first : first + step])
    ]
    stacked = np.array(maps, dtype=np.int64).reshape(-1, 2, CELLS, CELLS)
    store.keep_maps(trainer.model.name, arm, cases, KeptMaps(drawn, stacked))


def _map_patients(trainer: Trainer, cases: Sequence[PreparedCase]) -> Iterator[Counts]:
    plan, shape = trainer.plan, trainer.model.shape
    images = stack_inputs(cases, shape)
    against = trainer.score(torch.from_numpy(images)) < plan.evaluation.threshold
    # As in the pictures: with more threads the last bits were seen to differ from run to run
    with reproducible(trainer.device, threads=1):
        heats = attend_to_several(trainer.network, images, against)
    for case, heat in zip(cases, heats, strict=True):
        field = read_field(case, shape)
        yield encode_map(field.lay_out(heat), field.lesion)
