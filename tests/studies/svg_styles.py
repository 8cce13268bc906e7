"""The elements of a report's picture by how they are drawn: a style of their own, or that of their class."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET


def list_styled(svg: ET.Element, wanted: str) -> list[ET.Element]:
    """The elements whose style says this, in small letters, e.g. "fill: #0072b2"."""
    rules = "".join(found.text or "" for found in svg.iter("{http://www.w3.org/2000/svg}style"))
    classes: dict[str | None, str] = dict(re.findall(r"\.(s\d+)\{([^}]*)\}", rules))
    return [
        element
        for element in svg.iter()
        if wanted in (element.get("style") or classes.get(element.get("class"), "")).lower()
    ]
