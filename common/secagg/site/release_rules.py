"""The release rules: what may no longer leave a site because of what has left it before.

Sets are bitmaps: bit i is site i.
"""

from __future__ import annotations

from collections.abc import Iterable

from common.secagg.codes import SecAggError
from common.secagg.site.history import History


def check_inputs(history: History, phase: str, vectors: Iterable[str], digest: str) -> None:
    """Refuse a second release of a vector from the same input in a phase (R1).

    Raises
    ------
    SecAggError
        E_ALREADY_RELEASED if there was one.
    """
    if any(history.find_input_release(phase, vector, digest) for vector in vectors):
        raise SecAggError("a vector computed from this input was released", code="E_ALREADY_RELEASED")


def check_definitions(history: History, definitions: Iterable[str]) -> None:
    """Refuse a second release of a static statistic in the study, whatever phase or round asks for it (R1).

    Raises
    ------
    SecAggError
        E_ALREADY_RELEASED if there was one.
    """
    if any(history.find_definition_release(definition) for definition in definitions):
        raise SecAggError("a static statistic was released in this study", code="E_ALREADY_RELEASED")


def check_model(history: History, phase: str, vectors: Iterable[str], model: str, members: int) -> None:
    """Refuse to sum what was released from a model over another set than before (R4 a).

    Raises
    ------
    SecAggError
        E_SET_CHANGE if the set is another one.
    """
    waived = history.list_absent(phase)
    for vector in vectors:
        for earlier in history.list_model_sets(vector, model):
            if remove_sites(earlier, waived) != remove_sites(members, waived):
                raise SecAggError(
                    "another set was summed at the same model -> a waiver must name the missing sites",
                    code="E_SET_CHANGE",
                )


def check_sets(earlier: Iterable[int], members: int, waived: frozenset[int], colluders: int) -> None:
    """Refuse a third set in a phase, or a second that differs in fewer than t + 2 sites (R4 b).

    Three sets, or two that differ in fewer sites, can isolate one honest site by linear combination.

    Parameters
    ----------
    earlier : bitmaps
        The sets in every member's history of this phase.
    members : bitmap
        The next set.
    waived : frozenset of int
        Sites whose absence and return a waiver allows: sets are compared without them.
    colluders : int
        t, the number of sites that may collude with the coordinator.

    Raises
    ------
    SecAggError
        E_SET_CHANGE if the set is not allowed.

    Examples
    --------
    >>> check_sets([0b11110], 0b11110, frozenset(), 0)
    >>> check_sets([0b11110], 0b01110, frozenset(), 0)
    Traceback (most recent call last):
    common.secagg.codes.SecAggError: the set changed -> wait for the site, or let a waiver name it
    """
    if not is_allowed(earlier, members, waived, colluders):
        raise SecAggError(
            "the set changed -> wait for the site, or let a waiver name it", code="E_SET_CHANGE"
        )


def is_allowed(earlier: Iterable[int], members: int, waived: frozenset[int], colluders: int) -> bool:
    """Whether `check_sets` lets the set pass."""
    known = {remove_sites(members_before, waived) for members_before in earlier}
    candidate = remove_sites(members, waived)
    if candidate in known:
        return True
    return len(known) < 2 and all((other ^ candidate).bit_count() >= colluders + 2 for other in known)


def choose_set(earlier: Iterable[int], ready: int, waived: frozenset[int], rules: tuple[int, int]) -> int:
    """The largest set of ready sites that `check_sets` lets pass.

    If one site is missing, further ones are left out with it, those with the highest numbers: two sums that
    differ in one site would reveal its vector.

    Parameters
    ----------
    earlier : bitmaps
        The sets in every site's history of this phase.
    ready : bitmap
        The sites that have joined.
    waived : frozenset of int
        Sites whose absence and return a waiver allows.
    rules : (int, int)
        The number of sites in the smallest set, m, and the number of colluders, t.

    Raises
    ------
    SecAggError
        E_MIN if fewer than m are ready; E_SET_CHANGE if no set of m of them is allowed.

    Examples
    --------
    >>> bin(choose_set([0b1111110], 0b1111010, frozenset(), (4, 0)))
    '0b111010'
    """
    minimum, colluders = rules
    if ready.bit_count() < minimum:
        raise SecAggError("fewer sites than the roster's minimum are ready", code="E_MIN")
    known = list(dict.fromkeys(earlier))
    back = ready & sum(1 << site for site in waived)
    candidates = [ready, *(remove_sites(other, waived) | back for other in known)]
    members = ready
    # Leaving out a site adds to the difference only if the site was in the earlier sum
    for site in reversed(sites_of(ready & remove_sites(known[0] if known else 0, waived))):
        members &= ~(1 << site)
        candidates.append(members)
    allowed = [
        members
        for members in candidates
        if members & ~ready == 0
        and members.bit_count() >= minimum
        and is_allowed(known, members, waived, colluders)
    ]
    if not allowed:
        raise SecAggError("no set is allowed without the missing sites", code="E_SET_CHANGE")
    return max(allowed, key=int.bit_count)


def sites_of(members: int) -> tuple[int, ...]:
    """The numbers of the sites in a set, in ascending order."""
    return tuple(site for site in range(members.bit_length()) if members >> site & 1)


def remove_sites(members: int, sites: Iterable[int]) -> int:
    """The set without these sites."""
    return members & ~sum(1 << site for site in frozenset(sites))
