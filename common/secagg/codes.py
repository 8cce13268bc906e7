"""The one error of the protocol: what is refused is named by a code, because only the code may leave."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import RheError


class SecAggError(RheError):
    """The protocol of hidden sums refuses to go on; the message shows its own code, such as `E_RESTORED`.

    It holds neither a value nor a path.

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


class FalseSumError(SecAggError):
    """A sum that came back to a site is not the sum of what the sites sent.

    Parameters
    ----------
    message : str
        What is false.
    members : sequence of int
        Numbers of the sites one of whom may have lied, where it need not have been the coordinator: it signed
        what is false, but could not tell.

    Examples
    --------
    >>> FalseSumError("masks are left in a sum", [2, 3]).suspects
    ('coordinator', 'site 2', 'site 3')
    """

    def __init__(self, message: str, members: Sequence[int] = ()) -> None:
        super().__init__(message, code="E_SUM_PROOF")
        self.suspects = ("coordinator", *(f"site {member}" for member in members))
        """Who may have lied; the coordinator alone where nobody else can have."""
