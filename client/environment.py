"""What a site tells of its software and hardware: enough to explain a different bit, no patient."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from client.disclosure import stated_policy
from client.site import SiteSettings
from common.headers import SiteFacts
from common.machine import processor

_PACKAGES = ("rhe", "torch", "monai", "numpy", "SimpleITK", "flwr")


def describe(device: torch.device, settings: SiteSettings) -> SiteFacts:
    """The site's facts.

    Parameters
    ----------
    device : torch.device
        What it computes on.
    settings : SiteSettings
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return SiteFacts(
        synthetic=settings.synthetic,
        device=f"{device.type}: {name}",
        versions=software_versions(),
        policy=stated_policy(settings),
    )


def software_versions() -> dict[str, str]:
    """Of Python and the packages that decide the bits."""
    return {"python": platform.python_version()} | {package: version(package) for package in _PACKAGES}
