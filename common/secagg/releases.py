"""What has left a site, and what may therefore leave no more.

Sets are bitmaps: bit i is site i.
"""

from __future__ import annotations

from collections.abc import Iterable

from common.secagg.errors import SecAggError
from common.secagg.history import History


def check_inputs(history: History, phase: str, vectors: Iterable[str], digest: str) -> None:
    """R1: one release per phase, vector and input.

    Raises
    ------
    SecAggError
        E_ALREADY_RELEASED.
    """
    if any(history.input_release(phase, vector, digest) for vector in vectors):
        raise SecAggError("a vector computed from this input was released", code="E_ALREADY_RELEASED")


def check_definitions(history: History, definitions: Iterable[str]) -> None:
    """R1: one release per study of a static statistic, whatever phase, round or query asks for it.

    Raises
    ------
    SecAggError
        E_ALREADY_RELEASED.
    """
    if any(history.definition_release(definition) for definition in definitions):
        raise SecAggError("a static statistic was released in this study", code="E_ALREADY_RELEASED")


def check_model(history: History, phase: str, vectors: Iterable[str], model: str, members: int) -> None:
    """R4 (a): what was released from one model is released again over the same set only.

    Raises
    ------
    SecAggError
        E_SET_CHANGE.
    """
    waived = history.absent(phase)
    for vector in vectors:
        for earlier in history.model_sets(vector, model):
            if without(earlier, waived) != without(members, waived):
                raise SecAggError(
                    "another set was summed at the same model -> a waiver must name the missing sites",
                    code="E_SET_CHANGE",
                )


def check_sets(earlier: Iterable[int], members: int, waived: frozenset[int], colluders: int) -> None:
    """R4 (b): a phase has at most two sets, which differ in at least t + 2 sites.

    Three sets, or two that differ in fewer, can isolate one honest site by linear combination.

    Parameters
    ----------
    earlier : bitmaps
        Of every member's history in this phase.
    members : bitmap
        The set that would be next.
    waived : frozenset of int
        Sites whose coming and going a waiver allows: sets are compared without them.
    colluders : int
        t.

    Raises
    ------
    SecAggError
        E_SET_CHANGE.

    Examples
    --------
    >>> check_sets([0b11110], 0b11110, frozenset(), 0)
    >>> check_sets([0b11110], 0b01110, frozenset(), 0)
    Traceback (most recent call last):
    common.secagg.errors.SecAggError: the set changed -> wait for the site, or let a waiver name it
    """
    if not is_allowed(earlier, members, waived, colluders):
        raise SecAggError(
            "the set changed -> wait for the site, or let a waiver name it", code="E_SET_CHANGE"
        )


def is_allowed(earlier: Iterable[int], members: int, waived: frozenset[int], colluders: int) -> bool:
    """Whether `check_sets` would let the set pass."""
    known = {without(one, waived) for one in earlier}
    candidate = without(members, waived)
    if candidate in known:
        return True
    return len(known) < 2 and all((one ^ candidate).bit_count() >= colluders + 2 for one in known)


def choose_set(earlier: Iterable[int], ready: int, waived: frozenset[int], rules: tuple[int, int]) -> int:
    """The largest set of the sites that are ready which `check_sets` lets pass.

    Where one site is missing, further ones rest with it, those of the highest numbers: a sum less one site
    would isolate it.

    Parameters
    ----------
    earlier : bitmaps
    ready : bitmap
    waived : frozenset of int
    rules : (int, int)
        The smallest set m, and t.

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
    candidates = [ready, *(without(one, waived) | back for one in known)]
    members = ready
    # Only a site that was in the earlier sum adds to the difference when it rests
    for site in reversed(sites_of(ready & without(known[0] if known else 0, waived))):
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
    """The set's numbers, in ascending order."""
    return tuple(site for site in range(members.bit_length()) if members >> site & 1)


def without(members: int, sites: Iterable[int]) -> int:
    """The set less these sites."""
    return members & ~sum(1 << site for site in frozenset(sites))
