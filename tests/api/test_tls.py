"""TLS: a server whose certificate nobody vouches for is told nothing."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from hisync.api import HiTask
from hisync.errors import UnreachableError


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """The port of a TLS server with a certificate of its own making, and what it was told."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    command = [openssl, "req", "-x509", *new, *subject, "-keyout", str(key)]
    command += ["-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    heard: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            with suppress(OSError), closing(server.accept()[0]) as plain:
                plain.settimeout(5)
                with context.wrap_socket(plain, server_side=True) as secure:
                    heard.append(secure.recv(4096))

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_certificate_that_nobody_vouches_for_is_not_taken(told: tuple[int, list[bytes]]) -> None:
    port, heard = told
    base_url = f"https://localhost:{port}/api"
    with (
        HiTask(base_url=base_url, login="ann", password="secret", api_key="key") as api,
        pytest.raises(UnreachableError, match=r"(?i)certificate"),
    ):
        api.fetch_items()
    assert heard == []
