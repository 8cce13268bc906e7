"""Flower's own log lines: one for each call, in colour and twice; only its warnings are ours to keep."""

from __future__ import annotations

import logging


def quieten_flower() -> None:
    """Leave Flower's warnings and errors to this process' handlers; call it once Flower is imported."""
    logger = logging.getLogger("flwr")
    logger.setLevel(logging.WARNING)
    for handler in tuple(logger.handlers):
        logger.removeHandler(handler)
