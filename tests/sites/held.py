"""An object for a process of its own: it counts, tells, fails and waits."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import Progress

from common.errors import CohortError, Finding


@dataclass
class Held:
    """What a `SideProcess` holds."""

    progress: Progress
    calls: list[str] = field(default_factory=list)

    def note(self, word: str) -> tuple[str, ...]:
        """All words so far."""
        self.calls.append(word)
        return tuple(self.calls)

    def tell(self) -> None:
        """Log, and show some work."""
        logging.getLogger("rhe.held").warning("site=%s works", "a")
        task = self.progress.add_task("a: patients", total=3)
        self.progress.advance(task)
        self.progress.update(task, completed=3)
        self.progress.remove_task(task)
        self.progress.add_task("b: epochs", total=2)

    def refuse(self) -> None:
        """Refuse two findings."""
        raise CohortError((Finding("row 3", "no age", "fill it in"), Finding("row 4", "no mask")))

    def write_half(self, folder: Path) -> None:
        """Begin a file, which is removed where the process is ended in good order."""
        try:
            (folder / "half").touch()
            time.sleep(600)
        finally:
            (folder / "half").unlink()
