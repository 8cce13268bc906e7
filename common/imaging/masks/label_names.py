"""What the named parts of a segmentation are: by the site's own names and codes, else by obvious ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from common.errors import ScanError
from common.imaging.masks.labels import ICH, IVH, NEITHER, MaskLabels

_BLOOD = r"(?:hemorrhages?|hematomas?|haematomas?|bleed|bleeding|blood|clot)"

_OBVIOUS = {
    IVH: rf"ivh|(?:intra ?)?ventricular {_BLOOD}|intraventricular extension|脑室内?出血|脑室内?血肿",
    ICH: rf"ich|iph|(?:intra ?cerebral|intra ?parenchymal|parenchymal|cerebral) {_BLOOD}"
    r"|脑出血|脑内出血|脑实质内?出血|脑内血肿",
    NEITHER: r"(?:peri ?hematomal |peri ?lesional )?edema|phe|background|脑?水肿",
}
"""Names that say by themselves what is meant; "hemorrhage" alone does not say whether it is ICH or IVH."""

_NEUTRAL = frozenset(
    [
        "left",
        "right",
        "l",
        "r",
        "segmentation",
        "segment",
        "seg",
        "mask",
        "label",
        "roi",
        "lesion",
        "volume",
        "manual",
        "final",
        "baseline",
        "followup",
        "follow",
        "up",
        "the",
        "of",
    ]
)
"""Words that change nothing about the meaning of a name beside them."""

_CODES = {"SCT:274100004": ICH, "SCT:79654002": NEITHER}
"""SNOMED CT: cerebral hemorrhage; edema. "Hemorrhage" (50960005) is not clear enough."""

_MOST_SHOWN = 12


@dataclass(frozen=True)
class NamedSegment:
    """One named part of a segmentation: a segment of DICOM or 3D Slicer, or a region of an RTSTRUCT.

    Attributes
    ----------
    number : int
        Its number in the file.
    names : tuple of str
        Its label and, where there is one, its description; any may be empty.
    codes : tuple of str
        What it is, as "scheme:value", e.g. "SCT:274100004".
    """

    number: int
    names: tuple[str, ...]
    codes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Number, names and codes, for messages."""
        names = [repr(name[:60]) for name in dict.fromkeys(self.names) if name] or ["without a name"]
        codes = f" ({', '.join(code[:60] for code in self.codes)})" if self.codes else ""
        return f"{self.number} {' '.join(names)}{codes}"


def interpret_segments(path: Path, segments: Sequence[NamedSegment], labels: MaskLabels) -> dict[int, int]:
    """ICH, IVH or NEITHER of each segment, by its number.

    Raises
    ------
    ScanError
        If a segment's meaning is unknown, or names and codes contradict each other; all segments are listed.
    """
    meanings = {segment.number: find_meanings(segment, labels) for segment in segments}
    unclear = [segment for segment in segments if len(meanings[segment.number]) != 1]
    if unclear:
        raise ScanError(_explain(path, segments, unclear, contradictory=bool(meanings[unclear[0].number])))
    return {number: meaning for number, (meaning,) in meanings.items()}


def find_meanings(segment: NamedSegment, labels: MaskLabels) -> set[int]:
    """What a segment can be; empty if nothing is known of it.

    A hemorrhage that the site names goes before what it ignores, so that it may ignore "*", and the site's
    names go before the obvious ones.
    """
    hemorrhages = {ICH: labels.ich_names, IVH: labels.ivh_names}
    named = {meaning for meaning, patterns in hemorrhages.items() if _matches(segment, patterns)}
    if named:
        return named
    if _matches(segment, labels.ignored_names):
        return {NEITHER}
    by_code = {_CODES[code] for code in segment.codes if code in _CODES}
    return by_code.union(*(_read_name(name) for name in segment.names))


def _matches(segment: NamedSegment, patterns: Iterable[str]) -> bool:
    """Whether a name or a code fits a pattern, as in a shell; capitals do not count."""
    values = [*segment.names, *segment.codes, *(code.rpartition(":")[2] for code in segment.codes)]
    folded = [value.strip().casefold() for value in values if value.strip()]
    return any(fnmatchcase(value, pattern.strip().casefold()) for pattern in patterns for value in folded)


def _read_name(name: str) -> set[int]:
    """What an obvious name says; empty if a word of it is not understood."""
    words = " ".join(
        re.findall(r"[^\W\d_]+", name.casefold().replace("haem", "hem").replace("oedem", "edem"))
    )
    found = set()
    for meaning, pattern in _OBVIOUS.items():
        words, count = re.subn(rf"(?<!\w)(?:{pattern})(?!\w)", " ", words)
        if count:
            found.add(meaning)
    return found if found and set(words.split()) <= _NEUTRAL else set()


def _explain(
    path: Path, segments: Sequence[NamedSegment], unclear: Sequence[NamedSegment], *, contradictory: bool
) -> str:
    what = (
        "can be more than one of ICH, IVH and neither" if contradictory else "is not known to be ICH or IVH"
    )
    shown = "; ".join(str(segment) for segment in segments[:_MOST_SHOWN])
    more = f"; and {len(segments) - _MOST_SHOWN} more" if len(segments) > _MOST_SHOWN else ""
    example = next((name for name in unclear[0].names if name), next(iter(unclear[0].codes), "*"))
    return (
        f"{path}: segment {unclear[0]} {what}; the file holds: {shown}{more} -> say in site.toml under "
        f"[mask] what it is: ich_names, ivh_names or ignored_names = [{example[:60]!r}] (names or codes; * "
        "stands for any text)"
    )
