"""What a study lets its coordinator and its sites read, and what each patient adds to every number of it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from sites.followed import FollowedExchange

from client.answers.score_store import ScoreStore
from client.answers.statistics import SiteAnalyses
from client.cohort.cases import PreparedCase
from client.release.registry import ReleaseRegistry
from common.messages.catalogue import Operation, find_question
from common.messages.groups import SiteGroup, groups_of
from common.messages.headers import RequestHeader
from common.messages.protocol import Parameters
from common.plan.study import StudyPlan
from common.program.steps import GroupSums
from common.stats.contract import Summary
from common.types import Counts, Flags, FlatWeights, Reals

DEALT = frozenset({Operation.PRESCREEN, Operation.GRAM, Operation.PATH, Operation.RIDGE, Operation.HELD_OUT})
"""Questions by fold: who is in one follows from all patients, so that nobody's part can be told alone."""


@dataclass(frozen=True)
class ReadArray:
    """One array of one sum that was opened.

    Attributes
    ----------
    question : int
        Its number in the study, from 0.
    operation : Operation
        What was asked.
    name : str
        The array's name in the answer.
    sites : tuple of str
        Over whom it was added.
    comes_back : bool
        Whether it comes back to these sites.
    is_count : bool
        Whether its numbers are numbers of patients.
    parts : float array, shape (numbers, patients of all sites)
        What each patient adds to each number that is not 0; their sums are what is read.
    """

    question: int
    operation: Operation
    name: str
    sites: tuple[str, ...]
    comes_back: bool
    is_count: bool
    parts: Reals


@dataclass
class ReadExchange(FollowedExchange):  # type: ignore[misc]
    """Carries a study out, and keeps what its coordinator receives.

    Attributes
    ----------
    received : list of (RequestHeader, Parameters, GroupSums)
        Every question, with the sums that the coordinator opened.
    """

    received: list[tuple[RequestHeader, Parameters, GroupSums]] = field(default_factory=list)

    def gather(
        self,
        operation: Operation,
        parameters: Parameters | None = None,
        weights: FlatWeights | None = None,
        **context: object,
    ) -> GroupSums:
        """What every group of sites adds up to."""
        sums: GroupSums = super().gather(operation, parameters, weights, **context)
        header = self.make_header(operation, parameters or {}, context)
        self.received.append((header, parameters or {}, sums))
        return sums


class _Forgetful(ReleaseRegistry):
    """A registry of nothing, for one patient alone."""

    def find_too_close(self, cohorts: Sequence[tuple[str, Sequence[str]]]) -> tuple[bool, ...]:
        return (False,) * len(cohorts)

    def remember(self, definition: str, rows: Sequence[str]) -> None:
        pass


@dataclass(frozen=True)
class _StoreOfOne(ScoreStore):
    """The scores of one patient of a site.

    Attributes
    ----------
    of_all : callable
        The scores of all of them, by model and arm.
    place : int
        Of the patient among them.
    """

    of_all: Callable[[str, str], Reals]
    place: int

    def find(self, model: str, arm: str, cases: Sequence[PreparedCase]) -> Reals:
        assert len(cases) == 1
        return self.of_all(model, arm)[[self.place]]


