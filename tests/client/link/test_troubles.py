"""Each thing that can be wrong with the line is told as that, by real TLS servers of this process."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto.fleet_pb2 import ActivateNodeResponse, PullMessagesResponse
from flwr.proto.message_pb2 import Message as FlowerMessage

from client.link import bounded_sender
from client.link.credentials import ClientCertificate, Door, make_tls
from client.link.fleet import FleetLine
from client.link.markers import Trouble
from client.link.troubles import LineError
from common.errors import SiteError
from server.provision import authority as provision
from server.provision.authority import CertifiedKey, create_authority, issue_server_certificate

HOST = "127.0.0.1"
KEY = ec.generate_private_key(ec.SECP256R1())
STUDY = create_authority("the study")
HTML = "content-type: text/html\r\n"
JSON = "content-type: application/json\r\n"


def write(folder: Path, name: str, certified: CertifiedKey) -> ClientCertificate:
    files = ClientCertificate(folder / f"{name}.crt", folder / f"{name}.key")
    files.certificate.write_bytes(certified.certificate_pem)
    files.key.write_bytes(certified.key_pem)
    return files


def issue_client_certificate(gateway: CertifiedKey) -> CertifiedKey:
    """As a hospital's or a coordinator's own authority issues them."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = provision._start_certificate(
        provision._make_name("site"), gateway.certificate.subject, key.public_key()
    )
    return CertifiedKey(builder.sign(gateway.key, hashes.SHA256()), key)


def answer(status: int, headers: str = "", body: bytes = b"") -> bytes:
    """An answer of an HTTP server."""
    return f"HTTP/1.1 {status} X\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def unauthorized(**ahead: float) -> Callable[[], bytes]:
    """Flower's refusal of a signature, by a coordinator whose clock is so much ahead of ours."""

    def make() -> bytes:
        clock = format_datetime(datetime.now(UTC) + timedelta(**ahead), usegmt=True)
        return answer(401, f"{JSON}date: {clock}\r\n", b"{}")

    return make


@contextmanager
def listen(context: ssl.SSLContext | None, said: bytes = b"") -> Iterator[str]:
    """A server that says the same to everybody; yields its address."""
    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, context, said), daemon=True)
        thread.start()
        try:
            yield f"{HOST}:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(30.0)


def _serve(server: socket.socket, context: ssl.SSLContext | None, said: bytes) -> None:
    with suppress(OSError):
        while True:
            raw = server.accept()[0]
            with raw, suppress(OSError):
                raw.settimeout(5.0)
                with context.wrap_socket(raw, server_side=True) if context else raw as connection:
                    if context:
                        _read_request(connection)
                    else:
                        connection.recv(2**16)
                    connection.sendall(said)
                    connection.recv(1)


def _read_request(connection: socket.socket) -> None:
    """One whole request: a server that closes before it has read everything resets the connection."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(2**16)
        if not piece:
            return
        request += piece
    head, _, body = request.partition(b"\r\n\r\n")
    (length,) = re.findall(rb"(?i)content-length: (\d+)", head) or [b"0"]
    while len(body) < int(length):
        body += connection.recv(2**16)


def serving(folder: Path, certified: CertifiedKey) -> ssl.SSLContext:
    files = write(folder, "server", certified)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


@pytest.fixture
def tls(tmp_path) -> ssl.SSLContext:
    """The coordinator's."""
    return serving(tmp_path, issue_server_certificate(STUDY, [HOST]))


