"""Imported by every Python process of a hospital that differs: its clock, or its version of rhe."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import time

_SHIFT_S = float(os.environ.get("RHE_CHAOS_CLOCK", "0"))
_VERSION = os.environ.get("RHE_CHAOS_VERSION", "")

if _SHIFT_S:
    _time = time.time

    def _tell_time() -> float:
        return _time() + _SHIFT_S

    class _Shifted(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> _Shifted:
            return cls.fromtimestamp(_tell_time(), tz)

    time.time = _tell_time
    dt.datetime = _Shifted  # type: ignore[misc]

if _VERSION:
    _version = importlib.metadata.version

    def _tell_version(distribution_name: str) -> str:
        return _VERSION if distribution_name == "rhe" else _version(distribution_name)

    importlib.metadata.version = _tell_version
