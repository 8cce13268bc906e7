"""Which versions of software may differ between coordinator and sites, and which may not.

What two parties must derive alike needs versions that derive alike: a message's meaning, the numbers of a
random stream, a network's layout and first weights. Otherwise sums would be added that do not belong
together, and no number would show it. What each party computes on its own patients may differ in its last
bits, as it does between processors; then the results say which versions there were.

References
----------
NumPy Enhancement Proposal 19: random streams may change with a feature release, never with a bug fix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

COORDINATOR = "the coordinator"


def _take_all(version: str) -> str:
    return version


def _take_public(version: str) -> str:
    """The version without its build, e.g. 2.13.0 of 2.13.0+cu126."""
    return version.partition("+")[0]


def _take_feature(version: str) -> str:
    """The feature release, e.g. 2.4 of 2.4.6."""
    return ".".join(_take_public(version).split(".")[:2])


def _take_nothing(_: str) -> str:
    return ""


@dataclass(frozen=True)
class VersionRule:
    """What must agree of one package's version, and what a difference means.

    Attributes
    ----------
    agree : callable
        The part of a version that must be the coordinator's.
    must : str
        Why this part must agree; empty if nothing must.
    may : str
        What a difference that is allowed changes.
    """

    agree: Callable[[str], str]
    must: str
    may: str


RULES: Mapping[str, VersionRule] = {
    "rhe": VersionRule(_take_all, "it decides what is asked, what is answered and how sums are made", ""),
    "torch": VersionRule(
        _take_public,
        "a network's first weights and its training's random numbers are torch's",
        "last bits of training and scores may differ, as between processors",
    ),
    "numpy": VersionRule(
        _take_feature,
        "its random streams, which all sites must draw alike, change with a feature release",
        "last bits of a site's sums may differ",
    ),
    "monai": VersionRule(
        _take_feature,
        "it builds the networks, whose layout and first weights must be the same everywhere",
        "last bits of training and scores may differ",
    ),
    "scipy": VersionRule(_take_nothing, "", "last bits of a site's sums may differ"),
    "SimpleITK": VersionRule(_take_nothing, "", "last bits of resampled images may differ"),
    "flwr": VersionRule(_take_nothing, "", "it carries messages, no number depends on it"),
    "python": VersionRule(_take_nothing, "", "no number depends on it"),
}
"""By package, in the order in which differences are told."""


def find_conflicts(own: Mapping[str, str], stated: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Every version with which a site cannot take part, with the coordinator's and what to do.

    Parameters
    ----------
    own : mapping of str to str
        The coordinator's versions by package.
    stated : mapping of str to mapping of str to str
        By site, its versions by package.
    """
    for package, rule in RULES.items():
        for site, versions in sorted(stated.items()):
            if not rule.must:
                continue
            ours, theirs = own[package], versions.get(package)
            if theirs is None:
                yield f"{site} does not state its version of {package}, {COORDINATOR} has {ours}: {rule.must}"
            elif rule.agree(theirs) != rule.agree(ours):
                yield f"{site} has {package} {theirs}, {COORDINATOR} has {ours}: {rule.must}"


def list_differences(own: Mapping[str, str], stated: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Every package whose version is not the same everywhere, with who has which and what that changes.

    Parameters are those of `find_conflicts`.
    """
    everybody = {COORDINATOR: own, **dict(sorted(stated.items()))}
    lines = []
    for package, rule in RULES.items():
        places: dict[str, list[str]] = {}
        for name, versions in everybody.items():
            if package in versions:
                places.setdefault(versions[package], []).append(name)
        if len(places) > 1:
            found = "; ".join(f"{version} at {', '.join(names)}" for version, names in places.items())
            lines.append(f"{package}: {found}. {(rule.may or rule.must).capitalize()}.")
    return tuple(lines)
