"""How long an engine may show no progress, as each message tells the site's link beside its bytes.

It stands in the name of the message's group, which Flower carries and nothing else reads. A link believes it
without a signature: whoever may ask can also end the run.
"""

from __future__ import annotations

import re

_SAID = re.compile(r"stall-([1-9][0-9]{0,8})", re.ASCII)


def write_stall_limit(seconds: float) -> str:
    """The name of a message's group that says the limit, in whole seconds."""
    return f"stall-{max(1, round(seconds))}"


def read_stall_limit(group: str) -> float | None:
    """The limit in seconds that a message's group says; None if it says none."""
    said = _SAID.fullmatch(group)
    return float(said[1]) if said else None
