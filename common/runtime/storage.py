"""Files that exist either completely or not at all, and folders that one process uses at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.errors import StorageError


def write_atomically(
    path: Path, content: bytes, *, private: bool | None = None, is_public: bool = False
) -> None:
    """Write a file so that a crash leaves either the old or the new content, never a part.

    Parameters
    ----------
    path : Path
        Its folder is created if it does not exist; below a folder that others may not read, nor is it theirs.
    content : bytes
        The complete new content.
    private : bool, optional
        Whether only the file's owner may read it (keys); by default if others may not read its folder either.
    is_public : bool
        Whether everybody may read it whatever the umask (what another service collects).

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written; nothing is left behind.
    """
    write_pieces_atomically(path, [content], private=private, is_public=is_public)


def write_pieces_atomically(
    path: Path,
    pieces: Iterable[bytes | bytearray | memoryview],
    *,
    private: bool | None = None,
    is_public: bool = False,
    is_last: bool = True,
) -> None:
    """Write pieces that follow each other, as `write_atomically`, without a copy of all of them in memory.

    Parameters
    ----------
    path : Path
        As of `write_atomically`.
    pieces : iterable of bytes
        If it raises, nothing is left behind.
    private, is_public : bool
        As of `write_atomically`.
    is_last : bool
        Whether the file's name, too, is on the disk when this returns. Who writes several files into one
        folder needs it of the last one only, or calls `sync_folder`.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _make_folder(path.parent)
        mode = 0o600 if private or (private is None and _is_closed(path.parent)) else 0o666
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "wb") as file:
            if is_public:
                os.fchmod(handle, 0o644)
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        if is_last:
            sync_folder(path.parent)
    except OSError as failure:
        raise StorageError(f"{path}: cannot be written ({_reason(failure)})") from None
    finally:
        # Also after Ctrl-C; it is gone already where the file is complete.
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def lock_folder(
    folder: Path, taken: str = "another process is working here -> wait for it or choose another folder"
) -> Iterator[None]:
    """A context that only one process at a time can enter for this folder.

    Parameters
    ----------
    folder : Path
    taken : str
        What is said where another process holds it, and what to do.

    Raises
    ------
    StorageError
        If another process holds it, or the folder cannot be written.
    """
    lock = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as failure:
        raise StorageError(f"{folder}: cannot be written ({_reason(failure)})") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"{folder}: {taken}") from None
        yield
    finally:
        os.close(handle)


def make_private_folder(path: Path) -> Path:
    """Create a folder that only its owner may enter, or restrict an existing one, and return it.

    Raises
    ------
    StorageError
        If it cannot be created.
    """
    try:
        _make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)
    except OSError as failure:
        raise StorageError(f"{path}: cannot be made a private folder ({_reason(failure)})") from None
    return path


def is_taken(folder: Path) -> bool:
    """Whether a process holds `lock_folder` for this folder now."""
    try:
        handle = os.open(folder / ".lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _make_folder(folder: Path) -> None:
    """Create a folder and those above it; whatever the umask, below a closed one they are closed, too."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700 if _is_closed(folder.parent) else 0o777, exist_ok=True)


def _is_closed(folder: Path) -> bool:
    """Whether only its owner may read the folder."""
    return not folder.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)


def sync_folder(folder: Path) -> None:
    """See to it that the names of the folder's files are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(failure: OSError) -> str:
    if failure.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "the disk is full -> free some space and run again, a study with --resume"
    return (
        f"{failure.strerror or type(failure).__name__} -> correct its permissions, or choose another folder"
    )
