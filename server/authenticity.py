"""Whether a reply answers the request that was sent, and comes from the site whose key the roster has."""

from __future__ import annotations

from common.errors import ExchangeError
from common.messages.headers import ReplyHeader
from common.messages.protocol import Reply, name_request
from common.messages.signed_reply import is_reply_signed_by
from common.secagg.wire.frames import is_sealed
from common.secagg.wire.roster import Roster


def insist_authentic(message: bytes, reply: Reply, asked: bytes, roster: Roster | None) -> None:
    """Refuse a reply to another request, or one that the site in it did not sign.

    Parameters
    ----------
    message : bytes
        As it came.
    reply : Reply
        The same, decoded.
    asked : bytes
        The request as it was sent, without transcripts.
    roster : Roster or None
        Has the sites' keys; None where the plan hides no sum: then nobody has signed.

    Raises
    ------
    ExchangeError
        With what is wrong, and what to do.
    ProtocolError
        If the roster has no such site.
    """
    if is_sealed(asked) and _is_protocol_only(reply):
        return
    if reply.header.request != name_request(asked):
        raise ExchangeError(
            "its answer names another request -> see that all run the same version of rhe, then go on with "
            "--resume"
        )
    if roster is None:
        return
    member = roster.find_by_name(reply.header.site)
    if not is_reply_signed_by(message, bytes.fromhex(member.key)):
        raise ExchangeError(
            f"its answer is not signed with {member.name}'s key in the roster -> ask whether that was made "
            "anew there, and let the authority sign a new roster"
        )


def _is_protocol_only(reply: Reply) -> bool:
    """Whether nothing but a message of the protocol is in the reply: that one is signed by itself."""
    is_bare = reply.weights is not None or reply.pictures or reply.summary.layout()
    return reply.sealed is not None and reply.header == ReplyHeader(site=reply.header.site) and not is_bare
