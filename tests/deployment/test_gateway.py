"""nginx as rhe configures it, on a real port with TLS: what reaches the SuperLink, and what does not."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from deployment.spellings import BODY, EXACT, HOST, SILENCED_HEADERS, list_spellings, spell

from client.link.supervise import find_free_port
from common.errors import ExchangeError, StorageError
from common.runtime.processes import adopt_descendants
from server.gateway import nginx as nginx_process
from server.gateway.fleet_paths import (
    CONNECTIONS_PER_ADDRESS,
    FLEET_CALLS,
    FLEET_PREFIX,
    LARGEST_BODY_BYTES,
    REFUSED_PER_S,
    REQUESTS_PER_S,
)
from server.gateway.modes import GatewayMode, open_gateway
from server.gateway.nginx import NginxGateway, run_nginx
from server.gateway.nginx_configuration import locate_nginx_files, write_external_configuration
from server.provision.authority import CertifiedKey, create_authority, issue_server_certificate
from server.provision.office import Office, OfficeSettings, create_office, renew_certificate

pytestmark = pytest.mark.skipif(
    not nginx_process.is_installed(), reason="nginx is not installed: apt install nginx-light"
)

PLAN = """
name = "A study"
seed = 1
profile = "simulation"
two_site_ack = true
[privacy]
secure = false
[[sites]]
name = "a"
role = "train"
[[sites]]
name = "b"
role = "external"
[[models]]
name = "m"
family = "resnet10-narrow"
"""

_WAIT_S = 5.0


@dataclass
class Recorder:
    """What listens on the SuperLink's socket and writes down whatever arrives.

    Attributes
    ----------
    arrived : list of (bytes, bytes)
        Head and body of each request.
    heads : int
        How many requests have begun.
    slow_s : float
        How long an answer takes.
    answer : bytes
        Body of each answer.
    """

    arrived: list[tuple[bytes, bytes]] = field(default_factory=list)
    heads: int = 0
    slow_s: float = 0.0
    answer: bytes = b"ok"

    def serve(self, listener: socket.socket) -> None:
        """Answer until the socket is closed."""
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection: socket.socket) -> None:
        received, begun = b"", False
        with connection, suppress(OSError):
            while part := connection.recv(1 << 20):
                received += part
                while b"\r\n\r\n" in received:
                    self.heads += not begun
                    begun = True
                    head, _, rest = received.partition(b"\r\n\r\n")
                    length = _length_of(head)
                    if len(rest) < length:
                        break
                    self.arrived.append((head, rest[:length]))
                    received, begun = rest[length:], False
                    time.sleep(self.slow_s)
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.answer) + self.answer
                    )


def _length_of(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


@dataclass
class Stage:
    """An office, what stands for its SuperLink, and its nginx.

    Attributes
    ----------
    office : Office
    recorder : Recorder
    nginx : NginxGateway
    """

    office: Office
    recorder: Recorder
    nginx: NginxGateway


@contextmanager
def listen(path: Path, recorder: Recorder):
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(512)
        threading.Thread(target=recorder.serve, args=(listener,), daemon=True).start()
        try:
            yield
        finally:
            # A socket that is only closed wakes nobody who waits in accept
            listener.shutdown(socket.SHUT_RDWR)
    path.unlink()


def make_office(folder: Path, port: int) -> Office:
    (folder / "study.toml").write_text(PLAN)
    return create_office(folder / "my office", folder / "study.toml", OfficeSettings(host=HOST, port=port))


@pytest.fixture
def stage(tmp_path):
    office = make_office(tmp_path, find_free_port())
    recorder = Recorder()
    with listen(office.fleet_socket, recorder), run_nginx(office) as gateway:
        recorder.arrived.clear()
        yield Stage(office, recorder, gateway)


def open_tls(office: Office, timeout_s: float = _WAIT_S, **changes) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(office.authority))
    for name, value in changes.items():
        setattr(context, name, value)
    plain = socket.create_connection(("127.0.0.1", office.settings.port), timeout_s)
    return context.wrap_socket(plain, server_hostname=HOST)


def send(office: Office, request: bytes) -> bytes:
    """What comes back to raw bytes, until the other side closes or says nothing more."""
    received = b""
    with open_tls(office) as connection, suppress(OSError):
        with suppress(OSError):
            connection.sendall(request)
            connection.settimeout(_WAIT_S)
        while part := connection.recv(65536):
            received += part
            connection.settimeout(0.2)
    return received


def status_of(answer: bytes) -> int:
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def wait_for(condition: Callable[[], bool], seconds: float = _WAIT_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_links_own_requests_arrive(stage):
    for call in FLEET_CALLS:
        answer = send(stage.office, spell(f"{FLEET_PREFIX}{call}"))
        assert status_of(answer) == 200
        assert answer.endswith(b"\r\n\r\nok")
    health = (
        f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{stage.office.settings.port}\r\nConnection: close\r\n\r\n"
    )
    assert status_of(send(stage.office, health.encode())) == 200
    lines = [head.split(b"\r\n")[0].decode() for head, _ in stage.recorder.arrived]
    assert lines == [
        *(f"POST {FLEET_PREFIX}{call} HTTP/1.1" for call in FLEET_CALLS),
        "GET /health HTTP/1.1",
    ]
    assert [body for _, body in stage.recorder.arrived] == [BODY] * len(FLEET_CALLS) + [b""]


def test_no_other_spelling_arrives(stage):
    spellings = list_spellings()
    assert len({spelling.request for spelling in spellings}) == len(spellings) >= 200
    arrived = {}
    for spelling in spellings:
        stage.recorder.arrived.clear()
        answer = send(stage.office, spelling.request)
        if stage.recorder.arrived or status_of(answer) == 200:
            arrived[spelling.name] = stage.recorder.arrived[:]
        # Neither a version nor a word of what went wrong
        assert b"\r\n\r\n" not in answer or answer.endswith(b"\r\n\r\n"), (spelling.name, answer)
        assert b"nginx/" not in answer
    assert arrived == {}


NAIVE = """
daemon off; pid "{folder}/naive.pid"; error_log "{folder}/naive.log";
events {{ }}
http {{
    access_log off;
    client_body_temp_path "{folder}/naive"; proxy_temp_path "{folder}/naive";
    fastcgi_temp_path "{folder}/naive";
    uwsgi_temp_path "{folder}/naive"; scgi_temp_path "{folder}/naive";
    upstream superlink {{ server "unix:{socket}"; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate "{certificate}"; ssl_certificate_key "{key}";
        location /v1/fleet/ {{ proxy_pass http://superlink; }}
        location /health {{ proxy_pass http://superlink; }}
    }}
}}
user {user};
"""


def test_a_naive_configuration_lets_many_of_them_through(tmp_path):
    """What shows that the test above can fail: the same requests at the location that comes to mind first."""
    office = make_office(tmp_path, find_free_port())
    recorder = Recorder()
    text = NAIVE.format(
        folder=tmp_path,
        socket=office.fleet_socket,
        port=office.settings.port,
        certificate=office.certificate,
        key=office.certificate_key,
        user="root" if os.geteuid() == 0 else "nobody",
    )
    (tmp_path / "naive.conf").write_text(text)
    with ExitStack() as stack:
        stack.enter_context(listen(office.fleet_socket, recorder))
        command = [nginx_process.find_nginx(), "-p", str(tmp_path), "-c", str(tmp_path / "naive.conf")]
        process = stack.enter_context(subprocess.Popen(command))
        stack.callback(process.terminate)
        wait_for(lambda: _is_open(office))
        passed = []
        for spelling in list_spellings():
            recorder.arrived.clear()
            send(office, spelling.request)
            if recorder.arrived:
                passed.append(spelling.name)
    print(f"{len(passed)} of {len(list_spellings())} pass a naive configuration:", *passed, sep="\n")
    assert "path '/v1/fleet/register-node'" in passed
    assert "path '/v1/fleet/get-fab'" in passed
    assert "path 'https://attacker.example/v1/fleet/pull-messages'" in passed
    assert "path '/v1/control/list-runs'" not in passed
    assert len(passed) > 80


def _is_open(office: Office) -> bool:
    with suppress(OSError), open_tls(office):
        return True
    return False


@pytest.mark.parametrize("name", SILENCED_HEADERS)
def test_a_header_that_flower_does_not_need_does_not_arrive(stage, name):
    headers = (
        f"Content-Type: application/protobuf\r\n{name}: {SILENCED_HEADERS[name]}\r\nConnection: close\r\n"
    )
    if name == "Upgrade":
        headers = headers.replace("close", "Upgrade, HTTP2-Settings, close")
    assert status_of(send(stage.office, spell(headers=headers))) == 200
    ((head, body),) = stage.recorder.arrived
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST {EXACT} HTTP/1.1"
    assert dict(line.lower().split(": ", 1) for line in lines[1:]) == {
        "host": "superlink",
        "content-length": "6",
        "content-type": "application/protobuf",
    }
    assert body == BODY


def test_a_request_behind_a_request_is_judged_by_itself(stage):
    good = spell(headers="Content-Type: application/protobuf\r\n")
    answer = send(
        stage.office, good + spell("/v1/control/list-runs", headers="") + good + spell("/docs", "GET")
    )
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"200", b"404"]
    assert [body for _, body in stage.recorder.arrived] == [BODY, BODY]


def test_bodies_travel_unbuffered_up_to_the_largest(stage):
    stage.recorder.answer = os.urandom(LARGEST_BODY_BYTES)
    body = os.urandom(LARGEST_BODY_BYTES)
    head, _, answer = send(stage.office, spell(body=body)).partition(b"\r\n\r\n")
    assert (status_of(head), answer) == (200, stage.recorder.answer)
    assert stage.recorder.arrived[0][1] == body
    folder = locate_nginx_files(stage.office).folder
    assert sorted(path.name for path in folder.iterdir()) == ["nginx.conf", "nginx.pid", "unused"]
    assert list((folder / "unused").rglob("*")) == []
    # A part is handed on before the rest is there
    stage.recorder.heads = 0
    with open_tls(stage.office) as connection:
        request = spell()
        connection.sendall(request[:-1])
        wait_for(lambda: stage.recorder.heads > 0)


def test_tls_is_of_today_and_speaks_http_1_alone(stage):
    old = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises(ssl.SSLError):
        open_tls(stage.office, minimum_version=old, maximum_version=old)
    context = ssl.create_default_context(cafile=str(stage.office.authority))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES256-SHA:AES256-GCM-SHA384:DHE")
    with (
        socket.create_connection(("127.0.0.1", stage.office.settings.port)) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname=HOST)
    context = ssl.create_default_context(cafile=str(stage.office.authority))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", stage.office.settings.port)) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.version() == "TLSv1.3"
    with socket.create_connection(("127.0.0.1", stage.office.settings.port), _WAIT_S) as plain:
        plain.sendall(spell())
        answer = plain.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert stage.recorder.arrived == []


def test_one_address_has_so_many_requests_at_once(stage):
    stage.recorder.slow_s = 2.0
    statuses = []

    def knock():
        statuses.append(status_of(send(stage.office, spell())))

    threads = [threading.Thread(target=knock) for _ in range(CONNECTIONS_PER_ADDRESS + 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(200), statuses.count(429)) == (CONNECTIONS_PER_ADDRESS, 10)


def test_a_flood_is_slowed_and_polls_are_not(stage):
    request = spell(headers="Content-Type: application/protobuf\r\n")

    def ask(times: int) -> float:
        begin = time.monotonic()
        with open_tls(stage.office) as connection:
            for _ in range(times):
                connection.sendall(request)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        return time.monotonic() - begin

    assert ask(100) < 1.0
    assert ask(500) > 500 / REQUESTS_PER_S - 2.0


def test_a_flood_of_what_is_no_links_is_cut_off_and_does_not_fill_the_log(stage):
    """Three senders of long nonsense: a hospital is answered meanwhile, and the log keeps what it did."""
    send(stage.office, spell("/v1/fleet/push-messages", body=b"a secret"))
    nonsense = b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    statuses: list[int] = []
    end = time.monotonic() + 3.0

    def flood():
        while time.monotonic() < end:
            with suppress(OSError), open_tls(stage.office) as connection:
                while time.monotonic() < end:
                    connection.sendall(nonsense)
                    status = status_of(connection.recv(65536))
                    statuses.append(status)
                    if not status:
                        break

    threads = [threading.Thread(target=flood) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert [status_of(send(stage.office, spell())) for _ in range(3)] == [200] * 3
    for thread in threads:
        thread.join()
    assert statuses.count(404) <= 20 + 1 + 4 * REFUSED_PER_S
    assert statuses.count(0) > 100
    log = locate_nginx_files(stage.office).log.read_text()
    assert "push-messages" in log
    assert 20 <= log.count('aaa..." status=404') <= 30
    assert len(log) < 30_000


def test_ipv6_is_counted_by_its_network(tmp_path):
    """Three addresses: two of one /64, one of another; each /64 has its requests at once."""
    office = make_office(tmp_path, find_free_port())
    recorder = Recorder(slow_s=1.0)
    addresses = ("fd00:5:5:5::1", "fd00:5:5:5::2", "fd00:5:5:6::1")
    for address in addresses:
        subprocess.run(["ip", "addr", "add", f"{address}/128", "dev", "lo"], check=True)
    try:
        with listen(office.fleet_socket, recorder), run_nginx(office):
            statuses: dict[str, list[int]] = {address: [] for address in addresses}
            context = ssl.create_default_context(cafile=str(office.authority))

            def knock(address: str) -> None:
                with (
                    socket.create_connection((address, office.settings.port), 10.0, (address, 0)) as plain,
                    context.wrap_socket(plain, server_hostname=HOST) as connection,
                ):
                    connection.sendall(spell())
                    statuses[address].append(status_of(connection.recv(65536)))

            threads = [
                threading.Thread(target=knock, args=(address,))
                for address in addresses
                for _ in range(CONNECTIONS_PER_ADDRESS * 2 // 3)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            both = [*statuses[addresses[0]], *statuses[addresses[1]]]
            assert (both.count(200), both.count(429)) == (
                CONNECTIONS_PER_ADDRESS,
                len(both) - CONNECTIONS_PER_ADDRESS,
            )
            assert set(statuses[addresses[2]]) == {200}
    finally:
        for address in addresses:
            subprocess.run(["ip", "addr", "del", f"{address}/128", "dev", "lo"], check=True)


def test_who_sends_slowly_is_cut_off(tmp_path, monkeypatch):
    """With the times of the configuration shortened, which another test reads."""
    write = nginx_process.write_own_configuration
    monkeypatch.setattr(
        nginx_process,
        "write_own_configuration",
        lambda *given: (
            write(*given)
            .replace("client_header_timeout 10s", "client_header_timeout 1s")
            .replace("client_body_timeout 30s", "client_body_timeout 1s")
        ),
    )
    office = make_office(tmp_path, find_free_port())
    recorder = Recorder()
    with listen(office.fleet_socket, recorder), run_nginx(office):
        recorder.arrived.clear()
        for slow in (b"", b"POST /v1", spell()[:60], spell()[:-1]):
            begin = time.monotonic()
            with open_tls(office) as connection, suppress(OSError):
                connection.sendall(slow)
                while connection.recv(4096):
                    pass
            assert 0.5 < time.monotonic() - begin < 4.0
        # A letter now and then does not help a header; no open connection hides another's request
        with open_tls(office) as slow, suppress(OSError):
            for letter in spell()[:40]:
                slow.sendall(bytes([letter]))
                time.sleep(0.1)
        assert recorder.arrived == []
        assert status_of(send(office, spell())) == 200


def test_only_hospitals_with_a_certificate_enter_where_that_is_wanted(tmp_path):
    authority = create_authority("hospitals")
    (tmp_path / "clients.crt").write_bytes(authority.certificate_pem)
    office = make_office(tmp_path, find_free_port())
    recorder = Recorder()
    with listen(office.fleet_socket, recorder), run_nginx(office, tmp_path / "clients.crt"):
        recorder.arrived.clear()
        assert status_of(send(office, spell())) == 400
        assert recorder.arrived == []
        for issuer, status in ((create_authority("hospitals"), 400), (authority, 200)):
            context = ssl.create_default_context(cafile=str(office.authority))
            context.load_cert_chain(issue_client_certificate(issuer, tmp_path / "client.pem"))
            with (
                socket.create_connection(("127.0.0.1", office.settings.port), _WAIT_S) as plain,
                context.wrap_socket(plain, server_hostname=HOST) as connection,
            ):
                connection.sendall(spell())
                assert status_of(connection.recv(65536)) == status
    assert len(recorder.arrived) == 1


def issue_client_certificate(authority: CertifiedKey, path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hospital a")]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(authority.key, hashes.SHA384())
    )
    path.write_bytes(CertifiedKey(certificate, key).certificate_pem + CertifiedKey(certificate, key).key_pem)
    return path


def test_a_renewed_certificate_is_read_without_an_interruption(stage):
    authority = create_authority("renewed")
    server = issue_server_certificate(authority, [HOST, "127.0.0.1"])
    stage.recorder.slow_s = 1.0
    with open_tls(stage.office) as before:
        before.sendall(spell())
        wait_for(lambda: len(stage.recorder.arrived) == 1)
        for path, content in (
            (stage.office.authority, authority.certificate_pem),
            (stage.office.certificate_key, server.key_pem),
            (stage.office.certificate, server.certificate_pem),
        ):
            path.write_bytes(content)
        process = stage.nginx.child.process.pid
        stage.nginx.look_after()
        wait_for(lambda: _is_open(stage.office))
        assert status_of(before.recv(65536)) == 200
    assert stage.nginx.child.process.pid == process
    # Half of a pair is no reason to stop
    stage.office.certificate_key.write_bytes(create_authority("other").key_pem)
    stage.nginx.look_after()
    time.sleep(0.3)
    assert _is_open(stage.office)


def test_a_killed_nginx_is_started_again_until_it_dies_again_and_again(stage):
    with adopt_descendants():
        for _ in range(5):
            stage.nginx.child.process.kill()
            stage.nginx.child.process.wait()
            stage.nginx.look_after()
            assert status_of(send(stage.office, spell())) == 200
        stage.nginx.child.process.kill()
        stage.nginx.child.process.wait()
        with pytest.raises(ExchangeError, match="died 6 times in a row"):
            stage.nginx.look_after()


def test_a_port_that_is_taken_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        office = make_office(tmp_path, other.getsockname()[1])
        with (
            pytest.raises(ExchangeError, match=r"port \d+: bind\(\) .* failed \(98: .*--port.*loopback"),
            open_gateway(office, GatewayMode.NGINX),
        ):
            pass


def test_a_configuration_that_nginx_refuses_is_told(tmp_path):
    office = make_office(tmp_path, find_free_port())
    office.certificate_key.write_bytes(create_authority("other").key_pem)
    with pytest.raises(ExchangeError, match=r"nginx refuses .*nginx.conf: .*key"), run_nginx(office):
        pass
    with pytest.raises(StorageError, match="client-authority"), run_nginx(office, tmp_path / "nothing"):
        pass


def test_an_expired_certificate_is_told_with_the_command_that_renews_it(tmp_path, monkeypatch):
    office = make_office(tmp_path, find_free_port())
    with monkeypatch.context() as patch:
        patch.setattr("server.provision.authority._LIFETIME", timedelta(hours=-1))
        renew_certificate(office)
    with (
        pytest.raises(ExchangeError, match=r"will not accept .*expired.* -> rhe-server certify"),
        open_gateway(office, GatewayMode.NGINX),
    ):
        pass
    renew_certificate(office)
    with open_gateway(office, GatewayMode.NGINX):
        pass


def test_the_log_tells_who_asked_what_and_no_body(stage):
    send(stage.office, spell("/v1/fleet/push-messages", body=b"a secret"))
    send(stage.office, spell("/v1/control/start-run?\x1b[31m"))
    send(stage.office, spell())
    log = locate_nginx_files(stage.office).log
    wait_for(lambda: "start-run" in log.read_text())
    pushed, refused = (line for line in log.read_text().splitlines() if '"POST' in line)
    request = r"127.0.0.1 \"POST /v1/fleet/push-messages HTTP/1.1\" status=200 in=\d+ out=\d+ s=\S+"
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\S+ {request}", pushed)
    assert "status=404" in refused or "status=400" in refused
    assert "\x1b" not in refused
    assert "secret" not in log.read_text()
    assert (log.stat().st_mode & 0o777, log.parent.stat().st_mode & 0o077) == (0o600, 0)


def test_an_administrators_own_nginx_lets_the_same_through(tmp_path):
    """The printed configuration in front of the SuperLink's TLS on 127.0.0.1."""
    office = make_office(tmp_path, find_free_port())
    recorder = Recorder()
    port = find_free_port()
    text = write_external_configuration(office, f"127.0.0.1:{port}")
    for name in ("authority.crt", "server.crt", "server.key"):
        text = text.replace(f"/etc/nginx/rhe/{name}", str(office.authority.with_name(name)))
    text = text.replace("/var/log/nginx/rhe.log", str(tmp_path / "rhe.log"))
    for change in ("ssl_certificate ", "ssl_certificate_key ", "proxy_ssl_trusted_certificate "):
        text = re.sub(rf"{change}(.*);", rf'{change}"\1";', text)
    folder = tmp_path / "system"
    folder.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "rhe.conf").write_text(text)
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{ include {folder}/rhe.conf; }}\n"
    )
    public = replace(office, settings=office.settings.model_copy(update={"port": port}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(office.certificate, office.certificate_key)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", office.settings.port)))
        inner = stack.enter_context(context.wrap_socket(listener, server_side=True))
        threading.Thread(target=recorder.serve, args=(inner,), daemon=True).start()
        stack.callback(partial(inner.shutdown, socket.SHUT_RDWR))
        command = [nginx_process.find_nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf")]
        process = stack.enter_context(subprocess.Popen(command))
        stack.callback(process.terminate)
        wait_for(lambda: _is_open(public))
        for call in FLEET_CALLS:
            assert status_of(send(public, spell(f"{FLEET_PREFIX}{call}"))) == 200
        assert len(recorder.arrived) == len(FLEET_CALLS)
        recorder.arrived.clear()
        for spelling in list_spellings():
            assert status_of(send(public, spelling.request)) != 200, spelling.name
        assert recorder.arrived == []
