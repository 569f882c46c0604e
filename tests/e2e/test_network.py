"""What the built file does for who comes back over TLS, and what it tells browsers."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from tests.e2e.running import Running

REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@attrs.frozen
class Visit:
    resumed: bool | None
    session: ssl.SSLSession | None
    answer: bytes


def context(running: Running, version: ssl.TLSVersion, *alpn: str) -> ssl.SSLContext:
    made = running.ssl_context()
    made.minimum_version = made.maximum_version = version
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


def visit(running: Running, tls: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Visit:
    raw = socket.create_connection(("127.0.0.1", running.port), PATIENCE)
    with tls.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as sock:
        sock.sendall(REQUEST)
        answer = b""
        while more := sock.recv(65_536):
            answer += more
        return Visit(sock.session_reused, sock.session, answer)


@pytest.mark.parametrize(
    ("version", "alpn", "resumes"),
    [
        (ssl.TLSVersion.TLSv1_3, ("http/1.1",), True),
        (ssl.TLSVersion.TLSv1_3, (), False),
        (ssl.TLSVersion.TLSv1_2, ("http/1.1",), True),
        (ssl.TLSVersion.TLSv1_2, (), True),
    ],
)
def test_who_comes_back_resumes_its_session(
    appliance: Running, version: ssl.TLSVersion, alpn: tuple[str, ...], *, resumes: bool
) -> None:
    tls = context(appliance, version, *alpn)
    first = visit(appliance, tls)
    assert first.answer.startswith(b"HTTP/1.1 200")
    assert first.resumed is False
    assert first.session is not None
    assert first.session.has_ticket is resumes
    assert visit(appliance, tls, first.session).resumed is resumes


def test_browsers_are_told_to_come_by_tls(appliance: Running) -> None:
    head = visit(appliance, context(appliance, ssl.TLSVersion.TLSv1_3)).answer.partition(b"\r\n\r\n")[0]
    assert b"\r\nstrict-transport-security: max-age=31536000" in head
    assert b"\r\ncache-control: no-store" in head
    assert b"set-cookie" not in head.lower()
