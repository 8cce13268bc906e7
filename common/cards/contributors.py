"""Who trained a model in words: the same in its card, in the results and on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PARTIAL = "PARTIAL"
"""The mark of a model that not all sites of its arm trained in every round that made it."""


def describe_trainers(rounds: Mapping[str, int], chosen: int) -> str:
    """Who trained a model, e.g. "trained by center1 and center2; center3 joined no round".

    Parameters
    ----------
    rounds : mapping of str to int
        By site of the arm, in how many rounds up to the chosen one its patients trained.
    chosen : int
        Number of the round whose weights were kept.

    Examples
    --------
    >>> describe_trainers({"a": 8, "b": 8, "c": 3}, 8)
    'trained by a, b and c; c joined 3 of the 8 rounds'
    """
    trained = [site for site, number in rounds.items() if number]
    parts = [f"trained by {_join_names(trained)}"] if trained else []
    return "; ".join([*parts, *filter(None, [describe_absence(rounds, chosen)])])


def describe_absence(rounds: Mapping[str, int], chosen: int) -> str:
    """Which sites missed rounds that made the model, e.g. "c joined no round"; empty if none did.

    Parameters are those of `describe_trainers`.
    """
    absent = [site for site, number in rounds.items() if not number]
    parts = [f"{_join_names(absent)} joined no round"] if absent else []
    parts += [
        f"{site} joined {number} of the {chosen} rounds"
        for site, number in rounds.items()
        if 0 < number < chosen
    ]
    return "; ".join(parts)


def is_partial(rounds: Mapping[str, int], chosen: int) -> bool:
    """Whether a site of the arm missed one of the rounds that made the model."""
    return any(number < chosen for number in rounds.values())


def _join_names(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
