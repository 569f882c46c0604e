"""Who a request comes from, by what proxies have added to its head: `X-Forwarded-For`, or `Forwarded` (RFC 7239).

A proxy writes behind what it was sent, which anybody may have made up. So the list is read from its end, as far as it
names proxies that are trusted: the first other address is the client's, and what stands before it is not looked at.
Must not know which proxies are trusted, nor for which listener.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import attrs

from appliance.core.origins import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from appliance.settings.tree import Forwarded

_MOST_PROXIES: Final = 32
_SCHEMES: Final = frozenset({"http", "https"})
_LONGEST_ADDRESS: Final = 64


class MalformedError(Exception):
    """What a trusted proxy has added cannot be understood."""


@attrs.frozen
class Found:
    """`scheme` is how the client spoke to the proxy, where that says so: http or https."""

    address: str
    scheme: str | None = None


def find(
    header: Forwarded,
    headers: Iterable[tuple[bytes, bytes]],
    address: str,
    trusts: Callable[[str], bool],
) -> Found:
    """Say who a request comes from that came from the trusted proxy at `address`.

    Raises MalformedError. Where there is no such header it is the proxy's own.
    """
    if header == "off":
        return Found(address)
    lines = [(name.lower(), value.decode("latin-1")) for name, value in headers]
    hops = _forwarded(lines) if header == "forwarded" else _listed(lines)
    found = Found(address)
    for found in itertools.islice(hops, _MOST_PROXIES):
        if not trusts(found.address):
            return found
    if next(hops, None) is not None:
        raise MalformedError("there are too many proxies")
    return found


def _listed(lines: Sequence[tuple[bytes, str]]) -> Iterator[Found]:
    """Read `X-Forwarded-For` from its end. The scheme stands in a header of its own, and is that of the last proxy."""
    scheme = _scheme(_joined(lines, b"x-forwarded-proto").rpartition(",")[2].strip())
    text = _joined(lines, b"x-forwarded-for")
    while text:
        text, _, last = text.rpartition(",")
        yield Found(_address(last.strip()), scheme)


def _forwarded(lines: Sequence[tuple[bytes, str]]) -> Iterator[Found]:
    """Read `Forwarded` from its end."""
    for element in _elements(_joined(lines, b"forwarded")):
        pairs = {}
        for pair in _split(element, ";"):
            name, equals, value = pair.strip().partition("=")
            if not equals or name.lower() in pairs:
                raise MalformedError(f"{pair[:_LONGEST_ADDRESS]!r} is no parameter of its own")
            pairs[name.lower()] = _unquoted(value)
        if "for" not in pairs:
            raise MalformedError("a proxy does not say for whom")
        yield Found(_address(pairs["for"]), _scheme(pairs.get("proto", "")))


def _scheme(text: str) -> str | None:
    """Another scheme is as good as none: it may be the client that has written it, and the address still counts."""
    return text.lower() if text.lower() in _SCHEMES else None


def _joined(lines: Sequence[tuple[bytes, str]], wanted: bytes) -> str:
    return ",".join(value for name, value in lines if name == wanted).strip()


def _elements(text: str) -> Iterator[str]:
    """Give the elements from the last to the first: what a trusted proxy has written ends well, whatever begins it."""
    while text:
        text, last = _split_last(text, ",")
        yield last


def _split(text: str, sign: str) -> list[str]:
    """Cut at a sign, but not within quotes."""
    found: list[str] = []
    while text:
        text, last = _split_last(text, sign)
        found.append(last)
    return found


def _split_last(text: str, sign: str) -> tuple[str, str]:
    """Cut at the last sign that is not within quotes."""
    quoted = False
    for place in range(len(text) - 1, -1, -1):
        letter = text[place]
        if letter == '"' and text[place - 1 : place] != "\\":
            quoted = not quoted
        elif letter == sign and not quoted:
            return text[:place], text[place + 1 :]
    if quoted:
        raise MalformedError("a quotation does not begin")
    return "", text


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    if '"' in value:
        raise MalformedError("a quotation does not end")
    return value


def _address(text: str) -> str:
    """Read an address, with a port or without; `unknown` and names that hide one are none."""
    if len(text) > _LONGEST_ADDRESS:
        raise MalformedError("an address is too long")
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        host = host if bracket else ""
    elif text.count(":") == 1:
        host, colon, port = text.partition(":")
        port = colon + port
    else:
        host, port = text, ""
    found = parse(host)
    if found is None or (port and not (port[:1] == ":" and port[1:].isdecimal())):
        raise MalformedError(f"{text!r} is no address")
    return str(found)
