"""Kept keys as people and programs read them: never what opens, not even as a digest.

Must not know where they are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from appliance.cli.moments import told
from appliance.core.instants import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from appliance.access.keyring import KeptKey

_HEADS = ("ID", "NAME", "STATE", "CREATED", "EXPIRES", "LAST USED", "MAY READ", "MAY PUBLISH INTO")
_DAY = len("2030-01-31")


def as_json(keys: Iterable[KeptKey], uses: Mapping[str, float], now: float) -> str:
    found = [_fields(key, uses, now) for key in keys]
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def as_table(keys: Iterable[KeptKey], uses: Mapping[str, float], now: float) -> Iterator[str]:
    rows = [_HEADS, *(_row(key, uses, now) for key in keys)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def in_full(key: KeptKey, uses: Mapping[str, float], now: float) -> Iterator[str]:
    """Give the lines that say all of a key."""
    yield f"{key.name}, key {key.id}: {key.state(now)}"
    yield f"  created           {told(key.created.timestamp(), now)}"
    if key.expires is not None:
        yield f"  expires           {told(key.expires.timestamp(), now)}"
    if key.revoked is not None:
        yield f"  revoked           {told(key.revoked.timestamp(), now)}"
    used = uses.get(key.id)
    yield f"  last used         {'never, as far as is known' if used is None else told(used, now)}"
    yield f"  may read          {', '.join(key.read) or 'nothing'}"
    yield f"  may publish into  {', '.join(key.publish) or 'nothing'}"
    if key.sessions is not None:
        yield f"  most sessions     {key.sessions}"
    if key.subscriptions is not None:
        yield f"  subscriptions     {key.subscriptions} of a session at most"
    if key.addresses:
        yield f"  may come from     {', '.join(key.addresses)}"
    if key.monitor is not None:
        yield f"  metrics           {'are told' if key.monitor else 'are not told'}"
    for view in key.views:
        yield f"  is shown          {view}"


def _row(key: KeptKey, uses: Mapping[str, float], now: float) -> tuple[str, ...]:
    used = uses.get(key.id)
    return (
        key.id,
        key.name,
        key.state(now),
        timestamp(key.created.timestamp())[:_DAY],
        "-" if key.expires is None else timestamp(key.expires.timestamp())[: _DAY + 6],
        "-" if used is None else timestamp(used)[: _DAY + 6],
        ", ".join(key.read) or "-",
        ", ".join(key.publish) or "-",
    )


def _fields(key: KeptKey, uses: Mapping[str, float], now: float) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(key))
    del fields["digest"]
    used = uses.get(key.id)
    return {**fields, "state": key.state(now), "last_used": None if used is None else timestamp(used)}
