"""The rooms that work passes: ``python -m tests.house.tour`` lists the files in which a piece of work runs.

Three pieces: a site reads and measures one CT; coordinator and sites train a round under masks; they evaluate
all scores under masks. What only runs while a module is imported does not count.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[2]
ROOMS = tuple(str(ROOT / room) + "/" for room in ("server", "client", "common", "simulations"))
PIECES = {
    "one CT": ("client/cohort/scans.py", "_measure"),
    "one hidden round": ("server/training/federated.py", "_train_round"),
    "one hidden evaluation": ("server/phases/evaluation.py", "evaluate_models"),
}
"""Where each piece of work begins and ends: file and function."""


class Tour:
    """The files of the project in which code runs between the beginning and the end of a function."""

    def __init__(self, file: str, function: str) -> None:
        self.entrance = (str(ROOT / file), function)
        self.files: dict[str, None] = {}
        self._open, self._over = 0, False

    @contextmanager
    def follow(self) -> Iterator[Tour]:
        """Follow the first call of the function, in whatever thread it runs."""
        threading.setprofile(self._see)
        sys.setprofile(self._see)
        try:
            yield self
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        if event not in {"call", "return"}:
            return
        code = frame.f_code
        if (code.co_filename, code.co_name) == self.entrance and not self._over:
            self._open += 1 if event == "call" else -1
            self._over = self._open == 0
        inside = self._open or code.co_filename == self.entrance[0]
        if inside and not self._over and code.co_name != "<module>" and code.co_filename.startswith(ROOMS):
            self.files.setdefault(code.co_filename.removeprefix(f"{ROOT}/"))


def walk(folder: Path) -> Mapping[str, list[str]]:
    """The files that each piece of work passes, in the order of the first call."""
    from rich.progress import Progress
    from sites.handmade import make_site
    from sites.wires import NETWORK, Wire

    from client.cohort.prepare import prepare_site
    from common.plan.study import StudyPlan

    plan = StudyPlan.model_validate(NETWORK | {"phases": ["training", "evaluation"]})
    sites = {name: make_site(folder / name, name, 12, seed=n) for n, name in enumerate(plan.site_names)}
    tours = {piece: Tour(*entrance) for piece, entrance in PIECES.items()}
    with tours["one CT"].follow():
        prepare_site(sites["a"], plan, folder / "cache", Progress(disable=True))
    for piece in ("one hidden round", "one hidden evaluation"):
        with tours[piece].follow():
            Wire(plan, sites, folder / piece).study()
    return {piece: list(tour.files) for piece, tour in tours.items()}


def main() -> None:
    """Print each piece of work with the files that it passes."""
    sys.path.insert(0, str(ROOT / "tests"))
    with tempfile.TemporaryDirectory() as folder:
        for piece, files in walk(Path(folder)).items():
            print(f"\n{piece}: {len(files)} files")
            print("\n".join(f"  {file}" for file in files))


if __name__ == "__main__":
    main()
