"""The one error of the protocol: what is refused is named by a code, because only the code may leave."""

from __future__ import annotations

from common.errors import RheError


class SecAggError(RheError):
    """A party refuses to go on; the message holds neither a value nor a path.

    Parameters
    ----------
    message : str
        What is refused and why, for the party's own log.
    code : str
        The protocol's: ``E_...`` where a site refuses, ``S_...`` where the server does.

    Examples
    --------
    >>> SecAggError("the peer's session key is a low-order point", code="E_BAD_POINT").code
    'E_BAD_POINT'
    """

    exit_code = 22
    code = "E_SECAGG"

    def __init__(self, message: str, *, code: str = "E_SECAGG") -> None:
        super().__init__(message)
        # Other branches of the tree have one code each; here every instance has its own
        vars(self)["code"] = code
