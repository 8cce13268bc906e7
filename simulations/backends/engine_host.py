"""Sites' engines in processes of their own, as many side by side as this machine's cores hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path

from rich.progress import Progress

from client.answers.samples import TRAINING, VALIDATION
from client.engine import SiteEngine
from common.plan.study import CnnModel, StudyPlan
from common.runtime.machine import has_accelerator_driver
from server.run import StudyRun
from simulations.backends.in_process import open_engines
from simulations.backends.local_grid import BeginAnswer
from simulations.backends.parties import derive_simulated_key
from simulations.backends.pooled import (
    PooledPart,
    PooledTraining,
    join_parts,
    keep_why_untrained,
    list_pooled,
    read_part,
    train_pooled,
)
from simulations.backends.side_process import SideProcess, count_places, start_beside


def count_processes(plan: StudyPlan) -> int:
    """In how many processes the sites of a plan compute on this machine; in one, it is this process.

    A plan of tables alone is done before further processes have begun; on an accelerator, sites take turns.
    """
    if not plan.reads_images or has_accelerator_driver():
        return 1
    return min(len(plan.sites), count_places(plan.threads))


@dataclass(frozen=True)
class EngineRecipe:
    """What another process needs to open the engines of some sites.

    Attributes
    ----------
    plan : StudyPlan
        As the sites approved it.
    out : Path
        The study's folder.
    sites : mapping of str to Path
        The folders of these sites, by name.
    """

    plan: StudyPlan
    out: Path
    sites: Mapping[str, Path]

    def make(self, progress: Progress) -> EngineHost:
        """The engines, in this process."""
        run = StudyRun(self.plan, self.out, derive_simulated_key(self.plan))
        return EngineHost(run, open_engines(run, self.sites, progress), progress)


@dataclass(frozen=True)
class EngineHost:
    """The engines of some sites, and what they are asked from another process.

    Attributes
    ----------
    run : StudyRun
        The study, without what only its coordinator needs.
    engines : mapping of str to SiteEngine
        By the site's name.
    progress : Progress
        Shows what takes long.
    """

    run: StudyRun
    engines: Mapping[str, SiteEngine]
    progress: Progress

    def answer(self, site: str, message: bytes) -> bytes:
        """A site's answer to a message."""
        # Another process gets it, so it must be bytes
        return bytes(self.engines[site].handle(message))

    def gather(self, site: str, model: CnnModel, part: str) -> PooledPart | None:
        """A part of a site's patients; only a simulation asks for it."""
        return read_part(self.engines[site], model, part)

    def train(self, training: PooledTraining) -> None:
        """Train a pooled model, which is saved where the study looks for it."""
        training.run(self.run, self.progress)


@dataclass(frozen=True)
class HostedSites:
    """The sites of a study, each in one of several processes.

    Attributes
    ----------
    hosts : mapping of str to SideProcess
        The process of each site, by the site's name.
    """

    hosts: Mapping[str, SideProcess]

    def list_links(self) -> dict[str, BeginAnswer]:
        """By site, how it is asked."""
        return {site: partial(host.begin, "answer", site) for site, host in self.hosts.items()}

    def train_pooled(self, run: StudyRun, devices: Mapping[str, str]) -> None:
        """Train the plan's pooled models side by side; `devices` by site, as the settings name them."""
        wanted = []
        for model, arm in list_pooled(run):
            with keep_why_untrained(run, model, arm):
                parts = self._gather_all(arm.sites, model)
                wanted.append(PooledTraining(model, arm, devices[arm.sites[0]], *parts))
        # Patients of all sites first: who trains answers nothing else
        processes = cycle(dict.fromkeys(self.hosts.values()))
        begun = [(training, next(processes).begin("train", training)) for training in wanted]
        for training, ended in begun:
            with keep_why_untrained(run, training.model, training.arm):
                ended.result()

    def _gather_all(
        self, sites: Iterable[str], model: CnnModel
    ) -> tuple[PooledPart | None, PooledPart | None]:
        begun = {
            part: [self.hosts[site].begin("gather", site, model, part) for site in sites]
            for part in (TRAINING, VALIDATION)
        }
        training, validation = (
            join_parts([future.result() for future in futures]) for futures in begun.values()
        )
        return training, validation


def train_pooled_beside(run: StudyRun, sites: Mapping[str, Path], progress: Progress) -> None:
    """Train the plan's pooled models as `run_beside` does, in as many processes, which end with it."""
    engines, processes = open_engines(run, sites, progress), count_processes(run.plan)
    if not any(list_pooled(run)):
        return
    if processes == 1:
        train_pooled(run, engines, progress)
        return
    devices = {name: engine.settings.device for name, engine in engines.items()}
    with host_engines(EngineRecipe(run.plan, run.out, sites), processes, progress) as hosted:
        hosted.train_pooled(run, devices)


@contextmanager
def host_engines(recipe: EngineRecipe, number: int, progress: Progress) -> Iterator[HostedSites]:
    """The sites of a recipe in so many processes, which are ended with the context."""
    shares = _share(sorted(recipe.sites), number)
    named = {
        ", ".join(share): replace(recipe, sites={name: recipe.sites[name] for name in share}).make
        for share in shares
    }
    with start_beside(dict(named), progress) as processes:
        yield HostedSites(
            {name: process for share, process in zip(shares, processes, strict=True) for name in share}
        )


def _share(names: Sequence[str], number: int) -> list[Sequence[str]]:
    return [names[first::number] for first in range(number)]
