"""What several tests of whole studies need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from studies.page import leave_pictures_empty


@pytest.fixture(scope="module", autouse=True)
def empty_pictures() -> Iterator[None]:
    """Studies draw nothing, but where a module defines this anew: pictures take longer than the sums."""
    with leave_pictures_empty(), pytest.MonkeyPatch.context() as patches:
        patches.setattr("client.cohort.quality.draw_thumbnail", lambda _view: "data:image/png;base64,")
        yield


@pytest.fixture
def no_page(monkeypatch):
    """For a study whose page was written before."""
    monkeypatch.setattr("server.conduct.write_report", lambda _results, path: path.touch())
