"""Values that are right by themselves and wrong together.

Must not know the machine: whether a file exists or a port is free shows at the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from appliance.settings.address import Address

if TYPE_CHECKING:
    from appliance.settings.paths import Step

Problem = tuple[tuple["Step", ...], str]
_KEY_SOURCES = (("secret", "secret_file"), ("public_key_file",), ("jwks_url",))


def clashes(table: Mapping[str, Any]) -> Iterator[Problem]:
    """Look at the table as it was read, so that a mistake elsewhere hides nothing here."""
    yield from _listeners(table)
    yield from _keys(table)
    yield from _tokens(table)
    yield from _certificates(table)
    tls = _table(table, "tls")
    for one, other in (("certificate", "key"), ("key", "certificate")):
        if one in tls and other not in tls:
            yield (
                ("tls", one),
                f"needs `{other}` beside it; give both, or neither for a self-signed one",
            )


def configured_names(table: Mapping[str, Any]) -> set[str]:
    """The names of the API keys that the table holds."""
    names = (key.get("name") for key in _tables(_table(table, "auth"), "keys"))
    return {str(name) for name in names if name is not None}


def _listeners(table: Mapping[str, Any]) -> Iterator[Problem]:
    seen: dict[Address, int] = {}
    for index, listener in enumerate(_tables(table, "listen")):
        if listener.get("proxy_protocol", "off") != "off" and not listener.get("proxies"):
            yield (
                ("listen", index, "proxy_protocol"),
                'needs `proxies` beside it: the networks that may say who a client is, as ["10.0.0.0/8"]',
            )
        try:
            address = Address.parse(str(listener.get("url")))
        except ValueError:
            continue
        if address in seen:
            yield (
                ("listen", index, "url"),
                f"is the same as that of listen[{seen[address]}]; give each its own",
            )
        # Port 0 is a free port each time.
        elif address.kind == "unix" or address.port:
            seen[address] = index


def _keys(table: Mapping[str, Any]) -> Iterator[Problem]:
    seen: dict[Any, int] = {}
    for index, key in enumerate(_tables(_table(table, "auth"), "keys")):
        place = ("auth", "keys", index)
        if not {"key", "key_file"} & key.keys():
            yield place, "needs `key`, or `key_file` with the file that holds it"
        name = key.get("name")
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            yield (*place, "name"), f"is the same as that of auth.keys[{seen[name]}]; give each its own"


def _tokens(table: Mapping[str, Any]) -> Iterator[Problem]:
    seen: dict[Any, int] = {}
    for index, entry in enumerate(_tables(_table(table, "auth"), "tokens")):
        place = ("auth", "tokens", index)
        sources = [name for name in _KEY_SOURCES if entry.keys() & set(name)]
        if len(sources) != 1:
            yield place, "needs one of `secret_file` (or `secret`), `public_key_file` and `jwks_url`"
        if "jwks_url" in entry:
            # Else every token of that issuer would do, whatever it was made for.
            yield from (
                (place, f"needs `{name}` beside `jwks_url`")
                for name in ("issuer", "audience")
                if not entry.get(name)
            )
        name = entry.get("name")
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            yield (*place, "name"), f"is the same as that of auth.tokens[{seen[name]}]; give each its own"


def _certificates(table: Mapping[str, Any]) -> Iterator[Problem]:
    certificates = _tables(_table(table, "auth"), "certificates")
    for index, entry in enumerate(certificates):
        if not entry.get("subject") and not entry.get("names"):
            yield ("auth", "certificates", index), "needs `subject` or `names`, or it would be everybody's"
    asking = False
    for index, listener in enumerate(_tables(table, "listen")):
        if listener.get("client_certificates", "off") == "off":
            continue
        asking, place = True, ("listen", index, "client_certificates")
        if not str(listener.get("url", "")).startswith("tls://"):
            yield place, "needs a `tls://` listener: certificates are shown in the handshake of TLS"
        if "client_ca" not in _table(table, "tls"):
            yield place, "needs `client_ca` in [tls]: the authorities that may vouch for clients"
    if certificates and not asking:
        yield (
            ("auth", "certificates"),
            'needs a listener that asks for them: client_certificates = "optional" or "required"',
        )


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key)
    return value if isinstance(value, Mapping) else {}


def _tables(table: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The items of a list of tables; an item that is no table counts as an empty one."""
    value = table.get(key)
    items = value if isinstance(value, list) else []
    return [item if isinstance(item, Mapping) else {} for item in items]
