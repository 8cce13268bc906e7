"""What has left the site, and what may therefore leave no more.

The history is the ledger's, in memory. Sets are bitmaps: bit i is site i.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from common.secagg.canonical import Json
from common.secagg.errors import SecAggError
from common.secagg.messages import Bitmap, Count, Digest, Header, Phase, SiteId, Status


class Begun(Header):
    """A round or session was accepted."""

    event: Literal["begun"] = "begun"
    phase: Phase
    round: Count
    hdr: Digest


class Release(Header):
    """The site gave what opens a sum: its seed, or its answer in a session."""

    event: Literal["release"] = "release"
    phase: Phase
    hdr: Digest
    step: Count
    """Of a session; 0 in a round."""
    vectors: tuple[str, ...]
    definitions: tuple[Digest, ...]
    model: Digest
    input: Digest
    set: Bitmap


class Ended(Header):
    """A round or session was closed; its result may be asked about later."""

    event: Literal["ended"] = "ended"
    phase: Phase
    hdr: Digest
    status: Status
    result: Digest


class Waived(Header):
    """The site's operator approved a waiver."""

    event: Literal["waived"] = "waived"
    waiver: Digest
    kind: Literal["absent", "snapshot", "restored"]
    phase: Phase
    absent: tuple[SiteId, ...]
    definition: Digest


class Burned(Header):
    """The site's operator wiped open rounds after a restore; a waiver is needed to go on."""

    event: Literal["burned"] = "burned"


LedgerEntry: TypeAlias = Annotated[Begun | Release | Ended | Waived | Burned, Field(discriminator="event")]

_ENTRIES: TypeAdapter[LedgerEntry] = TypeAdapter(LedgerEntry)


class History:
    """What the ledger says, ready to be asked."""

    def __init__(self) -> None:
        self._begun: dict[str, Begun] = {}
        self._releases: list[Release] = []
        self._by_hdr: dict[str, dict[int, Release]] = {}
        self._inputs: dict[tuple[str, str, str], Release] = {}
        self._models: dict[tuple[str, str], set[int]] = {}
        self._definitions: dict[str, Release] = {}
        self._sets: dict[str, list[int]] = {}
        self._ended: dict[str, Ended] = {}
        self._waivers: set[str] = set()
        self._absent: dict[str, frozenset[int]] = {}
        self.is_burned = False

    def notice(self, fields: dict[str, Json]) -> None:
        """Takes in one entry of the ledger."""
        entry = _ENTRIES.validate_python(fields, strict=False)
        match entry:
            case Begun():
                self._begun[entry.phase] = entry
            case Release():
                self._release(entry)
            case Ended():
                self._ended[entry.hdr] = entry
            case Waived():
                self._waive(entry)
            case Burned():
                self.is_burned = True

    def last(self, phase: str) -> Begun | None:
        """The round or session accepted last."""
        return self._begun.get(phase)

    def ended(self, hdr: str) -> Ended | None:
        """How a round or session ended, or None."""
        return self._ended.get(hdr)

    def release(self, hdr: str, step: int = 0) -> Release | None:
        """What was released in a round, or in an iteration."""
        return self._by_hdr.get(hdr, {}).get(step)

    def sets(self, phase: str) -> tuple[int, ...]:
        """In whose sums the site has been in this phase, in the order of their first time."""
        return tuple(self._sets.get(phase, ()))

    def absent(self, phase: str) -> frozenset[int]:
        """Sites whose absence from the phase is waived."""
        return self._absent.get(phase, frozenset())

    def count(self, phase: str) -> int:
        """Releases of this phase."""
        return sum(entry.phase == phase for entry in self._releases)

    def results(self) -> frozenset[str]:
        """Digests of what became of opened sums, such as the next global model."""
        return frozenset(entry.result for entry in self._ended.values())

    def has_waiver(self, digest: str) -> bool:
        """Whether this waiver was approved before."""
        return digest in self._waivers

    def input_release(self, phase: str, vector: str, digest: str) -> Release | None:
        """The release of a vector computed from this input, or None."""
        return self._inputs.get((phase, vector, digest))

    def model_sets(self, vector: str, model: str) -> frozenset[int]:
        """Over which sets a vector computed from this model was released."""
        return frozenset(self._models.get((vector, model), ()))

    def definition_release(self, definition: str) -> Release | None:
        """The release of this static statistic since its last waiver, or None."""
        return self._definitions.get(definition)

    def _release(self, entry: Release) -> None:
        self._releases.append(entry)
        self._by_hdr.setdefault(entry.hdr, {})[entry.step] = entry
        for vector in entry.vectors:
            self._inputs[entry.phase, vector, entry.input] = entry
            self._models.setdefault((vector, entry.model), set()).add(entry.set)
        for definition in entry.definitions:
            self._definitions[definition] = entry
        known = self._sets.setdefault(entry.phase, [])
        if entry.set not in known:
            known.append(entry.set)

    def _waive(self, entry: Waived) -> None:
        self._waivers.add(entry.waiver)
        if entry.kind == "absent":
            self._absent[entry.phase] = self.absent(entry.phase) | set(entry.absent)
        elif entry.kind == "snapshot":
            self._definitions.pop(entry.definition, None)
        else:
            self.is_burned = False


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
    resting = ready
    while resting.bit_count() > minimum:
        resting &= ~(1 << resting.bit_length() - 1)
        candidates.append(resting)
    for members in candidates:
        if (
            members & ~ready == 0
            and members.bit_count() >= minimum
            and is_allowed(known, members, waived, colluders)
        ):
            return members
    raise SecAggError("no set is allowed without the missing sites", code="E_SET_CHANGE")


def sites_of(members: int) -> tuple[int, ...]:
    """The set's numbers, in ascending order."""
    return tuple(site for site in range(members.bit_length()) if members >> site & 1)


def without(members: int, sites: Iterable[int]) -> int:
    """The set less these sites."""
    return members & ~sum(1 << site for site in frozenset(sites))
