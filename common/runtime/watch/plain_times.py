"""Times, durations and sizes as a person reads them at a glance."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_UNITS = ("kB", "MB", "GB", "TB")


def write_moment(seconds: float | None = None) -> str:
    """A moment as a file holds it: UTC, ISO 8601, to the second.

    Parameters
    ----------
    seconds : float, optional
        Since 1970; by default now.
    """
    return datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC).isoformat(
        timespec="seconds"
    )


def read_moment(moment: str) -> float | None:
    """Seconds since 1970 of a moment in a file; None if it holds none."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None


def tell_clock(moment: str, now: float | None = None) -> str:
    """A moment on the clock of this place: ``14:03``, with the date if it is another day's.

    Parameters
    ----------
    moment : str
        As in a file.
    now : float, optional
        Seconds since 1970; by default the present.
    """
    seconds = read_moment(moment)
    if seconds is None:
        return "an unknown time"
    at = datetime.fromtimestamp(seconds).astimezone()
    today = datetime.fromtimestamp(time.time() if now is None else now).astimezone()
    return f"{at:%H:%M}" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M}"


def tell_length(seconds: float) -> str:
    """How long something takes, in at most two units.

    Examples
    --------
    >>> tell_length(0.4), tell_length(59.7), tell_length(200), tell_length(7500), tell_length(300_000)
    ('0.4 s', '60 s', '3 min 20 s', '2 h 5 min', '3 d 11 h')
    """
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole <= _MINUTE:
        return f"{whole} s"
    if whole < 10 * _MINUTE:
        return _join(whole // _MINUTE, "min", whole % _MINUTE, "s")
    whole = round(seconds / _MINUTE) * _MINUTE
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < 2 * _DAY:
        return _join(whole // _HOUR, "h", whole % _HOUR // _MINUTE, "min")
    return _join(whole // _DAY, "d", whole % _DAY // _HOUR, "h")


def _join(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit}" + (f" {small} {small_unit}" if small else "")


def tell_size(size_bytes: float) -> str:
    """A number of bytes in decimal units.

    Examples
    --------
    >>> tell_size(900), tell_size(12_345), tell_size(3_400_000_000)
    ('900 B', '12.3 kB', '3.4 GB')
    """
    size, unit = float(size_bytes), "B"
    for larger in _UNITS:
        if size < 999.95:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
