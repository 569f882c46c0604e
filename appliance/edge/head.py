"""The head of an HTTP/1 request, read only as far as it takes to route a connection.

Must not judge more than that: whoever serves the request parses it in full.
"""

from __future__ import annotations

import re

import attrs

END = b"\r\n\r\n"
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
TLS_RECORD = b"\x16\x03"
"""How a TLS hello begins: on a plain port, a client that took it for a TLS one."""

_METHODS = (
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI ",
)

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_TEXT = re.compile(rb"[\x00\r\n]")
"""What others may take for the end of a line: a head that has it could be read in two ways."""
_VERSION = re.compile(rb"HTTP/1\.[0-9]")

_OF_UPGRADES = {
    b"connection",
    b"host",
    b"sec-websocket-extensions",
    b"sec-websocket-key",
    b"sec-websocket-protocol",
    b"sec-websocket-version",
    b"upgrade",
}


@attrs.frozen
class Head:
    """What routing needs: the target, and the headers with lower-case names."""

    method: bytes
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    version: bytes = b"HTTP/1.1"

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def get(self, name: bytes) -> bytes | None:
        return next((value for header, value in self.headers if header == name), None)

    def count(self, name: bytes) -> int:
        return sum(header == name for header, _ in self.headers)

    def tokens(self, name: bytes) -> frozenset[bytes]:
        """Give the comma-separated tokens of all headers of a name, in lower case."""
        values = (value for header, value in self.headers if header == name)
        return frozenset(token.strip().lower() for value in values for token in value.split(b","))

    def offers(self, subprotocol: bytes) -> bool:
        """Whether a client speaks this; capital letters make another name."""
        values = (value for header, value in self.headers if header == b"sec-websocket-protocol")
        return any(token.strip() == subprotocol for value in values for token in value.split(b","))

    @property
    def is_plain(self) -> bool:
        """Whether all that an upgrade is judged by can be decoded, which its parser takes for granted."""
        judged = (value for header, value in self.headers if header in _OF_UPGRADES)
        try:
            (self.get(b"host") or b"").decode("idna")
        except UnicodeError:
            return False
        return self.target.isascii() and all(value.isascii() for value in judged)

    @property
    def wants_websocket(self) -> bool:
        return (
            self.method == b"GET"
            and b"websocket" in self.tokens(b"upgrade")
            and b"upgrade" in self.tokens(b"connection")
        )


def begins_like_http(data: bytes) -> bool:
    """Whether what a peer sent so far can be the beginning of a request."""
    return any(data.startswith(method) or method.startswith(data) for method in _METHODS)


def parse(data: bytes) -> Head | None:
    """Parse a whole head, END included; None when it is none."""
    first, *lines = data.removesuffix(END).split(b"\r\n")
    parts = first.split(b" ")
    if len(parts) != 3 or not _VERSION.fullmatch(parts[2]) or _NO_TEXT.search(first):  # noqa: PLR2004 - method, target, version
        return None
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        if not _NAME.fullmatch(name) or b":" not in line or _NO_TEXT.search(value):
            return None
        headers.append((name.lower(), value.strip()))
    return Head(parts[0], parts[1].decode("latin-1"), tuple(headers), parts[2])
