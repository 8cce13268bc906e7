"""What a site states of its software and hardware: why two sites' bits may differ, no patient's data."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from client.membership.policy import state_policy
from client.membership.site import SiteSettings
from common.messages.headers import SiteFacts
from common.runtime.machine import name_processor

_PACKAGES = ("rhe", "torch", "monai", "numpy", "scipy", "SimpleITK", "flwr")


def describe_environment(device: torch.device, settings: SiteSettings) -> SiteFacts:
    """The site's software, hardware and stated policy.

    Parameters
    ----------
    device : torch.device
        What it computes on.
    settings : SiteSettings
        Its site.toml.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else name_processor()
    return SiteFacts(
        synthetic=settings.synthetic,
        device=f"{device.type}: {name}",
        versions=read_versions(),
        policy=state_policy(settings),
    )


def read_versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide the bits, by name."""
    return {"python": platform.python_version()} | {package: version(package) for package in _PACKAGES}