def sign_in(
    folder: Path,
    address: str,
    known: int = 0,
    client: ClientCertificate | None = None,
    timeout_s: float = 10.0,
) -> LineError:
    """What is told when a site of the study calls there."""

    def give_up(error: LineError) -> None:
        raise error

    trusted = folder / "authority.crt"
    trusted.write_bytes(STUDY.certificate_pem)
    door = Door(address, KEY, make_tls(trusted, client), 1000)
    with FleetLine(door, give_up, lambda: None) as line:
        line._sender.timeout_s = timeout_s
        with pytest.raises(LineError) as caught:
            line.sign_in(known=known)
    assert address in str(caught.value)
    assert "->" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("days", "trouble", "words"),
    [
        ((-2, -1), Trouble.EXPIRED_CERTIFICATE, "has expired"),
        ((1, 2), Trouble.EARLY_CERTIFICATE, "set this computer's clock"),
    ],
)
def test_a_certificate_out_of_its_time_is_told_with_the_own_clock(
    tmp_path, monkeypatch, days, trouble, words
):
    monkeypatch.setattr(provision, "_CLOCK_TOLERANCE", timedelta(days=-days[0]))
    monkeypatch.setattr(provision, "_LIFETIME", timedelta(days=days[1]))
    with listen(serving(tmp_path, issue_server_certificate(STUDY, [HOST]))) as address:
        told = sign_in(tmp_path, address)
    assert told.trouble is trouble
    assert words in str(told)
    assert f"{datetime.now(UTC):%Y-%m-%d}" in str(told)


def test_another_studys_certificate_is_foreign(tmp_path):
    with listen(
        serving(tmp_path, issue_server_certificate(create_authority("the study"), [HOST]))
    ) as address:
        told = sign_in(tmp_path, address)
    assert (told.trouble, "this study's authority" in str(told)) == (Trouble.FOREIGN_AUTHORITY, True)


@pytest.mark.parametrize("name", ["coordinator.example", "127.0.0.2"])
def test_a_certificate_for_another_name_is_told(tmp_path, name):
    with listen(serving(tmp_path, issue_server_certificate(STUDY, [name]))) as address:
        told = sign_in(tmp_path, address)
    assert told.trouble is Trouble.HOST_NAME


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_that_is_missing_or_foreign_is_told_and_a_right_one_passes(
    tmp_path, tls, version
):
    gateway = create_authority("gateway")
    tls.minimum_version = tls.maximum_version = version
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(cadata=gateway.certificate_pem.decode())
    with listen(tls, answer(503)) as address:
        missing = sign_in(tmp_path, address)
        stranger = write(tmp_path, "stranger", issue_server_certificate(create_authority("x"), ["site"]))
        foreign = sign_in(tmp_path, address, client=stranger)
        assert missing.trouble is foreign.trouble is Trouble.CLIENT_CERTIFICATE
        assert "client.crt" in str(missing)
        right = write(tmp_path, "right", issue_client_certificate(gateway))
        assert sign_in(tmp_path, address, client=right).trouble is Trouble.COORDINATOR


def test_only_new_tls_is_spoken(tmp_path, tls):
    assert make_tls(write_authority(tmp_path)).minimum_version is ssl.TLSVersion.TLSv1_2
    with listen(None, b"SSH-2.0-x\r\n") as address:
        assert sign_in(tmp_path, address).trouble is Trouble.NO_TLS


def write_authority(folder: Path) -> Path:
    path = folder / "authority.crt"
    path.write_bytes(STUDY.certificate_pem)
    return path


