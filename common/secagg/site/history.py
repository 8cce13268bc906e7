"""The history of a site's masked releases, entry by entry, and an index of it in memory."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from common.secagg.wire.canonical import Json
from common.secagg.wire.messages import (
    Bitmap,
    CanonicalDocument,
    CloseStatus,
    Digest,
    Natural,
    PhaseName,
    SiteId,
    family_of,
)


class Begun(CanonicalDocument):
    """A round or session was accepted."""

    event: Literal["begun"] = "begun"
    """The ledger's word for this entry."""
    phase: PhaseName
    """The phase that it belongs to."""
    round: Natural
    """Its number in the phase."""
    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""


class Release(CanonicalDocument):
    """The site sent what opens a sum: its seed in a round, its answer in a session."""

    event: Literal["release"] = "release"
    """The ledger's word for this entry."""
    phase: PhaseName
    """The phase that it belongs to."""
    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    step: Natural
    """Number of the session's iteration; 0 in a round."""
    vectors: tuple[str, ...]
    """Names of the vectors that were summed."""
    definitions: tuple[Digest, ...]
    """SHA-256 of the definition of each static statistic among them."""
    model: Digest
    """SHA-256 of the model; of the broadcast parameters in a session."""
    input: Digest
    """Digest of all that was computed from (`input_digest`); of the broadcast parameters in a session."""
    set: Bitmap
    """The sites of the sum."""


class Ended(CanonicalDocument):
    """A round or session was closed; its result may be evaluated later."""

    event: Literal["ended"] = "ended"
    """The ledger's word for this entry."""
    phase: PhaseName
    """The phase that it belongs to."""
    hdr: Digest
    """SHA-256 of M1's header: names the round or session."""
    status: CloseStatus
    """How it ended."""
    result: Digest
    """SHA-256 of what was made of the sum, as the coordinator said; `NO_DIGEST` if nothing was."""
    proved: bool = False
    """Whether the site derived the same result from sums that their tags proved."""
    weight: Natural = 0
    """Total weight of the sites that this took; 0 if it took none."""


class Waived(CanonicalDocument):
    """The site's operator approved a waiver of the authority."""

    event: Literal["waived"] = "waived"
    """The ledger's word for this entry."""
    waiver: Digest
    """SHA-256 of the waiver."""
    kind: Literal["absent", "snapshot", "restored"]
    """What it allows; see `Waiver`."""
    phase: PhaseName
    """In which sites may be absent; "any" in other waivers."""
    absent: tuple[SiteId, ...]
    """Numbers of the sites that may be absent."""
    definition: Digest
    """SHA-256 of the static statistic that may be released again; `NO_DIGEST` in other waivers."""


class Burned(CanonicalDocument):
    """The site's operator wiped all open rounds after a restore; a waiver is needed to go on."""

    event: Literal["burned"] = "burned"
    """The ledger's word for this entry."""


class Disproved(CanonicalDocument):
    """The coordinator signed a sum that is not what the sites signed; a waiver is needed to go on."""

    event: Literal["disproved"] = "disproved"
    """The ledger's word for this entry."""
    evidence: Digest
    """SHA-256 of the message, which is kept beside the ledger."""


LedgerEntry: TypeAlias = Annotated[
    Begun | Release | Ended | Waived | Burned | Disproved, Field(discriminator="event")
]

_ENTRIES: TypeAdapter[LedgerEntry] = TypeAdapter(LedgerEntry)


class History:
    """The ledger's entries, indexed by what the release rules ask.

    Attributes
    ----------
    is_burned : bool
        Whether the site was burned after a restore and no waiver has let it go on since.
    is_disproved : bool
        Whether a sum was found false and no waiver has let the site go on since.
    """

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
        self.is_disproved = False

    def notice(self, fields: dict[str, Json]) -> None:
        """Add one entry of the ledger to the index."""
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
            case Disproved():
                self.is_disproved = True

    def find_begun(self, phase: str) -> Begun | None:
        """The round or session of the phase that was accepted last, or None."""
        return self._begun.get(phase)

    def find_end(self, hdr: str) -> Ended | None:
        """The end of a round or session, or None if it is open or unknown."""
        return self._ended.get(hdr)

    def find_release(self, hdr: str, step: int = 0) -> Release | None:
        """What was released in a round, or in a session's iteration, or None."""
        return self._by_hdr.get(hdr, {}).get(step)

    def list_sets(self, phase: str) -> tuple[int, ...]:
        """The sets, as bitmaps, over which this phase's sums were opened, in order of first opening."""
        return tuple(self._sets.get(family_of(phase), ()))

    def list_absent(self, phase: str) -> frozenset[int]:
        """Numbers of the sites whose absence from the phase is waived."""
        return self._absent.get(phase, frozenset())

    def count_releases(self, phase: str) -> int:
        """The number of releases in this phase."""
        return sum(entry.phase == phase for entry in self._releases)

    def list_results(self, phase: str) -> frozenset[str]:
        """SHA-256 of what the site itself derived from this phase's proved sums, such as global models."""
        return frozenset(entry.result for entry in self._list_proved(phase))

    def find_result(self, phase: str) -> str | None:
        """SHA-256 of what the site derived from this phase's last proved sum; None before the first."""
        proved = self._list_proved(phase)
        return proved[-1].result if proved else None

    def find_weight(self, phase: str) -> int | None:
        """The total weight by which the phase's first proved sum was divided; None before it."""
        proved = self._list_proved(phase)
        return proved[0].weight if proved else None

    def is_settled(self, phase: str) -> bool:
        """Whether the sum that this phase's rounds released last was proved; true before the first."""
        released = (entry for entry in reversed(self._releases) if entry.phase == phase)
        last = next(released, None)
        end = None if last is None else self._ended.get(last.hdr)
        return last is None or (end is not None and end.proved)

    def _list_proved(self, phase: str) -> list[Ended]:
        """The ends of this phase's rounds whose results the site derived, in order."""
        return [entry for entry in self._ended.values() if entry.phase == phase and entry.proved]

    def has_waiver(self, digest: str) -> bool:
        """Whether this waiver was approved before."""
        return digest in self._waivers

    def find_input_release(self, phase: str, vector: str, digest: str) -> Release | None:
        """The release of a vector computed from this input in the phase's family, or None."""
        return self._inputs.get((family_of(phase), vector, digest))

    def list_model_sets(self, vector: str, model: str) -> frozenset[int]:
        """The sets, as bitmaps, over which a vector computed from this model was released."""
        return frozenset(self._models.get((vector, model), ()))

    def find_definition_release(self, definition: str) -> Release | None:
        """The release of this static statistic since its last waiver, or None."""
        return self._definitions.get(definition)

    def _release(self, entry: Release) -> None:
        self._releases.append(entry)
        self._by_hdr.setdefault(entry.hdr, {})[entry.step] = entry
        for vector in entry.vectors:
            self._inputs[family_of(entry.phase), vector, entry.input] = entry
            self._models.setdefault((vector, entry.model), set()).add(entry.set)
        for definition in entry.definitions:
            self._definitions[definition] = entry
        known = self._sets.setdefault(family_of(entry.phase), [])
        if entry.set not in known:
            known.append(entry.set)

    def _waive(self, entry: Waived) -> None:
        self._waivers.add(entry.waiver)
        if entry.kind == "absent":
            self._absent[entry.phase] = self.list_absent(entry.phase) | set(entry.absent)
        elif entry.kind == "snapshot":
            self._definitions.pop(entry.definition, None)
        else:
            self.is_burned = self.is_disproved = False
