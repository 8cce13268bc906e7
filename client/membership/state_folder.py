"""Where a site keeps its state, for commands that answer at once and load nothing else."""

from __future__ import annotations

from typing import Final

STATE: Final = ".rhe"
"""In the site's folder, unless it says otherwise."""
