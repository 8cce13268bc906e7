"""What may pass from hospitals to the SuperLink: paths, headers and sizes, the same for every gateway.

Flower's app answers some eighty paths on one port; these are the ones that a site's link uses. The others
start runs, hand out tasks or code, or register nodes, and concern nobody outside the coordinator.
"""

from __future__ import annotations

FLEET_PREFIX = "/v1/fleet/"
"""What the path of every Fleet request begins with."""

FLEET_CALLS = (
    "activate-node",
    "confirm-message-received",
    "deactivate-node",
    "get-run",
    "pull-messages",
    "pull-object",
    "push-messages",
    "push-object",
    "send-node-heartbeat",
)
"""The Fleet calls of a site's link; each is a POST of protobuf bytes."""

HEALTH_PATH = "/health"
"""Answers a GET with an empty body while the SuperLink is at work."""

FLEET_HEADERS = (
    "accept",
    "content-type",
    "flwr-component-name",
    "flwr-package-name",
    "flwr-package-version",
    "flwr-public-key",
    "flwr-signature",
    "flwr-timestamp",
)
"""The headers that a Fleet request needs; a gateway drops all others and writes the host itself."""

LARGEST_BODY_BYTES = 6 * 1024 * 1024
"""Largest body of one Fleet request, an object of a message.

No plan needs more: Flower cuts a message of any size into objects of at most 5 MiB and sends each by itself.
"""

LARGEST_LIST_BYTES = 1024 * 1024
"""Largest body of push-messages, which lists a message's objects, about 70 bytes each: enough for 70 GB."""

LARGEST_QUESTION_BYTES = 64 * 1024
"""Largest body of any other request."""

BODY_RATE = 16 * 1024
"""Bytes per second at which a body arrives at least, ten seconds granted: a link uploads four objects side by
side, so a hospital's line has to carry 0.5 Mbit/s upward."""

REQUESTS_PER_S = 200
"""Requests per second of one address: forty polls, and more than ten messages of a dozen requests."""

REFUSED_PER_S = 1
"""Requests per second of one address that are no link's and answered at all; a line of the log for each."""

CONNECTIONS_PER_ADDRESS = 24
"""Requests of one address under way at once; a link has six, and an address may be that of several."""

CONNECTIONS = 512
"""Requests of all addresses under way at once: more than twenty addresses have to join to take them all."""


def largest_body(path: str) -> int:
    """Most bytes of the body of a request for this path."""
    if path == f"{FLEET_PREFIX}push-object":
        return LARGEST_BODY_BYTES
    return LARGEST_LIST_BYTES if path == f"{FLEET_PREFIX}push-messages" else LARGEST_QUESTION_BYTES
