"""What a client can ask for, whatever words its dialect has for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from appliance.core.history import Position, Since
    from appliance.core.places import Asked


@attrs.frozen
class Authenticate:
    token: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Subscribe:
    """`names` are topics and patterns as the client wrote them; `label` is what it wants to see instead.

    With `times`, each event is to say when it happened and when it came.
    """

    form: Hashable
    names: tuple[str, ...]
    label: str | None = None
    limit: float | None = None
    recover: Mapping[str, Position | Since] = attrs.field(factory=dict)
    times: bool = False


@attrs.frozen(kw_only=True)
class Unsubscribe:
    """No `names`: all that was subscribed under `label`."""

    form: Hashable
    names: tuple[str, ...]
    label: str | None = None


@attrs.frozen(kw_only=True)
class History:
    """Events that a topic keeps, `limit` at the most; `tag` is JSON that the answer is to carry."""

    name: str
    asked: Asked
    limit: int | None = None
    tag: bytes | None = None


@attrs.frozen
class Ping:
    pass


Command: TypeAlias = Authenticate | Subscribe | Unsubscribe | History | Ping
