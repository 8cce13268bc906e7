"""Short paths for sockets: found by both ends, and never in a folder that somebody else has made."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from common.errors import StorageError
from common.runtime.sockets import shorten_socket_path


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path too long for a socket, with short ones in a folder of the test."""
    short = tmp_path / "t"
    short.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(short))
    folder = tmp_path / ("x" * 60) / ("y" * 60)
    folder.mkdir(parents=True)
    return folder / "control.sock"


def test_a_short_path_stays(tmp_path):
    assert shorten_socket_path(Path("/run/rhe/a.sock")) == Path("/run/rhe/a.sock")


def test_a_long_path_has_one_short_one(deep, tmp_path):
    short = shorten_socket_path(deep)
    assert short == shorten_socket_path(deep)
    assert short.parent.parent == tmp_path / "t"
    assert short.name == "control.sock"


@pytest.mark.parametrize("plant", [lambda path: path.symlink_to("/"), lambda path: path.write_text("")])
def test_what_somebody_planted_there_is_refused(deep, plant):
    plant(shorten_socket_path(deep).parent)
    with pytest.raises(StorageError, match="another user"):
        shorten_socket_path(deep)


def test_a_folder_of_another_user_is_refused(deep, monkeypatch):
    shorten_socket_path(deep).parent.mkdir()
    monkeypatch.setattr("common.runtime.sockets._owner_above", lambda _: 4242)
    with pytest.raises(StorageError, match="another user"):
        shorten_socket_path(deep)
