"""What is wrong with the line to the coordinator, in words that say what to do.

Every exception of the HTTP client and every answer that is not the coordinator's becomes a `LineError` here.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from traceback import walk_tb

import httpx

from client.link.bounded_json import read_small_object
from client.link.markers import Trouble
from common.errors import ExchangeError

_EXPIRED, _NOT_YET, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64
"""OpenSSL's numbers of why a certificate is refused: X509_V_ERR_… of x509_vfy.h."""

_FAST_S, _SLOW_S = 5, 300
"""A signature may be made at most so many seconds after or before it arrives: Flower's
SYSTEM_TIME_TOLERANCE and TIMESTAMP_TOLERANCE."""
_DATE_STEP_S = 1.0
"""The answer's Date counts whole seconds."""

ERROR_LIMIT = 4096
"""Bytes of an answer that is no success: more of them are neither read nor looked at."""
_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)
"""The only form in which a server of today may write a date (RFC 9110, 5.6.7)."""
_OURS = ("client.", "common.")

_VERSION_CODE = 1001
"""Flower's RUNTIME_VERSION_INCOMPATIBLE."""

_CLIENT_CERTIFICATE = "put one that it accepts into the link's folder, as client.crt and client.key (PEM)"


_REFUSED_CERTIFICATE = "refuses the link's client certificate"
_ASK_COORDINATOR = "ask the coordinator whether `rhe-server start` runs"
_ASK_NETWORK = "ask the hospital's network people"
_COORDINATOR_FIRST = f"{_ASK_COORDINATOR}; if it does, {_ASK_NETWORK}"
"""Something on the coordinator's side was reached, or says that it did not reach further."""
_NETWORK_FIRST = f"{_ASK_NETWORK} whether they let it through; if they do, {_ASK_COORDINATOR}"
"""Nothing of the coordinator's was seen."""
_CUT_TLS = (
    "took the connection and cut it while TLS began (nothing runs behind a gateway or proxy there, or a "
    f"firewall cuts TLS) -> {_COORDINATOR_FIRST}"
)
_FOUND_NOBODY = ("502", "503", "504")
"""Begin a proxy's words if it looked for the coordinator and found it not."""


class LineError(ExchangeError):
    """The coordinator cannot be reached, or something else than the coordinator answers.

    Attributes
    ----------
    trouble : Trouble
        Of which kind.
    """

    def __init__(self, trouble: Trouble, text: str) -> None:
        super().__init__(text)
        self.trouble = trouble


class UnsureError(LineError):
    """A call failed that may have brought a question: the coordinator asks again who signs in anew."""


class SlowError(LineError):
    """An answer comes, but slower than any line that could carry a study."""

    def __init__(self, text: str) -> None:
        super().__init__(Trouble.UNREACHABLE, text)


class WithdrawnError(ExchangeError):
    """The coordinator no longer wants an answer: its run has ended."""


def explain_transport(failure: httpx.RequestError, address: str) -> LineError:
    """Why no answer came.

    Parameters
    ----------
    failure : httpx.RequestError
        What the HTTP client raised.
    address : str
        HOST:PORT that was called.
    """
    causes = list(_walk_causes(failure))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _explain_certificate(cause, address)
        if isinstance(cause, ssl.SSLError):
            return _explain_tls(cause, address)
    if isinstance(failure, httpx.ProxyError):
        return _explain_proxy(failure, address)
    return LineError(Trouble.UNREACHABLE, f"{address} {_describe_silence(failure, causes)}")


def explain_answer(response: httpx.Response, address: str) -> LineError:
    """What an answer that is no success means, wherever in the Fleet API it came.

    Parameters
    ----------
    response : httpx.Response
        Its status is 300 or more, or its content is no protobuf message.
    address : str
        HOST:PORT that was called.
    """
    status = response.status_code
    if code_of(response) == _VERSION_CODE:
        text = f"{address} runs another version of Flower -> install the same rhe at both ends"
        return LineError(Trouble.VERSION, text)
    if status == httpx.codes.UNAUTHORIZED and _is_json(response):
        return _explain_clock(response, address) or LineError(
            Trouble.NOT_ENROLLED,
            f"{address} does not accept this site's key -> send the coordinator the card",
        )
    return _explain_gateway(response, address) or _explain_stranger(response, address)


