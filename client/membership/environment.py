"""What a site states of its software and hardware: why two sites' bits may differ, no patient's data."""

from __future__ import annotations

import platform
from importlib.metadata import version

from client.membership.policy import state_policy
from client.membership.site import SiteSettings
from common.messages.headers import SiteFacts
from common.training.device import describe_device

_PACKAGES = ("rhe", "torch", "monai", "numpy", "scipy", "SimpleITK", "flwr")


def describe_environment(settings: SiteSettings) -> SiteFacts:
    """The software, hardware and stated policy of the site with this site.toml.

    Raises
    ------
    SiteError
        If this machine has not the device on which the site wants to compute.
    """
    return SiteFacts(
        synthetic=settings.synthetic,
        device=describe_device(settings.device),
        versions=read_versions(),
        policy=state_policy(settings),
    )


def read_versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide the bits, by name."""
    return {"python": platform.python_version()} | {package: version(package) for package in _PACKAGES}
