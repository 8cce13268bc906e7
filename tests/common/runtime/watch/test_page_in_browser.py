"""The page in a real browser: what people see, on a phone and in the dark, and after a lost line."""

from __future__ import annotations

import pytest
from studies.browser import PROGRAM, open_browser

from common.runtime.watch.board import Board, Fact, ShownBar, ShownParty
from common.runtime.watch.exposition import gauge_of
from common.runtime.watch.page_server import Showcase, serve_page

BOARD = Board(
    title="Two centres & <script>alert(1)</script>",
    condition="paused, waiting for center2 since 14:03",
    tone="waiting",
    bars=(
        ShownBar("steps", 7, 19, "about 2 h 5 min left"),
        ShownBar("3D-ResNet-101, federated", 3, 20, "loss 0.61"),
    ),
    parties=(
        ShownParty("center1", "answered 2 s ago: train 3D-ResNet-101 federated, round 3", "good"),
        ShownParty("center2", "cannot be reached; last heard at 14:02", "waiting"),
        ShownParty("a-hospital-with-a-name-that-is-far-too-long-for-a-phone", "at work for 14 s", "busy"),
        ShownParty("center4", "x" * 200, "bad"),
        ShownParty("center5", "not heard of", "quiet"),
    ),
    facts=(Fact("disk free", "71.6 GB"), Fact("messages", "194 in 105 rounds")),
    lines=("14:00:00 first", "14:03:00 paused, waiting for center2"),
)
CONTRASTS = """
(() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (colour) => parse(colour).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!colour.startsWith("rgba")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("h1, h2, p, dt, dd, li, span, a")]
    .filter((element) => element.checkVisibility() && element.textContent)
    .map((element) => {
      const [low, high] = [getComputedStyle(element).color, behind(element)].map(light).sort((a, b) => a - b);
      return (high + 0.05) / (low + 0.05);
    });
})()
"""
INJECTED = """
(() => {
  const script = document.createElement("script");
  script.textContent = "window.injected = 1";
  document.head.append(script);
  return window.injected ? "ran" : "refused";
})()
"""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed here")


class Shown:
    board = BOARD

    def showcase(self):
        return Showcase(lambda: self.board, lambda: [gauge_of("rhe_x", "X.", 1)], dict)


def test_the_page_shows_the_board_everywhere_and_goes_on_after_a_lost_line(tmp_path, monkeypatch):
    monkeypatch.setattr("common.runtime.watch.page_server._PERIOD_S", 0.05)
    shown = Shown()
    with open_browser(tmp_path) as browser:
        with serve_page(shown.showcase(), 0) as address:
            browser.call("Page.navigate", url=address)
            browser.wait_until("document.querySelector('#title')?.textContent.startsWith('Two')")

            text = browser.evaluate("document.body.innerText")
            for part in (
                BOARD.title,
                BOARD.condition,
                "7 of 19",
                "about 2 h 5 min left",
                "center5",
                "71.6 GB",
            ):
                assert part in text
            assert browser.evaluate("document.title") == f"paused: {BOARD.title}"
            assert browser.evaluate("document.querySelectorAll('#lines li')[0].textContent") == BOARD.lines[1]
            for width in (390, 1280):
                browser.resize(width, 844)
                assert browser.evaluate("document.documentElement.scrollWidth") <= width
            papers = set()
            for scheme in ("light", "dark"):
                browser.prefer(scheme)
                papers.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
                assert min(browser.evaluate(CONTRASTS)) >= 4.5
            assert len(papers) == 2
        assert browser.complaints == []  # no refusal by the page's policy, no error of its code
        assert browser.evaluate(INJECTED) == "refused"

        browser.wait_until("!document.querySelector('#line').hidden")
        assert "Not connected since" in browser.evaluate("document.querySelector('#line').textContent")
        shown.board = Board("Two centres", "finished at 15:00, after 1 h", "good")
        with serve_page(shown.showcase(), int(address.rsplit(":", 1)[1].strip("/"))):
            browser.wait_until("document.querySelector('#condition').textContent.startsWith('finished')")
            browser.wait_until("document.querySelector('#line').hidden")
            assert browser.evaluate("document.querySelectorAll('#parties dt').length") == 0