def explain_refusal(response: httpx.Response, address: str, *, is_known: bool) -> LineError:
    """Why the coordinator does not let the link in, although it answers.

    Parameters
    ----------
    response : httpx.Response
        The refusal.
    address : str
        HOST:PORT that was called.
    is_known : bool
        Whether the coordinator has just recognized the site's key.
    """
    if response.status_code != httpx.codes.PRECONDITION_FAILED or not _is_json(response):
        return explain_answer(response, address)
    if code_of(response) == _VERSION_CODE:
        return explain_answer(response, address)
    if is_known:
        text = (
            f"{address} holds another link with this site's key for connected -> end it, wherever a copy of "
            "the site runs; after a crash wait a minute"
        )
        return LineError(Trouble.ALREADY_CONNECTED, text)
    text = (
        f"{address} does not let this site in: it is not enrolled -> send the coordinator the card; "
        "or a copy of this site is connected (or was, a minute ago) -> end it"
    )
    return LineError(Trouble.NOT_ENROLLED, text)


def explain_surprise(failure: Exception) -> LineError:
    """What nobody foresaw, by its type and our line alone: its words may be the other end's.

    Parameters
    ----------
    failure : Exception
        What an answer of the coordinator led to.
    """
    text = (
        f"an answer of the coordinator led to {type(failure).__name__} at {_find_place(failure)} -> "
        "ask the coordinator what answers there, and send this line to whoever maintains rhe"
    )
    return LineError(Trouble.COORDINATOR, text)


def code_of(response: httpx.Response) -> int | None:
    """Flower's number of the error in an answer; None if it holds none."""
    code = read_small_object(response.content, ERROR_LIMIT).get("code")
    return code if isinstance(code, int) else None


def _find_place(failure: Exception) -> str:
    """The last line of ours that the failure passed, as MODULE:NUMBER."""
    place = "unknown"
    for frame, number in walk_tb(failure.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_OURS):
            place = f"{module}:{number}"
    return place


def _walk_causes(failure: BaseException) -> Iterator[BaseException]:
    step: BaseException | None = failure
    while step is not None:
        yield step
        step = step.__cause__ or step.__context__


def _explain_certificate(cause: ssl.SSLCertVerificationError, address: str) -> LineError:
    number, now = cause.verify_code, datetime.now(UTC)
    clock = f"this computer's clock says {now:%Y-%m-%d %H:%M} UTC"
    if number == _EXPIRED:
        text = (
            f"the certificate of {address} has expired ({clock}) -> if the clock is right, "
            "the coordinator has to make a new one"
        )
        return LineError(Trouble.EXPIRED_CERTIFICATE, text)
    if number == _NOT_YET:
        text = f"the certificate of {address} is not yet valid ({clock}) -> set this computer's clock"
        return LineError(Trouble.EARLY_CERTIFICATE, text)
    if number in (_OTHER_HOST, _OTHER_ADDRESS):
        text = (
            f"the certificate is not for {address} -> use the address of the invitation, "
            "or let the coordinator add this name to its certificate"
        )
        return LineError(Trouble.HOST_NAME, text)
    text = (
        f"the certificate of {address} is not signed by this study's authority ({cause.verify_message}) -> "
        "something between opens TLS, or the address is another study's: compare it with the invitation"
    )
    return LineError(Trouble.FOREIGN_AUTHORITY, text)


def _explain_tls(cause: ssl.SSLError, address: str) -> LineError:
    reason = (cause.reason or "").upper()
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        text = f"the gateway at {address} wants a client certificate -> {_CLIENT_CERTIFICATE}"
        return LineError(Trouble.CLIENT_CERTIFICATE, text)
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        text = f"the gateway at {address} {_REFUSED_CERTIFICATE} ({reason.lower()}) -> {_CLIENT_CERTIFICATE}"
        return LineError(Trouble.CLIENT_CERTIFICATE, text)
    if "EOF" in reason:
        return LineError(Trouble.UNREACHABLE, f"{address} {_CUT_TLS}")
    text = f"{address} does not speak TLS 1.2 or later ({reason.lower() or 'tls'}) -> is it the right port?"
    return LineError(Trouble.NO_TLS, text)


