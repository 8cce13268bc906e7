"""Which reconstruction kernels of CT scanners are for soft tissue."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class KernelNames:
    """The names that one manufacturer gives to kernels (0018,1210).

    Attributes
    ----------
    manufacturers : tuple of str
        Parts of Manufacturer (0008,0070), in lower case.
    soft, sharp : re.Pattern
        Names of kernels for soft tissue, and for bone, lung and edges; any other is unknown.
    everywhere : bool
        Whether the names mean the same where no manufacturer is named.
    """

    manufacturers: tuple[str, ...]
    soft: re.Pattern[str]
    sharp: re.Pattern[str]
    everywhere: bool = True


_KERNELS = (
    # The paper compares GE's and Siemens' kernels one by one: Siemens' number rises with sharpness, its
    # letters name the body part and the method (H31s, B30f, J40s, I31f, Hr38, Br40d, Qr40)
    KernelNames(
        ("siemens",),
        re.compile(r"(H|B|J|I|D|Q|Hr|Hc|Hf|Hv|Br|Bf|Bv|Qr)[1-4]\d[a-z]*", re.IGNORECASE),
        re.compile(r"[A-Z][a-z]?([5-9]\d|1\d\d)[a-z]*", re.IGNORECASE),
    ),
    KernelNames(
        ("ge ", "ge medical", "general electric"),
        re.compile(r"SOFT|STANDARD|STND|STAND?", re.IGNORECASE),
        re.compile(r"BONE.*|EDGE|LUNG|DETAIL|ULTRA.*|HD ?(BONE|EDGE|LUNG|DETAIL|ULTRA).*", re.IGNORECASE),
    ),
    # Single letters mean nothing without the manufacturer
    KernelNames(
        ("philips",),
        re.compile(r"UA|UB|A|B|SA|SB|SMOOTH.*|BRAIN STANDARD", re.IGNORECASE),
        re.compile(r"D|E|L|YA|YB|YC|YD|YE|EB|EC|ED|DETAIL.*|SHARP.*", re.IGNORECASE),
        everywhere=False,
    ),
    # FC01 to FC18 for the body, FC20 to FC29 for the head, both smooth; FC30 on and FC80 on for bone and lung
    KernelNames(
        ("toshiba", "canon"),
        re.compile(r"FC[012]\d", re.IGNORECASE),
        re.compile(r"FC([35]\d|8\d)", re.IGNORECASE),
    ),
)
"""Named by Solomon et al. (2012), "Quantitative comparison of noise texture across CT scanners from different
manufacturers", Med Phys 39:6048-6055 (GE, Siemens), and by the manufacturers' own protocols for the head."""


def is_soft_tissue_kernel(kernel: str, manufacturer: str = "") -> bool | None:
    """Whether a kernel is for soft tissue; None where its name is not known.

    Examples
    --------
    >>> is_soft_tissue_kernel("H31s", "SIEMENS"), is_soft_tissue_kernel("BONEPLUS", "GE MEDICAL SYSTEMS")
    (True, False)
    >>> is_soft_tissue_kernel("UB") is None
    True
    """
    known = [
        names for names in _KERNELS if any(part in f"{manufacturer} ".lower() for part in names.manufacturers)
    ]
    candidates = known or [names for names in _KERNELS if names.everywhere and not manufacturer.strip()]
    for names in candidates:
        if names.soft.fullmatch(kernel.strip()):
            return True
        if names.sharp.fullmatch(kernel.strip()):
            return False
    return None
