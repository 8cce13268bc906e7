"""A folder through which every user of the computer passes, for tests with real users.

Not pytest's own: each session that starts closes the folder above all of those to other users, also under
another session's feet.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def make_passable_folder() -> Iterator[Path]:
    """An empty folder, removed at the end; others pass through it and list nothing."""
    with tempfile.TemporaryDirectory(prefix="rhe-test-") as name:
        folder = Path(name).resolve()
        folder.chmod(0o711)
        yield folder
