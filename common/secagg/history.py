"""What a site's ledger says has left it, in memory and ready to be asked."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from common.secagg.canonical import Json
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


class Trusted(Header):
    """A model was taken for a training's, although the site missed what its rounds gave."""

    event: Literal["trusted"] = "trusted"
    phase: Phase
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


LedgerEntry: TypeAlias = Annotated[
    Begun | Release | Ended | Trusted | Waived | Burned, Field(discriminator="event")
]

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
        self._trusted: dict[str, set[str]] = {}
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
            case Trusted():
                self._trusted.setdefault(entry.phase, set()).add(entry.result)
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
        return frozenset(entry.result for entry in self._ended.values() if entry.status == "opened")

    def trusted(self, phase: str) -> frozenset[str]:
        """Digests of what was taken for the phase's result although the site missed it."""
        return frozenset(self._trusted.get(phase, ()))

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
