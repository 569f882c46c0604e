"""The start message: where the appliance listens, how it is opened, and a line to paste.

The key itself is shown to a terminal only: elsewhere the message would be a log, and the key's file is named instead.
"""

from __future__ import annotations

import contextlib
import shlex
from typing import TYPE_CHECKING, TextIO

import attrs

from appliance.ops.network import ANYWHERE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.settings.address import Address


@attrs.frozen(kw_only=True)
class Greeting:
    """What there is to tell. `key` is the one that the appliance made itself; `trusted` a certificate of the user's."""

    addresses: tuple[Address, ...]
    key: str | None = attrs.field(repr=False)
    key_file: Path | None
    certificate: Path | None
    fingerprint: str | None
    trusted: bool


def show(greeting: Greeting, stream: TextIO | None) -> None:
    """Write the message, in one piece so that no log line cuts it; there may be nobody to read it."""
    if stream is not None:  # as when the process is started with its standard output closed
        with contextlib.suppress(OSError):
            stream.write("\n".join(lines(greeting, terminal=stream.isatty())) + "\n")
            stream.flush()


def lines(greeting: Greeting, *, terminal: bool) -> Iterator[str]:
    yield "The stream appliance is up."
    yield ""
    for address in greeting.addresses:
        yield f"  {_label(address)}{_url(address)}"
        if address.kind != "unix":
            yield f"  page         {_page(greeting, address, terminal=terminal)}"
    if greeting.key is not None:
        yield f"  key          {greeting.key if terminal else greeting.key_file}"
    if greeting.fingerprint is not None:
        yield f"  certificate  SHA-256 {greeting.fingerprint}"
    yield ""
    yield "See the market move:"
    yield ""
    yield f"  {_curl(greeting)}"
    yield ""


def _label(address: Address) -> str:
    return "socket       " if address.kind == "unix" else "WebSocket    "


def _url(address: Address) -> str:
    if address.kind == "unix":
        return address.path
    scheme = "wss" if address.kind == "tls" else "ws"
    return f"{scheme}://{_host(address)}:{address.port}/ws"


def _page(greeting: Greeting, address: Address, *, terminal: bool) -> str:
    """The page; in a terminal with the key in the fragment, which browsers keep to themselves."""
    scheme = "https" if address.kind == "tls" else "http"
    key = f"#key={greeting.key}" if terminal and greeting.key is not None else ""
    return f"{scheme}://{_host(address)}:{address.port}/{key}"


def _host(address: Address) -> str:
    host = "localhost" if address.host in ANYWHERE else address.host
    return f"[{host}]" if ":" in host else host


def _curl(greeting: Greeting) -> str:
    address = greeting.addresses[0]
    words = ["curl", "-N"]
    if address.kind == "tls" and greeting.certificate is not None and not greeting.trusted:
        words += ["--cacert", shlex.quote(str(greeting.certificate))]
    if address.kind == "unix":
        words += ["--unix-socket", shlex.quote(address.path)]
    if greeting.key_file is not None:
        words.append(f'-H "Authorization: Bearer $(cat {shlex.quote(str(greeting.key_file))})"')
    scheme = "https" if address.kind == "tls" else "http"
    place = "localhost" if address.kind == "unix" else f"{_host(address)}:{address.port}"
    return " ".join([*words, f'"{scheme}://{place}/sse?channels=price:*"'])
