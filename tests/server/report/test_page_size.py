"""What keeps the page small: letters as text, short coordinates, styles said once, shorter attention maps."""

import base64
import io
import re
import xml.etree.ElementTree as ET
from urllib.parse import unquote
from xml.sax.saxutils import escape

import numpy as np
import pytest
from jinja2 import Environment
from PIL import Image
from studies.page import decode_picture
from studies.results import Make, make_study, measure

from server.report.attention_pictures import embed_overlay
from server.report.bars import Bar, draw_bars
from server.report.drawing import embed_svg, shorten_svg


def decode(source: str) -> bytes:
    return base64.b64decode(source.partition(",")[2])


def test_a_picture_has_its_letters_as_text_and_its_styles_once():
    """Outlines of letters were 2.9 of a page's 4.8 MB."""
    bars = [
        Bar(f"model {place}", (measure(0.8, 90), measure(0.7, 30), measure(0.6, 60))) for place in range(10)
    ]

    svg = decode_picture(draw_bars(bars, "title").source)

    assert ">model 7</text>" in svg
    assert len(svg) < 23_000  # 130,000 with outlines
    styles = re.findall(r'style="([^"]*)"', svg)
    assert len(styles) == len(set(styles))
    assert not re.findall(r'\bd="[^"]*\d\.\d{3}', svg)
    assert "<metadata>" not in svg


def test_a_number_in_a_label_keeps_its_digits():
    code = '<svg><style></style><path d="M 0.123456 1.5"/><text x="1.00049">0.123456</text></svg>'

    short = shorten_svg(code)

    assert '<path d="M 0.12 1.5"/>' in short
    assert '<text x="1">0.123456</text>' in short


def test_a_shape_has_a_short_name_and_no_group_says_nothing():
    code = (
        '<svg><defs><style></style></defs><g>\n<g clip-path="url(#p0123456789)">\n<g>\n'
        '<use xlink:href="#mabcdef0123"/></g></g>\n<path id="mabcdef0123" d="M 0 1\nL 2 3\nL 4 5\nz\n"/></g>'
        '<path d="M 0 1\nC 1 2 3 4 5 6\nL 7 8\n"/><clipPath id="p0123456789"/></svg>'
    )

    short = shorten_svg(code).replace("\n", " ")

    assert short.count("<g") == short.count("</g>") == 1
    assert '<use href="#m0"/>' in short
    assert '<path id="m0" d="M 0 1 2 3 4 5 z "/>' in short
    # A line after a curve keeps its letter: two numbers alone would be another curve's
    assert 'd="M 0 1 C 1 2 3 4 5 6 L 7 8 "' in short
    assert "url(#p1)" in short
    assert 'id="p1"' in short


def overlay_of(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    overlay = make_study(Make(models=("net",), rounds=1)).overlays[0]
    return overlay.model_copy(update={"png_base64": base64.b64encode(buffer.getvalue()).decode()}), buffer


def test_an_attention_map_is_as_sharp_to_the_eye_in_fewer_bytes():
    y, x = np.mgrid[0:300, 0:400]
    noise = np.random.default_rng(1).integers(0, 12, (300, 400))
    pixels = np.stack([(x / 2 + noise) % 256, (y / 2 + noise) % 256, (x + y) / 4 % 256], axis=2).astype(
        np.uint8
    )
    overlay, original = overlay_of(pixels)

    source = embed_overlay(overlay)

    assert source.startswith("data:image/webp;base64,")
    assert len(decode(source)) < len(original.getvalue()) / 2
    shown = np.asarray(Image.open(io.BytesIO(decode(source))).convert("RGB")).astype(int)
    assert shown.shape == pixels.shape
    assert np.abs(shown - pixels).mean() < 6


def test_a_small_picture_stays_as_it_is():
    overlay, _ = overlay_of(np.zeros((4, 4, 3), dtype=np.uint8))

    assert embed_overlay(overlay) == f"data:image/png;base64,{overlay.png_base64}"


@pytest.mark.parametrize("label", ["100 % of 'all' & #1", 'a "b" <c>'])
def test_a_picture_is_embedded_in_letters(label):
    """Base 64 made a third of every picture's bytes; no letter may end the attribute or the picture."""
    code = (
        f"<svg><style>text{{font:'A'}}</style><text class=\"s0\" font=\"'B'\">{escape(label)}</text>\n</svg>"
    )

    source = embed_svg(code)

    assert len(source) < 1.5 * len(code) + 20
    assert not set(source) & {'"', "&", "\n"}
    assert ET.fromstring(unquote(source.partition(",")[2]))[1].text == label  # noqa: S314 - our own picture
    assert decode_picture(source) == code.replace("\n", " ")
    page = Environment(autoescape=True).from_string('<img src="{{ source }}">').render(source=source)
    assert page == f'<img src="{source}">'