def _explain_proxy(failure: httpx.ProxyError, address: str) -> LineError:
    told = str(failure)[:100]
    if told.startswith(_FOUND_NOBODY):
        text = f"the proxy of HTTPS_PROXY does not reach {address} ({told}) -> {_COORDINATOR_FIRST}"
        return LineError(Trouble.UNREACHABLE, text)
    text = (
        f"the proxy of HTTPS_PROXY does not let the link through to {address} ({told}) -> "
        f"{_ASK_NETWORK}, or unset HTTPS_PROXY"
    )
    return LineError(Trouble.PROXY, text)


def _describe_silence(failure: httpx.RequestError, causes: list[BaseException]) -> str:
    """How far a call came, who may be to blame for that, and whom to ask first."""
    is_late = isinstance(failure, httpx.TimeoutException)
    if not isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout):
        seen = "is connected but silent" if is_late else f"cut the connection ({type(failure).__name__})"
        return f"{seen} -> {_COORDINATOR_FIRST}"
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return "has no known address (DNS) -> compare the name with the invitation, or set it in the DNS"
        if isinstance(cause, ConnectionRefusedError):
            return f"refuses connections (nothing listens there, or a firewall) -> {_COORDINATOR_FIRST}"
        if isinstance(cause, ConnectionResetError):
            return _CUT_TLS
        if "handshake" in str(cause):
            return f"took the connection and says nothing (what is behind it hangs) -> {_COORDINATOR_FIRST}"
    seen = "does not answer (a firewall drops the call, or its computer is off)"
    return f"{seen if is_late else f'cannot be reached ({failure})'} -> {_NETWORK_FIRST}"


def _explain_gateway(response: httpx.Response, address: str) -> LineError | None:
    """What the gateway says by itself, if this is an answer of one."""
    status, gateway = response.status_code, f"the gateway at {address}"
    if status == httpx.codes.BAD_REQUEST and b"SSL certificate" in response.content:
        is_missing = b"No required" in response.content
        told = "wants a client certificate" if is_missing else _REFUSED_CERTIFICATE
        return LineError(Trouble.CLIENT_CERTIFICATE, f"{gateway} {told} -> {_CLIENT_CERTIFICATE}")
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return LineError(Trouble.OVERLOADED, f"{gateway} limits requests -> the link asks less often")
    if status in (httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT):
        text = f"{gateway} answers, the coordinator behind it does not (HTTP {status}) -> {_ASK_COORDINATOR}"
        return LineError(Trouble.COORDINATOR, text)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR and _is_json(response):
        text = f"the coordinator at {address} failed (HTTP {status}) -> ask it to look into its log"
        return LineError(Trouble.COORDINATOR, text)
    return None


def _explain_clock(response: httpx.Response, address: str) -> LineError | None:
    """That the clocks differ, if they do by more than the coordinator allows."""
    date = response.headers.get("date", "")
    if not _DATE.fullmatch(date):
        return None
    try:
        ahead_s = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError, ArithmeticError):  # "32 Foo", the year 0
        return None
    if -_SLOW_S < ahead_s < _FAST_S + _DATE_STEP_S:
        return None
    way, size = ("ahead of", ahead_s) if ahead_s > 0 else ("behind", -ahead_s)
    told = f"{size / 60:.0f} minutes" if size >= 90 else f"{size:.0f} seconds"
    text = (
        f"this computer's clock is {told} {way} that of {address} -> set both by NTP; "
        f"it may be {_FAST_S} seconds ahead or {_SLOW_S // 60} minutes behind"
    )
    return LineError(Trouble.CLOCK, text)


def _explain_stranger(response: httpx.Response, address: str) -> LineError:
    kind = response.headers.get("content-type", "nothing").partition(";")[0][:60]
    if response.status_code == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        text = f"a proxy before {address} wants a password (HTTP 407) -> {_ASK_NETWORK}"
        return LineError(Trouble.PROXY, text)
    text = (
        f"something else than the coordinator answers at {address} (HTTP {response.status_code}, {kind}) -> "
        "compare the address with the invitation; a proxy between must pass POST /v1/fleet/ unchanged"
    )
    return LineError(Trouble.PROXY, text)


def _is_json(response: httpx.Response) -> bool:
    return "json" in response.headers.get("content-type", "")
