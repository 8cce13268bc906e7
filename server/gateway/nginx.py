"""nginx as the coordinator's child process: checked, started, reloaded, ended."""

from __future__ import annotations

import http.client
import logging
import os
import re
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from common.errors import ExchangeError, StorageError
from common.runtime.processes import LOOPBACK, Child, start_child, stop_child
from common.runtime.storage import make_private_folder, write_atomically
from server.gateway.nginx_configuration import locate_nginx_files, write_own_configuration
from server.provision.office import Office

_log = logging.getLogger(__name__)

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin")
"""Where distributions put nginx outside a user's PATH."""
_OTHERWISE = "start with --gateway external (a proxy of your own) or loopback (this machine alone)"
_FORBIDDEN = "failed (13: Permission denied)"
_POLL_S = 0.1
_START_S = 15.0
_CHECK_S = 15.0
_RESTARTS = 5
_RESTART_WINDOW_S = 300.0


class NginxGateway:
    """A running nginx before the SuperLink of one study.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    client_authority : Path or None
        Certificate authority whose certificates hospitals have to show; None: they show none.
    """

    def __init__(self, office: Office, client_authority: Path | None) -> None:
        self._office = office
        self._client_authority = client_authority
        self._files = locate_nginx_files(office)
        self._program = find_nginx()
        self._certificates = self._stat_certificates()
        self._deaths: list[float] = []
        self._child = self._start()

    @property
    def child(self) -> Child:
        """The process that runs now."""
        return self._child

    def look_after(self) -> None:
        """Start nginx again if it died, and let it read certificates that changed.

        Raises
        ------
        ExchangeError
            If it died again and again, or does not start.
        """
        if not self._child.running:
            self._restart()
        certificates = self._stat_certificates()
        if certificates != self._certificates:
            self._certificates = certificates
            self._reload()

    def close(self) -> None:
        """End nginx and its workers."""
        stop_child(self._child)

    def _start(self) -> Child:
        make_private_folder(self._files.folder)
        text = write_own_configuration(self._office, self._client_authority)
        write_atomically(self._files.configuration, text.encode(), private=True)
        self._check()
        child = start_child("nginx", self._command(), log=self._files.log)
        try:
            self._wait(child)
        except BaseException:
            stop_child(child)
            raise
        return child

    def _command(self, *options: str) -> list[str]:
        return [self._program, "-p", str(self._files.folder), "-c", str(self._files.configuration), *options]

    def _check(self) -> None:
        """Let nginx judge its configuration.

        Raises
        ------
        ExchangeError
            If it refuses; with nginx's reason.
        """
        try:
            done = subprocess.run(
                self._command("-t", "-q"),
                capture_output=True,
                check=False,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=_CHECK_S,
            )
        except subprocess.TimeoutExpired:
            raise ExchangeError(f"{self._program} -t does not end -> {_OTHERWISE}") from None
        if done.returncode:
            reason = _find_reason(done.stderr)
            port = self._office.settings.port
            remedy = f"take a port from 1024 on instead of {port}" if _FORBIDDEN in reason else "mend that"
            raise ExchangeError(
                f"nginx refuses {self._files.configuration}: {reason} -> {remedy}, or {_OTHERWISE}"
            )

    def _wait(self, child: Child) -> None:
        """Until nginx answers.

        Raises
        ------
        ExchangeError
            If it ends before, or does not answer in time.
        """
        port = self._office.settings.port
        deadline = time.monotonic() + _START_S
        while (trouble := _find_trouble(self._office)) is not None:
            if trouble:
                raise ExchangeError(trouble)
            if not child.running:
                reason = _find_reason(child.tail())
                raise ExchangeError(
                    f"nginx does not start on port {port}: {reason} -> end what listens there, take another "
                    f"port (--port), or {_OTHERWISE}"
                )
            if time.monotonic() > deadline:
                raise ExchangeError(f"nginx does not answer on {LOOPBACK}:{port} -> see {self._files.log}")
            time.sleep(_POLL_S)
        # Whoever answered may be another program: nginx tries to bind for two seconds before it gives up
        if not child.running:
            raise ExchangeError(f"port {port} belongs to another program -> end it, or take another (--port)")

    def _restart(self) -> None:
        now = time.monotonic()
        self._deaths = [*(death for death in self._deaths if now - death < _RESTART_WINDOW_S), now]
        if len(self._deaths) > _RESTARTS:
            raise ExchangeError(f"nginx died {len(self._deaths)} times in a row -> see {self._files.log}")
        status = self._child.process.returncode
        _log.warning("nginx died (%s) and is started again; hospitals come back by themselves", status)
        _end_orphans()
        self._child = self._start()

    def _reload(self) -> None:
        try:
            self._check()
        except ExchangeError as refusal:
            _log.warning("nginx keeps the certificate of before: %s", refusal)
            return
        self._child.process.send_signal(signal.SIGHUP)
        _log.info("nginx reads the certificates again")

    def _stat_certificates(self) -> tuple[tuple[int, int], ...]:
        """When each certificate file was changed, and its number: a file that was replaced has another."""
        paths = [self._office.certificate, self._office.certificate_key, self._client_authority]
        found = []
        for path in paths:
            with suppress(OSError):
                if path is not None:
                    status = path.stat()
                    found.append((status.st_mtime_ns, status.st_ino))
        return tuple(found)


