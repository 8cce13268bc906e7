"""Processes that die before or after any one thing they do to the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from common.runtime import chained_file, storage
from common.secagg.site import files, kept_models


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def killed() -> None:
    raise Killed


@contextmanager
def counted(at: int, die: Callable[[], None] = killed) -> Iterator[list[str]]:
    """Within it, `die` is called at the at-th point; the points that were passed are in the list."""
    passed: list[str] = []

    def point(name: str) -> None:
        passed.append(name)
        if len(passed) == at + 1:
            die()

    def around(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            point(f"before {name}")
            result = function(*arguments, **options)
            point(f"after {name}")
            return result

        return wrapped

    def torn(handle: int, line: bytes) -> int:
        """The line in two halves, as a power cut may leave it."""
        point("before append")
        os.write(handle, line[: len(line) // 2])
        point("torn append")
        os.write(handle, line[len(line) // 2 :])
        point("after append")
        return len(line)

    with (
        mock.patch.object(files, "write_atomically", around("write", storage.write_atomically)),
        mock.patch.object(kept_models, "write_atomically", around("write", storage.write_atomically)),
        mock.patch.object(Path, "replace", around("rename", Path.replace)),
        mock.patch.object(Path, "unlink", around("unlink", Path.unlink)),
        mock.patch.object(Path, "rmdir", around("rmdir", Path.rmdir)),
        mock.patch.object(chained_file, "os", Torn(torn)),
    ):
        yield passed


class Torn:
    """The module os, but for its write."""

    def __init__(self, write: Callable[[int, bytes], int]) -> None:
        self.write = write

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)
