"""A hospital's page in a real browser: what its engine is at, and what became of it."""

from __future__ import annotations

import re

import pytest
from rich.progress import Progress
from studies.browser import PROGRAM, open_browser

from client.link.site_views import SiteViews, show_site
from client.watch.site_watch import SiteSources, SiteWatch
from common.messages.headers import RequestHeader

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed here")
TEXT = "document.body.innerText"
ALONE = RequestHeader.model_validate(
    {
        "operation": "train-local",
        "plan_hash": "f" * 64,
        "site": "center2",
        "model": "3D-ResNet-101",
        "arm": "local-center2",
        "procedure": "training 3D-ResNet-101 local-center2",
    }
)


def test_a_hospital_s_page_follows_its_engine_from_a_training_to_its_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("common.runtime.watch.page_server._PERIOD_S", 0.05)
    monkeypatch.setattr("client.watch.engine_view._PERIOD_S", 0.0)
    progress, watch = Progress(disable=True), SiteWatch()
    task = progress.add_task("center2: 3D-ResNet-101 alone", total=30)
    sources = SiteSources(tmp_path / "state", progress, lambda _: {"statistics": 63})

    with open_browser(tmp_path / "browser") as browser, show_site(SiteViews(0, same_user=True)) as shown:
        address = re.search(r"http://127\.0\.0\.1:\d+/", capsys.readouterr().out)[0]

        def go_on(completed=0):
            progress.update(task, completed=completed)
            watch._file.write()
            shown.view.look(tmp_path / "state")

        with watch.keep("center2", ("Two centres", "f" * 64), sources):
            go_on()
            shown.view.connection = "connected to coordinator.example.org"
            browser.call("Page.navigate", url=address)
            browser.wait_until("document.querySelector('#title')?.textContent.startsWith('center2')")
            browser.wait_until(f'{TEXT}.includes("waits for the coordinator\'s next question")')
            assert "has not asked yet" in browser.evaluate(TEXT)

            watch.see_question(ALONE)
            go_on(7)
            browser.wait_until(f"{TEXT}.includes('7 of 30')")
            text = browser.evaluate(TEXT)
            for part in (
                "training of 3D-ResNet-101, local-center2",
                "63 statistics",
                "connected to coordinator",
            ):
                assert part in text
            go_on(8)
            browser.wait_until(f"{TEXT}.includes('8 of 30')")
            browser.resize(390, 844)
            assert browser.evaluate("document.documentElement.scrollWidth") <= 390

        shown.view.is_running = False
        browser.wait_until(f"{TEXT}.includes('not running')")
        assert "8 of 30" not in browser.evaluate(TEXT)
        assert browser.complaints == []
