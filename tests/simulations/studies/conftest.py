"""What several tests of whole studies need."""

from __future__ import annotations

import pytest


@pytest.fixture
def no_page(monkeypatch):
    """For a study that was drawn before: its figures take longer than its sums, and nobody looks at them."""
    monkeypatch.setattr("server.conduct.write_report", lambda _results, path: path.touch())
