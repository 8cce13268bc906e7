"""The hardware of this machine, for provenance."""

from __future__ import annotations

import platform
from pathlib import Path


def name_processor() -> str:
    """The CPU's model name as Linux states it, otherwise its architecture."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
