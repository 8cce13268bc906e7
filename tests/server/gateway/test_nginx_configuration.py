"""What is written for nginx, ours and a hospital's own; `make deployment` lets nginx read it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from common.errors import ExchangeError, PlanError, StorageError
from server.gateway import nginx
from server.gateway.fleet_paths import FLEET_CALLS, FLEET_HEADERS, LARGEST_BODY_BYTES
from server.gateway.modes import GatewayMode, choose_mode, open_gateway
from server.gateway.nginx_configuration import write_external_configuration, write_own_configuration
from server.provision.office import OfficeSettings, create_office

PLAN = """
name = "A study;} evil\\n{"
seed = 1
[[sites]]
name = "A"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
"""


@pytest.fixture
def office(tmp_path):
    (tmp_path / "study.toml").write_text(PLAN)
    settings = OfficeSettings(host="study.example.org", port=8443)
    return create_office(tmp_path / "my office", tmp_path / "study.toml", settings)


def find_passing(text: str) -> list[re.Pattern[str]]:
    """The patterns of requests that pass."""
    patterns = re.findall(r'"~(\^(?:POST|GET) [^"]+)" (?:fleet|health);', text)
    return [re.compile(pattern.replace(r"\z", r"\Z")) for pattern in patterns]


def passes(text: str, request: str, host: str = "study.example.org", encoding: str = "", length: str = "6"):
    judged = f"{request}|{host}|{encoding}|{length}"
    return any(pattern.match(judged) for pattern in find_passing(text))


def test_a_links_requests_pass_and_nothing_near_them(office):
    for text in (write_own_configuration(office), write_external_configuration(office, "443")):
        assert len(find_passing(text)) == 2
        for call in FLEET_CALLS:
            exact = f"POST /v1/fleet/{call} HTTP/1.1"
            assert passes(text, exact)
            for host in ("localhost", "127.0.0.1", "study.example.org:8443"):
                assert passes(text, exact, host)
            for host in ("", "studyxexample.org", "study.example.org.", "a", "study.example.org:8443:1"):
                assert not passes(text, exact, host)
            assert not passes(text, exact, encoding="chunked")
            for length in ("", "-6", "+6", "0x6", "6,6", "6\n", "9" * 9):
                assert not passes(text, exact, length=length)
            for other in (
                exact.replace("POST", "GET"),
                exact.replace("1.1", "1.0"),
                exact.upper(),
                f"{exact} ",
            ):
                assert not passes(text, other)
        assert passes(text, "GET /health HTTP/1.1", length="")
        assert not passes(text, "GET /health HTTP/1.1")
        assert not passes(text, "POST /v1/fleet/get-fab HTTP/1.1")


def judges(text: str, name: str, value: str) -> str:
    """What a `map` of the configuration makes of a value; "" if none of its patterns matches."""
    block = re.search(rf"map [^{{]*\{name} \{{(.*?)\n\}}", text, re.DOTALL)
    assert block is not None
    for pattern, result in re.findall(r'^ +"~(.*)" (\S+);$', block[1], re.MULTILINE):
        if re.search(pattern.replace("(?<", "(?P<").replace(r"\z", r"\Z"), value):
            return result
    return ""


def test_floods_are_a_sample_in_the_log_and_a_hospitals_requests_all(office):
    for text in (write_own_configuration(office), write_external_configuration(office, "443")):
        for sample in ("both", "unsigned", "none"):
            for path, status, expected in (
                ("fleet /v1/fleet/pull-messages", 200, "0"),
                ("fleet /v1/fleet/pull-messages", 502, ""),
                ("fleet /v1/fleet/push-messages", 200, ""),
                ("health /health", 200, "0"),
                (" /docs", 404, ""),
                ("fleet /v1/fleet/push-object", 401, "0" if sample == "none" else ""),
                ("fleet /v1/fleet/push-object", 429, "" if sample == "both" else "0"),
                (" /docs", 444, "" if sample == "both" else "0"),
            ):
                assert judges(text, "$rhe_logged", f"{status} {sample} {path}") == expected
        assert judges(text, "$rhe_sender", "\n" * 8 + "b" * 8) == "$rhe_network"
        assert judges(text, "$rhe_sender", "abcd") == ""


def test_bounds_and_secrecy_are_written(office):
    for text in (write_own_configuration(office), write_external_configuration(office, "443")):
        for line in (
            f"client_max_body_size {LARGEST_BODY_BYTES};",
            "client_header_timeout 10s;",
            "client_body_timeout 30s;",
            "proxy_request_buffering off;",
            "proxy_buffering off;",
            "proxy_pass_request_headers off;",
            "server_tokens off;",
            "ssl_protocols TLSv1.2 TLSv1.3;",
            "limit_conn rhe_address 24;",
            "limit_conn rhe_all 512;",
            "lingering_time 5s; # a refused body that goes on counts as a request under way",
            "    limit_req zone=rhe_refused burst=20 nodelay;",
            "limit_req zone=rhe_requests burst=400 delay=200;",
        ):
            assert f"    {line}\n" in text
        assert re.findall(r"limit_(?:req|conn)_zone (\S+)", text) == [
            "$rhe_sender",
            "$server_port",
            *["$rhe_sender"] * 2,
        ]
        for header in FLEET_HEADERS:
            assert f"proxy_set_header {header} $http_{header.replace('-', '_')};" in text
        assert "http2" not in text.replace("HTTP/2", "")
        assert "ssl_verify_client" not in text
        assert "include" not in text


def test_ours_leads_to_the_private_socket_and_lies_in_the_private_folder(office):
    text = write_own_configuration(office)
    assert f'server "unix:{office.fleet_socket}";' in text
    assert "proxy_pass http://rhe_fleet;" in text
    paths = re.findall(r'"(?:unix:)?(/[^"]+)"', text)
    assert all(path.startswith((str(office.folder), str(office.fleet_socket))) for path in paths)


def test_an_administrators_own_verifies_the_studys_server(office):
    text = write_external_configuration(office, "443")
    assert "proxy_pass https://rhe_fleet;" in text
    assert "server 127.0.0.1:8443;" in text
    assert "proxy_ssl_verify on;" in text
    assert "server_name localhost study.example.org 127.0.0.1;" in text
    assert str(office.certificate_key) in text
    # A plan's name is printed in a comment and ends there
    assert '"A study   evil  "' in text.splitlines()[0]


def test_hospitals_certificates_are_asked_for_where_wanted(office, tmp_path):
    ours = write_own_configuration(office, tmp_path / "clients.crt")
    assert f'ssl_client_certificate "{tmp_path / "clients.crt"}";\n    ssl_verify_client on;' in ours
    theirs = write_external_configuration(office, "443", with_client_certificates=True)
    assert "ssl_verify_client on;" in theirs


@pytest.mark.parametrize("listen", ["8443", "127.0.0.1:8443", "0.0.0.0:8443"])
def test_an_own_nginx_does_not_take_the_servers_port(office, listen):
    with pytest.raises(PlanError, match="itself listens on 127.0.0.1:8443"):
        write_external_configuration(office, listen)
    assert "listen 192.0.2.10:8443 ssl;" in write_external_configuration(office, "192.0.2.10:8443")


@pytest.mark.parametrize(
    "listen", ["", "port", "0", "65536", "443;", "443 default_server", "a:443", "[::1]443"]
)
def test_what_is_no_port_is_told(office, listen):
    with pytest.raises(PlanError, match="PORT or ADDRESS:PORT"):
        write_external_configuration(office, listen)


@pytest.mark.parametrize("name", ['a"b', "a$b", "a\\b", "a\nb"])
def test_a_folder_that_nginx_would_misread_is_told(office, name):
    with pytest.raises(StorageError, match="rename the folder"):
        write_own_configuration(
            replace(office, folder=office.folder.parent / name / ".." / office.folder.name / name)
        )


def test_a_missing_nginx_is_told(office, monkeypatch):
    monkeypatch.setattr(nginx.shutil, "which", lambda *_, **__: None)
    with (
        pytest.raises(ExchangeError, match="apt install nginx-light.*--gateway external"),
        open_gateway(office, GatewayMode.NGINX),
    ):
        pass


def test_other_gateways_need_nothing_of_us(office, tmp_path):
    for name in ("external", "loopback"):
        mode = choose_mode(name)
        assert mode.on_loopback
        with open_gateway(office, mode) as look_after:
            look_after()
        with pytest.raises(PlanError, match="for --gateway nginx"), open_gateway(office, mode, tmp_path):
            pass
    assert not choose_mode("nginx").on_loopback
    with pytest.raises(PlanError, match="one of nginx, external, loopback"):
        choose_mode("Nginx")
