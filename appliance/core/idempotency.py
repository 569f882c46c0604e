"""Answers that were given under an idempotency key, for a request that is sent once more.

Must not know what is asked or answered, nor what time it is: times come in as arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from appliance.core.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")


class KeyReusedError(PublishError):
    """An idempotency key came a second time, with something else to publish."""


@attrs.frozen
class Bounds:
    """The newest answers are remembered: so many, none that is older, all together of no more than this weight."""

    count: int
    age: float
    weight: int


@attrs.frozen
class _Given(Generic[Answer]):
    digest: bytes
    answer: Answer
    at: float
    weight: int


class Answers(Generic[Answer]):
    """The answers of all owners; a key is its owner's alone. `bounds` gives those of the moment."""

    def __init__(self, bounds: Callable[[], Bounds]) -> None:
        self._bounds = bounds
        self._given: dict[tuple[str, str], _Given[Answer]] = {}
        self._weight = 0
        self._gone: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._given)

    def forgotten(self) -> list[tuple[str, str]]:
        """Give the owners and keys that were forgotten since this was asked last."""
        gone, self._gone = self._gone, []
        return gone

    def recall(self, owner: str, key: str, digest: bytes, now: float) -> Answer | None:
        """Give what was answered to the same request; KeyReusedError for a key that stands for another one."""
        self._forget(now)
        given = self._given.get((owner, key))
        if given is None:
            return None
        if given.digest != digest:
            raise KeyReusedError("the idempotency key stands for another request: make a new key for each")
        return given.answer

    def remember(
        self, owner: str, key: str, digest: bytes, answer: Answer, *, now: float, weight: int = 1
    ) -> None:
        """Keep the first answer to a key that `recall` did not know."""
        self._given[owner, key] = _Given(digest, answer, now, weight)
        self._weight += weight
        self._forget(now)

    def _forget(self, now: float) -> None:
        bounds = self._bounds()
        while self._given:
            oldest = next(iter(self._given))
            is_old = self._given[oldest].at <= now - bounds.age
            if not is_old and len(self._given) <= bounds.count and self._weight <= bounds.weight:
                break
            self._weight -= self._given.pop(oldest).weight
            self._gone.append(oldest)
