from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest

from client.cohort.cases import PreparedSite
from client.cohort.prepare import prepare_site
from client.cohort.quality import write_quality_page
from common.errors import Finding, Level, StorageError


class Page(HTMLParser):
    """What a browser would find in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.pictures_at = [match.start() for match in re.finditer("<img", text)]
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [
            value for name, value in attrs if name in {"href", "src"} and not value.startswith("data:")
        ]
        if tag == "img":
            self.pictures.append(values["src"])
        assert tag not in {"script", "link", "iframe"}


@pytest.fixture
def prepared(scans_folder, small_plan, tmp_path, progress) -> PreparedSite:
    bad = scans_folder.patient("P<b>ad", grows=True)
    (scans_folder.root / bad["baseline_ct"]).write_bytes(b"nothing")
    young = scans_folder.patient("young", grows=True)
    young["age"] = 12
    scans_folder.rows[3]["ich_volume_ml"] = 59
    return prepare_site(scans_folder.finish(), small_plan(), tmp_path / "cache", progress)


@pytest.fixture
def page(prepared, tmp_path) -> Page:
    write_quality_page(prepared, tmp_path / "out/quality.html")
    return Page((tmp_path / "out/quality.html").read_text())


def test_the_page_needs_nothing_but_itself_and_says_that_it_stays(page):
    assert page.links == []
    assert "http" not in re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page.text)
    assert "it stays at this hospital" in page.text


def test_it_says_who_was_refused_and_why_and_escapes_what_the_table_holds(page, scans_folder):
    assert "patient &#39;P&lt;b&gt;ad&#39;" in page.text
    assert "truncated or damaged" in page.text
    assert "<td>&#39;baseline_ct&#39;: " in page.text
    assert str(scans_folder.root) not in page.text
    assert "ich_volume_ml is 59.0 ml in the table, 24.0 ml in the mask" in page.text
    assert re.search(
        r"<b>10</b>in the table.*<b>1</b>excluded.*<b>1</b>eligible but refused.*<b>8</b>prep",
        page.text,
        re.DOTALL,
    )


def test_who_is_to_be_looked_at_and_refused_too_is_marked(prepared, tmp_path):
    refused = prepared.refusals[0].finding
    note = Finding(refused.where, "contrast", "look", Level.LOOK)
    write_quality_page(replace(prepared, notes=(*prepared.notes, note)), tmp_path / "quality.html")

    text = (tmp_path / "quality.html").read_text()

    assert text.count("(also refused)") == 1
    assert re.search(r"contrast.*?ad&#39; <strong>\(also refused\)", text, re.DOTALL)
    assert "studied unless also refused below" in text


def test_it_says_whom_a_criterion_excludes_and_by_which_value(page):
    assert re.search(
        r"Age &lt; 18 years</td><td class=\"number\">1</td>\s*<td>row 11 \(young\): 12</td>", page.text
    )


def test_every_prepared_patient_has_a_line_with_volumes_and_outcome(page):
    rows = re.findall(r"<tr><td class=\"number\">(\d+)</td><td>(P\d)</td>", page.text)
    assert rows == [(str(n + 1), f"P{n}") for n in range(8)]
    assert page.text.count("yes (ICH grew by the absolute bound; ICH grew by the relative bound)") == 4


def test_every_patient_has_a_slice_with_the_masks_outline_in_colour(page):
    """Eight lesions; what is to be looked at is shown a second time, first on the page."""
    assert len(page.pictures) == 9
    assert page.text.index("<h2>Look at this") < page.pictures_at[0] < page.text.index("<h2>Refused")
    for source in page.pictures:
        picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(source.split(",")[1])))[..., :3]
        assert (np.ptp(picture, axis=-1) > 0.3).sum() > 10


def test_a_site_without_refusals_or_notes_says_so(scans_folder, small_plan, tmp_path, progress):
    for row in scans_folder.rows:
        row["ich_volume_ml"] = row["ivh_volume_ml"] = ""
    site = prepare_site(scans_folder.finish(), small_plan(), tmp_path / "cache", progress)
    write_quality_page(site, tmp_path / "quality.html")
    text = (tmp_path / "quality.html").read_text()
    assert "No patient was refused." in text
    assert "Nothing was noticed." in text


def test_a_damaged_cache_is_told(prepared, tmp_path):
    prepared.cases[0].entry.paths["pixels"].unlink()
    with pytest.raises(StorageError, match="the cache is damaged"):
        write_quality_page(prepared, tmp_path / "quality.html")
    assert not (tmp_path / "quality.html").exists()
