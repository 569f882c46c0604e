"""Where a listener listens: `tls://HOST:PORT`, `tcp://HOST:PORT` (plain) or `unix:PATH`.

Must not know sockets: whether the address exists on this machine shows when it is opened.
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Literal, cast

import attrs

_FORMS = "tls://HOST:PORT, tcp://HOST:PORT or unix:PATH"
_NETWORK = re.compile(r"(?P<kind>tls|tcp)://(?P<rest>.*)", re.DOTALL)
_HOST_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*):(?P<port>0|[1-9]\d*)", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
_MOST_PORT = 65_535
_MOST_PATH = 107
"""Bytes of a path that Linux takes for a Unix socket."""


@attrs.frozen
class Address:
    """One place to listen on. `host` and `port` are those of tls and tcp, `path` that of unix."""

    kind: Literal["tls", "tcp", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, url: str) -> Address:
        """The address that a URL names; ValueError says what is wrong and what is right."""
        if url.startswith("unix:"):
            return cls("unix", path=_path(url))
        scheme = _NETWORK.fullmatch(url)
        if not scheme:
            raise ValueError(f"expected {_FORMS}, found {url!r}{_hint(url)}")
        kind, rest = cast('Literal["tls", "tcp"]', scheme["kind"]), scheme["rest"]
        found = _HOST_PORT.fullmatch(rest)
        if not found:
            raise ValueError(f"{url!r}: {_why(rest, kind)}")
        if len(found["port"]) > len(str(_MOST_PORT)) or int(found["port"]) > _MOST_PORT:
            raise ValueError(f"{url!r}: a port is a number from 0 (any free one) to {_MOST_PORT}")
        return cls(kind, _host(found["host"], url), int(found["port"]))

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"


def _path(url: str) -> str:
    path = url.removeprefix("unix:")
    if path.startswith("//"):
        raise ValueError(f"{url!r}: write unix:PATH, as in unix:/run/appliance/socket, without //")
    if not path or "\0" in path:
        raise ValueError(f"{url!r}: a path follows unix:, as in unix:/run/appliance/socket")
    if len(os.fsencode(path)) > _MOST_PATH:
        raise ValueError(f"{url!r}: the path of a Unix socket has at most {_MOST_PATH} bytes")
    return path


def _host(text: str, url: str) -> str:
    if text.startswith("["):
        try:
            ipaddress.IPv6Address(text[1:-1])
        except ValueError:
            raise ValueError(f"{url!r}: {text} is not an IPv6 address, as [::1] is") from None
        return text[1:-1]
    if not text:
        raise ValueError(f"{url!r}: the host is missing; 0.0.0.0 or [::] listens on all addresses")
    if not _NAME.fullmatch(text):
        raise ValueError(f"{url!r}: {text!r} is neither a host name nor an address")
    return text


def _why(rest: str, kind: str) -> str:
    """Why what follows `//` is no HOST:PORT."""
    if re.search(r"\d/", rest):
        return f"nothing follows the port; expected {kind}://HOST:PORT"
    if rest.count(":") > 1 and "[" not in rest:
        return f"an IPv6 address stands in brackets, as in {kind}://[::1]:8443"
    return f"expected {kind}://HOST:PORT, with a port from 0 (any free one) to {_MOST_PORT}"


def _hint(url: str) -> str:
    scheme = url.partition(":")[0].lower()
    if scheme in ("https", "wss", "tls", "ssl"):
        return "; write tls:// for wss and https"
    if scheme in ("http", "ws", "tcp"):
        return "; write tcp:// for ws and http without TLS"
    return ""
