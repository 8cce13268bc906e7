"""Which of several CT series in a folder is read, by the site's rule; whatever stays open is refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from common.errors import Finding, Level, ScanError
from common.imaging.dicom.series_traits import SeriesTraits
from common.imaging.options import SeriesRule

NO_RULE = SeriesRule()
"""Several series are refused."""

EACH_ALONE = (
    "the anonymiser gave each slice a series of its own -> export again with a SeriesInstanceUID that all "
    "slices of a series share"
)
"""Why there are many series of one slice, and what to do."""
_ONE_EXAMINATION = timedelta(hours=3)
"""Series that lie further apart are of two examinations: an early follow-up comes after 6 hours."""
_SAME_THICKNESS_MM = 0.01
_SHOWN = 6
_REMEDY = (
    "list them with `rhe-client series`, then let the table's cell name one file of the right series, or set "
    "a rule in the part [series] of site.toml"
)


def pick_series(path: Path, found: Sequence[SeriesTraits], rule: SeriesRule) -> tuple[int, Finding]:
    """The index of the series that the rule picks out of several, and the note that says so.

    Parameters
    ----------
    path : Path
        The folder, for messages.
    found : sequence of SeriesTraits
        At least two.
    rule : SeriesRule
        The site's.

    Raises
    ------
    ScanError
        If there is no rule, the series are of two people or two examinations, or none or several fit.
    """
    if all(traits.slices == 1 for traits in found):
        raise ScanError(f"{path}: holds {len(found)} CT series of one slice each: {EACH_ALONE}")
    if rule == NO_RULE:
        raise ScanError(f"{path}: holds {len(found)} CT series: {_list_series(found)} -> {_REMEDY}")
    _refuse_mixture(path, found)
    fitting = [index for index, traits in enumerate(found) if not list_misfits(traits, rule)]
    if not fitting:
        misfits = "; ".join(f"{traits}: {', '.join(list_misfits(traits, rule))}" for traits in found[:_SHOWN])
        raise ScanError(
            f"{path}: none of {len(found)} CT series fits the rule of site.toml: {misfits} -> {_REMEDY}"
        )
    if rule.thinnest_soft_tissue:
        fitting = _keep_thinnest(found, fitting)
    if len(fitting) > 1:
        tied = _list_series([found[index] for index in fitting])
        raise ScanError(
            f"{path}: {len(fitting)} CT series fit the rule of site.toml equally: {tied} -> let the table's "
            "cell name one file of the right series, or narrow the rule by description or kernel"
        )
    what = f"read {found[fitting[0]]}, picked out of {len(found)} CT series by {_describe_rule(rule)}"
    return fitting[0], Finding(str(path), what, "nothing to do", Level.KNOW)


def list_misfits(traits: SeriesTraits, rule: SeriesRule) -> tuple[str, ...]:
    """Why a series does not fit a rule; empty if it does."""
    misfits = list(traits.objections) if rule.thinnest_soft_tissue else []
    if rule.description and not _matches(traits.description, rule.description):
        misfits.append(f"description is not {rule.description!r}")
    if rule.kernel and not _matches(traits.kernel, rule.kernel):
        misfits.append(f"kernel is not {rule.kernel!r}")
    return tuple(misfits)


def _matches(text: str, pattern: str) -> bool:
    return fnmatchcase(text.casefold(), pattern.casefold())


def _refuse_mixture(path: Path, found: Sequence[SeriesTraits]) -> None:
    """Refuse series among which a rule could take the follow-up for the baseline, or one patient for another.

    Raises
    ------
    ScanError
        If they are of several patients or examinations.
    """
    if len({traits.patient for traits in found if traits.patient}) > 1:
        raise ScanError(
            f"{path}: holds CTs of several patients -> let the table point to one patient's folder"
        )
    moments = [traits.taken for traits in found if traits.taken is not None]
    apart = max(moments) - min(moments) if moments else timedelta()
    unsure = len(moments) < len(found) and len({traits.study for traits in found}) > 1
    if apart > _ONE_EXAMINATION or unsure:
        described = "; ".join(
            f"{traits}, {traits.taken:%Y-%m-%d %H:%M}" if traits.taken else f"{traits}, no time"
            for traits in sorted(found, key=lambda traits: (traits.taken is None, str(traits.taken)))[:_SHOWN]
        )
        raise ScanError(
            f"{path}: holds CTs of several examinations, and no rule guesses which is the baseline and which "
            f"the follow-up: {described} -> let the table point to one examination's folder, or to one file"
        )


def _keep_thinnest(found: Sequence[SeriesTraits], fitting: Sequence[int]) -> list[int]:
    """The series of the smallest thickness; one whose thickness is unknown is never thin."""
    known = {index: found[index].thickness_mm for index in fitting}
    thinnest = min((value for value in known.values() if value is not None), default=None)
    if thinnest is None:
        return list(fitting)
    return [
        index
        for index, value in known.items()
        if value is not None and value <= thinnest + _SAME_THICKNESS_MM
    ]


def _list_series(found: Sequence[SeriesTraits]) -> str:
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(map(str, found[:_SHOWN])) + more


def _describe_rule(rule: SeriesRule) -> str:
    parts = [f"description = {rule.description!r}"] if rule.description else []
    parts += [f"kernel = {rule.kernel!r}"] if rule.kernel else []
    parts += ["thinnest_soft_tissue"] if rule.thinnest_soft_tissue else []
    return f"the rule of site.toml ({', '.join(parts)})"