@contextmanager
def run_nginx(office: Office, client_authority: Path | None = None) -> Iterator[NginxGateway]:
    """A context in which nginx stands before the SuperLink's Unix socket, on the study's port.

    Parameters
    ----------
    office : Office
        The coordinator's folder of the study.
    client_authority : Path, optional
        Certificate authority, PEM, whose certificates hospitals have to show.

    Raises
    ------
    ExchangeError
        If nginx is not installed, refuses its configuration, or does not come up.
    StorageError
        If the client authority's file cannot be read.
    """
    if client_authority is not None and not os.access(client_authority, os.R_OK):
        raise StorageError(
            f"--client-authority {client_authority}: cannot be read -> a certificate file (PEM)"
        )
    gateway = NginxGateway(office, client_authority)
    try:
        yield gateway
    finally:
        gateway.close()


def find_nginx() -> str:
    """Path of the nginx program.

    Raises
    ------
    ExchangeError
        If there is none.
    """
    program = _search_nginx()
    if program is None:
        raise ExchangeError(
            "nginx is not installed -> apt install nginx-light, or dnf install nginx (its own service may "
            f"stay off); or {_OTHERWISE}"
        )
    return program


def is_installed() -> bool:
    """Whether this machine has the nginx program."""
    return _search_nginx() is not None


def _search_nginx() -> str | None:
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_PLACES]))


def _find_trouble(office: Office) -> str | None:
    """None if something with this study's certificate answers; else why it never will, or ""."""
    context = ssl.create_default_context(cafile=str(office.authority))
    connection = http.client.HTTPSConnection(LOOPBACK, office.settings.port, timeout=2.0, context=context)
    try:
        connection.request("GET", "/health")
        connection.getresponse()
    except ssl.SSLCertVerificationError as failure:
        return (
            f"{office.certificate}: hospitals will not accept this certificate ({failure.verify_message}) -> "
            f"rhe-server certify {office.folder}"
        )
    except (OSError, http.client.HTTPException):
        return ""
    else:
        return None
    finally:
        connection.close()


def _find_reason(output: str) -> str:
    """The first complaint for which nginx gave up, without its process number and the time."""
    lines = output.strip().splitlines() or ["no reason given"]
    complaint = next((line for line in lines if "[emerg]" in line), lines[-1])
    return re.sub(r"^.*?\[[a-z]+\] (?:\d+#\d+: )?", "", complaint)


def _end_orphans() -> None:
    """End workers that outlived the nginx that started them; they still hold its port."""
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if process.name() == "nginx":
                process.kill()
                process.wait(3.0)
