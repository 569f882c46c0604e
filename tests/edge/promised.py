"""What the AsyncAPI document promises, held against each message that a client of these tests hears.

A message that it does not describe, or a field, fails the test: describe it in `appliance/dialects/messages/`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from appliance.edge.description import asyncapi
from appliance.edge.ways import Ways
from tests import schemas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema_rs import Draft202012Validator

    from appliance.edge.description.asyncapi import Dialect
    from appliance.settings.tree import Settings


def closed(schema: Any) -> Any:
    """Let no objects have other fields than those described: clients pass over them, tests must not."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **inner} if "properties" in inner else inner


class Promise:
    """Of one dialect: the schemas of what it tells."""

    def __init__(self, dialect: Dialect) -> None:
        found, parts = asyncapi.payloads(dialect)
        components = {"components": {"schemas": closed(parts)}}
        self._told: list[tuple[set[str] | None, Draft202012Validator]] = []
        for kind in dialect.told:
            schema = {**closed(found[asyncapi.message_name(kind)]), **components}
            self._told.append((_types(schema, parts), schemas.checker(schema)))

    def misfits(self, message: Any) -> Iterator[str]:
        """Say how a message is not what is promised, for each that it might be; nothing at all when it is one."""
        kind = message.get("type") if isinstance(message, dict) else None
        named = [checker for types, checker in self._told if types is not None and kind in types]
        problems = []
        for checker in named or [checker for types, checker in self._told if types is None]:
            if not (errors := schemas.misfits(checker, message)):
                return
            problems.append("; ".join(errors))
        yield from problems or [f"no message of type {kind!r} is described"]


def _types(schema: dict[str, Any], parts: dict[str, Any]) -> set[str] | None:
    """Give the `type` that a message must have; None where it may have others."""
    name = schema["$ref"].rpartition("/")[2]
    kinds = parts[name]["properties"].get("type", {}).get("enum")
    return None if kinds is None else set(kinds)


@functools.cache
def promise(dialect: Dialect) -> Promise:
    return Promise(dialect)


def dialects(settings: Settings, target: str) -> tuple[Dialect, ...]:
    """Give what is spoken at a target."""
    path = target.partition("?")[0]
    ways = Ways(settings.paths, trading=settings.trading.enabled)
    for socket in asyncapi.spoken(ways.spoken):
        if path == socket.path or ("{" in socket.path and path.startswith(socket.path.partition("{")[0])):
            return socket.dialects
    return ()


def keep(spoken: tuple[Dialect, ...], message: Any) -> None:
    """See that a message is as promised by one of the dialects that it can be of."""
    problems = [[*promise(dialect).misfits(message)] for dialect in spoken]
    assert not problems or [] in problems, f"{message!r} is not as the AsyncAPI document says: {problems}"
