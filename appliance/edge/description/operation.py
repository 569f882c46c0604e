"""What an endpoint says of itself: what a request may hold, and what is answered to it.

Must not know how it is served, nor what becomes of what is said.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from appliance.dialects.parameters import Parameter
    from appliance.settings.tree import Auth, Settings

JSON: Final = "application/json"

NO_KEY: Final = "the key is missing, or wrong"
NO_TOPIC: Final = "there is no such topic, or not for this key"
TOO_MANY: Final = "too many requests (`limits.messages_per_minute`)"
FULL: Final = "too many sessions (`limits.sessions`, or what the key allows), or the appliance stops"


@attrs.frozen(kw_only=True)
class Audience:
    """Whom something is described to: by which settings, how its listener lets in, and topics that it may read."""

    settings: Settings
    auth: Auth
    certificates: bool = False
    topics: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(topic.partition(":")[0] for topic in self.topics))


@attrs.frozen(kw_only=True)
class Given:
    """A part of a request beside its body."""

    name: str
    where: Literal["path", "query", "header"]
    about: str
    schema: Mapping[str, Any] = {"type": "string"}
    required: bool = False
    examples: tuple[str, ...] = ()


@attrs.frozen
class Answer:
    """`content` gives a type, or a schema, for each media type."""

    about: str
    content: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Operation:
    """`key` says who must show one: nobody, whoever the listener asks for one, or everybody. `body` are the types that
    the request's may have, of which `examples` are some.

    An answer of no status stands for all that are not told of. `refusals` are answered in the envelope of all errors,
    unless `refused` is another type.
    """

    name: str
    summary: str
    tag: str
    about: str = ""
    key: Literal["nobody", "listener", "everybody"] = "listener"
    given: tuple[Given, ...] = ()
    body: tuple[Any, ...] = ()
    examples: Mapping[str, Any] = {}
    answers: Mapping[HTTPStatus | None, Answer]
    refusals: Mapping[HTTPStatus, str] = attrs.field(factory=dict)
    refused: type | None = None


@attrs.frozen
class Endpoint:
    """A route: its path as Starlette writes it, and what it says of itself."""

    method: str
    path: str
    operation: Operation


def asked(parameters: Iterable[Parameter[Any]]) -> tuple[Given, ...]:
    """Give parameters as parts of a request."""
    return tuple(
        Given(name=each.name, where="query", about=each.about, schema=each.schema) for each in parameters
    )


def answered(about: str, kind: Any, media: str = JSON) -> Mapping[HTTPStatus | None, Answer]:  # noqa: ANN401 - any annotation
    """Give the answer of an endpoint that has one."""
    return {HTTPStatus.OK: Answer(about, {media: kind})}