@dataclass
class PatientParts:
    """What each patient adds: every answer is a sum, so it is the answer of a site with this patient alone.

    Attributes
    ----------
    line : ReadExchange
        After the study.
    """

    line: ReadExchange

    def __post_init__(self) -> None:
        plan = self.line.plan.model_copy(update={"profile": "simulation", "two_site_ack": False})
        self._alone = [
            (name, alone)
            for name, analyses in self.line.sites.items()
            for alone in _open_alone(analyses, plan)
        ]

    @property
    def homes(self) -> tuple[str, ...]:
        """The site of each patient."""
        return tuple(name for name, _ in self._alone)

    def read(self, *, without: Container[Operation] = ()) -> Iterator[ReadArray]:
        """Every array that was opened and is a sum over patients, but of some questions.

        Raises
        ------
        AssertionError
            If what patients add is not what was opened: then this reader does not know the program.
        """
        seen: set[Operation] = set()
        for number, (header, parameters, sums) in enumerate(self.line.received):
            is_repeated = header.operation in _ONCE & seen
            seen.add(header.operation)
            is_left_out = header.operation in without or _is_dealt(header)
            if not (is_repeated or is_left_out or _is_later_round(header, parameters)):
                yield from self._read_question(number, (header, parameters), sums)

    def _read_question(
        self, number: int, asked: tuple[RequestHeader, Parameters], sums: GroupSums
    ) -> Iterator[ReadArray]:
        header, parameters = asked
        # A site adds its patients to every group that it is in
        answers = [alone.answer(header, parameters) for _, alone in self._alone]
        steers = find_question(header.operation, header.stage).steers
        for group in groups_of(self.line.plan, header.operation, header.stage, header.arm):
            is_in = np.array([home in group.sites for home in self.homes])
            selected = [group.select(each) for each in answers]
            opened = self._withhold(group, asked, sums.of(group.sites))
            for name, total in [*opened.counts.items(), *opened.reals.items()]:
                if not total.any() or name.rsplit("/", 1)[-1] in _OF_NO_PATIENT:
                    continue
                told = np.flatnonzero(total)
                parts = _stack(selected, name, told) * is_in
                assert np.allclose(parts.sum(axis=1), total.ravel()[told], rtol=1e-6, atol=1e-6), name
                yield ReadArray(
                    question=number,
                    operation=header.operation,
                    name=name,
                    sites=group.sites,
                    comes_back=group.alone or steers(name),
                    is_count=name in opened.counts,
                    parts=parts,
                )

    def _withhold(self, group: SiteGroup, asked: tuple[RequestHeader, Parameters], own: Summary) -> Summary:
        """Of one site's own sum, what leaves it."""
        return self.line.sites[group.sites[0]].withhold_few(*asked, own) if group.alone else own


_OF_NO_PATIENT = frozenset({"sites", "short", "close", "same_bin", "reordered"})
"""What a guard says of a site, and pairs of patients within one: nothing is one patient's."""
_ONCE = frozenset({Operation.GRID, Operation.CALIBRATE})
"""Questions that are repeated about the same patients: the first is read."""


def _is_dealt(header: RequestHeader) -> bool:
    return header.operation in DEALT or header.stage in {"svm", "selection"}


def _is_later_round(header: RequestHeader, parameters: Parameters) -> bool:
    """Whether coefficients are no longer 0: then no other number has the same terms (see `newton_rows`)."""
    return header.operation is Operation.NEWTON and bool(np.any(parameters["coefficients"]))


def _stack(answers: Sequence[Summary], name: str, told: Counts) -> Reals:
    """What each patient adds to some numbers of an array, shape (numbers, patients)."""
    arrays = [each.counts[name] if name in each.counts else each.reals[name] for each in answers]
    return np.stack([array.ravel()[told] for array in arrays], axis=1).astype(np.float64)


def _open_alone(analyses: SiteAnalyses, plan: StudyPlan) -> Iterator[SiteAnalyses]:
    """Each patient of a site as if there were no other."""
    registry, store = analyses.registry, analyses.store

    @cache
    def find(model: str, arm: str) -> Reals:
        return store.find(model, arm, analyses.cases)

    for place, case in enumerate(analyses.cases):
        yield replace(
            analyses,
            plan=plan,
            cases=(case,),
            store=_StoreOfOne(store.folder, store.plan_hash, find, place),
            registry=_Forgetful(registry.path, registry.maximum, registry.minima),
        )


def select_told(arrays: Sequence[ReadArray], site: str) -> list[ReadArray]:
    """What comes back to a site."""
    return [array for array in arrays if site in array.sites and array.comes_back]


def find_others(homes: Sequence[str], known: Sequence[str]) -> Flags:
    """Whose patients are not known to readers at these sites, shape (patients,)."""
    return np.array([home not in known for home in homes])