def test_a_refused_connection_an_unknown_name_and_silence_are_three_things(tmp_path, tls, monkeypatch):
    with socket.create_server((HOST, 0)) as closed:
        address = f"{HOST}:{closed.getsockname()[1]}"
    assert "refuses connections" in str(sign_in(tmp_path, address))
    with listen(tls) as address:
        silent = sign_in(tmp_path, address, timeout_s=0.3)
    assert (silent.trouble, "silent" in str(silent)) == (Trouble.UNREACHABLE, True)

    def fail(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert "DNS" in str(sign_in(tmp_path, "localhost:9092"))


COORDINATOR, NETWORK = "rhe-server start", "network people"


@contextmanager
def take(connect: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that takes connections and does this with each; yields its address."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connect(server.accept()[0])

    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"{HOST}:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(30.0)


def cut(connection: socket.socket) -> None:
    """As a gateway that passes TLS on, and finds nobody to pass it to."""
    connection.recv(2**16)
    connection.close()


def reset(connection: socket.socket) -> None:
    # Only once TLS began: Python's SSLSocket forgets to close itself if its peer is gone before
    connection.recv(1, socket.MSG_PEEK)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_whose_fault_silence_is_follows_from_how_far_the_call_came(tmp_path, monkeypatch):
    """What was reached is asked about first; the other possibility is told too."""
    with socket.create_server((HOST, 0)) as closed:
        refused = f"{HOST}:{closed.getsockname()[1]}"
    told = [sign_in(tmp_path, refused)]
    for connect in (cut, reset):
        with take(connect) as address:
            told.append(sign_in(tmp_path, address))
            assert "while TLS began" in str(told[-1])
    held = []
    monkeypatch.setattr(bounded_sender, "_CONNECT_S", 0.3)
    with take(held.append) as address:
        told.append(sign_in(tmp_path, address))
        assert "says nothing" in str(told[-1])
    for error in told:
        first, _, second = str(error).partition("; ")
        assert COORDINATOR in first, error
        assert NETWORK in second, error
    with socket.create_server((HOST, 0), backlog=0) as full:
        address = f"{HOST}:{full.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        first, _, second = str(sign_in(tmp_path, address)).partition("; ")
    for one in (*waiting, *held):
        one.close()
    assert "does not answer" in first
    assert NETWORK in first
    assert COORDINATOR in second


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_finds_no_coordinator_is_not_blamed(tmp_path, monkeypatch, status):
    with listen(None, answer(status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy}")
        told = sign_in(tmp_path, "coordinator.example:9092")
    first, _, second = str(told).partition("; ")
    assert (told.trouble, COORDINATOR in first, NETWORK in second) == (Trouble.UNREACHABLE, True, True)


def _json(code: int) -> bytes:
    return f'{{"code": {code}, "message": "no"}}'.encode()


@pytest.mark.parametrize(
    ("said", "trouble", "words"),
    [
        (answer(412, JSON, _json(2004)), Trouble.NOT_ENROLLED, "card"),
        (unauthorized(), Trouble.NOT_ENROLLED, "card"),
        (unauthorized(minutes=-10), Trouble.CLOCK, "10 minutes ahead of"),
        (unauthorized(minutes=10), Trouble.CLOCK, "10 minutes behind"),
        (unauthorized(seconds=-30), Trouble.CLOCK, "seconds ahead of"),
        (unauthorized(seconds=30), Trouble.NOT_ENROLLED, "card"),
        (answer(412, JSON, _json(1001)), Trouble.VERSION, "same rhe"),
        (answer(200, "content-type: application/protobuf\r\n", b"\xff"), Trouble.VERSION, "same rhe"),
        (answer(502, HTML), Trouble.COORDINATOR, "rhe-server start"),
        (answer(503, HTML), Trouble.COORDINATOR, "rhe-server start"),
        (answer(500, JSON, b"{}"), Trouble.COORDINATOR, "its log"),
        (answer(500, JSON, b"[" * 60_000), Trouble.COORDINATOR, "its log"),
        (answer(500, JSON, b"[" * 3_000), Trouble.COORDINATOR, "its log"),
        (answer(500, JSON, b'{"code":' + b"9" * 4_000 + b"}"), Trouble.COORDINATOR, "its log"),
        (answer(500, JSON, b'{"code": 1001' + b" " * 5_000 + b"}"), Trouble.COORDINATOR, "its log"),
        (answer(401, f"{JSON}date: Mon, 01 Jan {'9' * 20} 00:00:00 GMT\r\n"), Trouble.NOT_ENROLLED, "card"),
        (answer(401, f"{JSON}date: Mon, 01 Jan 2026 0:0:0 +{'9' * 20}\r\n"), Trouble.NOT_ENROLLED, "card"),
        (answer(401, f"{JSON}date: Xxx, 99 Xxx 0000 99:99:99 GMT\r\n"), Trouble.NOT_ENROLLED, "card"),
        (answer(429, HTML), Trouble.OVERLOADED, "limits"),
        (
            answer(400, HTML, b"No required SSL certificate was sent"),
            Trouble.CLIENT_CERTIFICATE,
            "wants a client",
        ),
        (answer(400, HTML, b"The SSL certificate error"), Trouble.CLIENT_CERTIFICATE, "refuses the link's"),
        (answer(407, HTML), Trouble.PROXY, "407"),
        (answer(403, HTML), Trouble.PROXY, "text/html"),
        (answer(200, HTML, b"<html>"), Trouble.PROXY, "something else"),
        (answer(302, f"location: https://{HOST}:1/\r\n"), Trouble.PROXY, "302"),
        (answer(401, HTML), Trouble.PROXY, "401"),
        (answer(200, HTML, bytes(5 * 2**20)), Trouble.PROXY, "more than"),
    ],
)
def test_every_answer_is_told_as_what_it_is(tmp_path, tls, said, trouble, words):
    with listen(tls, said() if callable(said) else said) as address:
        told = sign_in(tmp_path, address)
    assert (told.trouble, words in str(told)) == (trouble, True), str(told)


def test_a_node_that_the_coordinator_knows_is_not_told_to_enrol(tmp_path, tls):
    """The coordinator refuses an unknown key and one that is signed in by the same words; run 0 tells."""
    with _listen_to_two(tls, answer(412, JSON, _json(2004)), answer(403, JSON, _json(2008))) as address:
        assert sign_in(tmp_path, address, known=5).trouble is Trouble.ALREADY_CONNECTED


def test_a_message_without_its_parts_does_not_end_the_link(tmp_path, tls):
    kind = "content-type: application/protobuf\r\n"
    node = ActivateNodeResponse(node_id=5).SerializeToString()
    message = PullMessagesResponse(messages_list=[FlowerMessage()]).SerializeToString()
    endured: list[LineError] = []
    with _listen_to_two(tls, answer(200, kind, node), answer(200, kind, message)) as address:
        door = Door(address, KEY, make_tls(write_authority(tmp_path)), 1000)
        with FleetLine(door, endured.append, lambda: None) as line:
            assert line.sign_in() == 5
            assert line.poll() is None
    assert [error.trouble for error in endured] == [Trouble.VERSION]


@contextmanager
def _listen_to_two(context: ssl.SSLContext, *said: bytes) -> Iterator[str]:
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            with context.wrap_socket(server.accept()[0], server_side=True) as connection:
                for one_answer in said:
                    _read_request(connection)
                    connection.sendall(one_answer)
                connection.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"{HOST}:{server.getsockname()[1]}"
        thread.join(30.0)


def test_a_proxy_of_the_environment_that_wants_a_password_is_told(tmp_path, monkeypatch):
    with listen(None, answer(407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy}")
        told = sign_in(tmp_path, "coordinator.example:9092")
    assert (told.trouble, "HTTPS_PROXY" in str(told)) == (Trouble.PROXY, True)


def test_a_proxy_of_the_environment_is_not_asked_the_way_to_this_computer(tmp_path, tls, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://{HOST}:1")
    with listen(tls, answer(503)) as address:
        assert sign_in(tmp_path, address).trouble is Trouble.COORDINATOR


def test_files_of_the_link_that_are_damaged_are_named(tmp_path):
    damaged = tmp_path / "authority.crt"
    with pytest.raises(SiteError, match=r"authority\.crt.*init"):
        make_tls(damaged)
    damaged.write_text("no certificate")
    with pytest.raises(SiteError, match=r"authority\.crt.*init"):
        make_tls(damaged)
    files = write(tmp_path, "client", issue_server_certificate(STUDY, ["site"]))
    files.key.write_bytes(
        write(tmp_path, "other", issue_server_certificate(STUDY, ["site"])).key.read_bytes()
    )
    with pytest.raises(SiteError, match="belong together"):
        make_tls(write_authority(tmp_path), files)
