"""What a step of the study's program asks, and what comes back.

A procedure is a generator that yields steps and receives their answers. The coordinator sends what all sites
answered; a site sends the sums that it has verified itself, and none of groups to which it does not belong.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from common.errors import UnknownSumError
from common.messages.catalogue import Operation
from common.messages.protocol import Parameters, Reply
from common.stats.contract import Summary
from common.types import Flags, FlatWeights


@dataclass(frozen=True)
class GroupSums:
    """One sum for each group of sites of `common.messages.groups`.

    Attributes
    ----------
    sums : mapping of tuple of str to Summary
        By the sites of the group, sorted; at a site, of the groups to which it belongs.
    site : str
        The site that knows them; empty at the coordinator, which knows all.
    """

    sums: Mapping[tuple[str, ...], Summary]
    site: str = ""

    def of(self, sites: Sequence[str]) -> Summary:
        """The sum over these sites.

        Raises
        ------
        UnknownSumError
            If the question has no such group, or its sum is not known here.
        """
        try:
            return self.sums[tuple(sorted(sites))]
        except KeyError:
            raise UnknownSumError(f"the sum over {', '.join(sites)} is not known here") from None

    def concern(self, sites: Sequence[str]) -> bool:
        """Whether a group of these sites is followed here, its sum being known or not: a site is in it."""
        return not self.site or self.site in sites

    def tell(self, sites: Sequence[str]) -> bool:
        """Whether the sum over these sites is known here: not all come back to sites."""
        return tuple(sorted(sites)) in self.sums


@dataclass(frozen=True)
class AskedGroup:
    """A group of sites that may be asked together: all of them, or none.

    Attributes
    ----------
    rows : tuple of int
        Positions of its sites among the plan's.
    part : int or None
        Position of the patients' part in the parameter "asked"; None where that has no parts.
    permitted : bool array, shape (entries,)
        What may be asked of the group.
    """

    rows: tuple[int, ...]
    part: int | None
    permitted: Flags


@dataclass(frozen=True)
class Step:
    """One question of a procedure.

    Attributes
    ----------
    operation : Operation
        The question.
    parameters : Parameters
        What it carries; at a site, what the site itself derives: of parameters that are missing here the
        coordinator has the choice.
    model, arm : str
        Names of the plan's model and arm, where the question concerns one.
    round : int or None
        Training round, from 1; 0 outside a training; None where a site does not know the chosen one.
    stage : str
        The statistic that a guard round precedes, as in the request's header.
    regressions : tuple of tuple of str, or None
        Covariates of each logistic model; None where the site does not know which the coordinator selected.
    sites : tuple of str
        Sites that are asked for answers of their own; empty where sums are asked for.
    weights : float32 vector or None
        The network's weights that the question carries.
    carries_weights : bool
        Whether it carries weights, also where a site does not know them.
    is_optional : bool
        Whether the coordinator may go on to the next step instead.
    derive : callable or None
        At a site: further parameters, which follow from what the coordinator chose in the question; raises
        `NotThePlanError` if it may not choose so.
    absent : tuple of str
        At a site: no parameter's name may begin with one of these unless it is expected.
    groups : tuple of AskedGroup
        For the parameter "asked": which groups may be asked for what. A site is asked only in a group that is
        asked as a whole: over a part of it, the sum would be another.
    relevant : mapping of str to bool array
        At a site: which entries of a parameter concern its own patients; all, where it is not named.
    is_glance : bool
        Whether nothing is asked: a site only looks at what the next question names.
    """

    operation: Operation
    parameters: Parameters = field(default_factory=dict)
    model: str = ""
    arm: str = ""
    round: int | None = 0
    stage: str = ""
    regressions: tuple[tuple[str, ...], ...] | None = ()
    sites: tuple[str, ...] = ()
    weights: FlatWeights | None = None
    carries_weights: bool = False
    is_optional: bool = False
    derive: Callable[[Parameters], Parameters] | None = None
    absent: tuple[str, ...] = ()
    groups: tuple[AskedGroup, ...] = ()
    relevant: Mapping[str, Flags] = field(default_factory=dict)
    is_glance: bool = False

    @property
    def context(self) -> dict[str, object]:
        """The fields of the request's header that say what the question is about."""
        return {
            "model": self.model,
            "arm": self.arm,
            "round": self.round or 0,
            "stage": self.stage,
            "regressions": self.regressions or (),
        }


@dataclass(frozen=True)
class Answered:
    """What came back from a step.

    Attributes
    ----------
    sums : GroupSums
        Of the groups whose sums are known here.
    asked : Parameters
        The parameters as they were asked.
    regressions : tuple of tuple of str
        The covariates as they were asked.
    replies : mapping of str to Reply
        At the coordinator, the answers of sites that were asked for their own.
    is_complete : bool
        Whether the sums of all groups are known here, as they are at the coordinator.
    """

    sums: GroupSums
    asked: Parameters = field(default_factory=dict)
    regressions: tuple[tuple[str, ...], ...] = ()
    replies: Mapping[str, Reply] = field(default_factory=dict)
    is_complete: bool = True


Outcome = TypeVar("Outcome")
Program: TypeAlias = Generator[Step, Answered | None, Outcome]
"""A procedure: it yields steps and receives what came back; None where an optional step was not asked."""


def ask(step: Step) -> Program[Answered]:
    """What comes back from a step that is always asked.

    Raises
    ------
    UnknownSumError
        If it was left out.
    """
    answered = yield step
    if answered is None:
        raise UnknownSumError(f"{step.operation} was left out")
    return answered


def glance() -> Program[Answered]:
    """At a site: what the next question carries and names, before it is compared with what is expected."""
    return ask(Step(Operation.GUARD, is_glance=True))


def ask_sum(step: Step, sites: Sequence[str]) -> Program[Summary]:
    """The sum over these sites."""
    answered = yield from ask(step)
    return answered.sums.of(sites)
