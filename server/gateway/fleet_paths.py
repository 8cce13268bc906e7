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
"""Largest body of one Fleet request.

No plan needs more: Flower cuts a message of any size into objects of at most 5 MiB and sends each by itself.
The last MiB is for what surrounds an object, and for the list of a message's objects, about 70 bytes each:
enough for a message of 70 GB.
"""

REQUESTS_PER_S = 200
"""Requests per second of one address: twenty polls, and more than ten messages of a dozen requests."""

CONNECTIONS_PER_ADDRESS = 64
"""Requests of one address under way at once; a link needs six, and an address may be that of several."""
