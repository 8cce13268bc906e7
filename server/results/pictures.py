"""Attention maps beside the results file: a file names each by its content's hash and holds no pixel."""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path

from common.errors import ResumeError
from common.runtime.storage import write_atomically
from server.results.training import Overlay

FOLDER = "pictures"
_DIGITS = 32
"""Hexadecimal digits of the hash in a file's name."""


def put_beside(overlays: tuple[Overlay, ...], folder: Path) -> tuple[Overlay, ...]:
    """The maps as the file lists them, each with its picture's name; the pictures are in the folder then.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written.
    """
    return tuple(_put(overlay, folder) for overlay in overlays)


def _put(overlay: Overlay, folder: Path) -> Overlay:
    if overlay.png_base64 is None:  # it lies there already
        return overlay
    content = base64.b64decode(overlay.png_base64)
    name = f"{FOLDER}/{_hash(content)}.png"
    if not (folder / name).is_file():
        write_atomically(folder / name, content)
    return overlay.model_copy(update={"picture": name, "png_base64": None})


def take_from_beside(overlays: tuple[Overlay, ...], folder: Path) -> tuple[Overlay, ...]:
    """The maps with their pictures; those of an earlier version's file hold them already.

    Raises
    ------
    ResumeError
        If a picture is missing, or is not the one that the file names.
    """
    return tuple(overlay if overlay.png_base64 else _take(overlay, folder) for overlay in overlays)


def _take(overlay: Overlay, folder: Path) -> Overlay:
    path = folder / (overlay.picture or "")
    try:
        content = path.read_bytes()
    except OSError as failure:
        raise ResumeError(
            f"{path}: cannot be read ({failure.strerror}) -> results.json needs the folder {FOLDER} beside it"
        ) from None
    if path.stem != _hash(content):
        raise ResumeError(
            f"{path}: is not the picture that the study wrote (its hash is {_hash(content)}) -> copy it again"
        )
    return overlay.model_copy(update={"picture": None, "png_base64": base64.b64encode(content).decode()})


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()[:_DIGITS]
