"""Who a client is and what it may do, and what it shows to prove it.

Must not know how a credential travelled here, nor which kinds of credential there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol

import attrs

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.topics import covered

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 4096
"""Characters of the longest credential that is looked at; signed tokens stay well below."""

Way = Literal["header", "query", "message", "subprotocol"]


def acceptable(text: str) -> bool:
    """Whether a client can show this text in every way that a credential travels: no spaces, plain ASCII."""
    return 0 < len(text) <= LONGEST and text.isascii() and text.isprintable() and " " not in text


def _check(_credential: Credential, _field: attrs.Attribute[str], text: str) -> None:
    # The text stays out of the message: it may be a good key with one bad character.
    if not acceptable(text):
        raise RequestError(
            ErrorCode.INVALID_TOKEN,
            f"a credential is 1 to {LONGEST} characters of plain ASCII without spaces",
        )


@attrs.frozen
class Credential:
    """What a client showed. Text that no credential can have is refused here, once for all ways."""

    text: str = attrs.field(repr=False, validator=_check)
    way: Way


@attrs.frozen
class Principal:
    """Who a client is. `read` are the topics that it may read, `publish` the channels that it may publish into; a
    trailing `*` stands for any ending.
    """

    name: str
    read: tuple[str, ...] = ("*",)
    publish: tuple[str, ...] = ()

    def may_read(self, topic: str) -> bool:
        """Also of a pattern: `price:*` may be read by whom all its topics may be read."""
        return covered(self.read, topic)

    def may_publish(self, channel: str) -> bool:
        return covered(self.publish, channel)


ANONYMOUS: Final = Principal("anonymous")


class Authenticator(Protocol):
    """Knows one kind of credential."""

    def authenticate(self, credential: Credential, now: float) -> Principal:
        """Raise RequestError: EXPIRED_TOKEN for a credential that was good once, else INVALID_TOKEN."""


class Chain:
    """Authenticators asked in order. The first that knows the credential decides, also by refusing it."""

    def __init__(self, authenticators: Iterable[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    def authenticate(self, credential: Credential, now: float) -> Principal:
        for authenticator in self._authenticators:
            try:
                return authenticator.authenticate(credential, now)
            except RequestError as error:
                if error.code is not ErrorCode.INVALID_TOKEN:
                    raise
        raise RequestError(ErrorCode.INVALID_TOKEN, "the credential is not known")
