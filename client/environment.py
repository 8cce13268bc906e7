"""What a site tells of its software and hardware: enough to explain a different bit, no patient."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from common.headers import SiteFacts
from common.machine import processor

_PACKAGES = ("rhe", "torch", "monai", "numpy", "SimpleITK", "flwr")


def describe(device: torch.device, *, synthetic: bool) -> SiteFacts:
    """The site's facts.

    Parameters
    ----------
    device : torch.device
        What it computes on.
    synthetic : bool
        Whether its data are declared simulated.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return SiteFacts(synthetic=synthetic, device=f"{device.type}: {name}", versions=software_versions())


def software_versions() -> dict[str, str]:
    """Of Python and the packages that decide the bits."""
    return {"python": platform.python_version()} | {package: version(package) for package in _PACKAGES}
