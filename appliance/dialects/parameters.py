"""A parameter of a query: by one declaration it is read from a request, and described to who writes one.

Must not know which requests have it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
import msgspec

from appliance.core import places
from appliance.core.errors import ErrorCode, RequestError
from appliance.dialects.messages import cryptointel as messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_COUNT = re.compile(r"0*[1-9][0-9]{0,8}")
_OFFSET = re.compile(r"[0-9]{1,19}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_MOST = 999_999_999
"""What is over it is not looked at; what is over its bound alone is shortened to that."""
_MOST_SHOWN = 100


@attrs.frozen(kw_only=True)
class Parameter(Generic[T]):
    """`take` makes a value of its text, or nothing where it can be none; then who wrote it is told what is `right`."""

    name: str
    about: str
    right: str
    take: Callable[[str], T | None]
    schema: Mapping[str, Any]

    def read(self, query: Mapping[str, str]) -> T | None:
        """Give what a request says; an empty text says nothing. A `RequestError` names what is wrong."""
        text = query.get(self.name)
        if not text:
            return None
        value = self.take(text)
        if value is None:
            shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
            raise RequestError(
                ErrorCode.INVALID_MESSAGE, f"{self.name}={shown!r} is not right: it is {self.right}"
            )
        return value


def text(name: str, about: str, *, spelled: Callable[[str], str] = str) -> Parameter[str]:
    return Parameter(name=name, about=about, right="a text", take=spelled, schema={"type": "string"})


def count(name: str, *, of: str, most: int, usual: int) -> Parameter[int]:
    """What is over its bound is shortened to it."""

    def take(written: str) -> int | None:
        return min(int(written), most) if _COUNT.fullmatch(written) else None

    return Parameter(
        name=name,
        about=f"Most {of} of the answer; more than {most} are {most}",
        right=f"a number of {of}, 1 to {most}",
        take=take,
        schema={"type": "integer", "minimum": 1, "maximum": _MOST, "default": min(usual, most)},
    )


def seconds(name: str, about: str, *, most: float) -> Parameter[float]:
    """What is over its bound is shortened to it."""

    def take(written: str) -> float | None:
        return min(float(written), most) if _SECONDS.fullmatch(written) else None

    schema = {"type": "number", "minimum": 0, "maximum": _MOST, "default": 0}
    about = f"{about}; more than {most:g} are {most:g}"
    return Parameter(name=name, about=about, right=f"seconds, 0 to {most:g}", take=take, schema=schema)


def choice(name: str, about: str) -> Parameter[bool]:
    def take(written: str) -> bool | None:
        return {"true": True, "false": False}.get(written)

    schema = {"type": "boolean", "default": False}
    return Parameter(name=name, about=about, right="`true` or `false`", take=take, schema=schema)


def moment(name: str, about: str) -> Parameter[float]:
    """Seconds since 1970."""

    def take(written: str) -> float | None:
        try:
            return msgspec.convert(written, messages.Moment).timestamp()
        except msgspec.ValidationError:
            return None

    right = "a time with its offset, such as 2030-01-31T12:00:00Z (in a URL, + is %2B)"
    schema = {"type": "string", "format": "date-time"}
    return Parameter(name=name, about=about, right=right, take=take, schema=schema)


def place(name: str, about: str) -> Parameter[places.Shown | int]:
    """A position, or an offset of the current epoch alone."""

    def take(written: str) -> places.Shown | int | None:
        if _OFFSET.fullmatch(written):
            return int(written)
        try:
            return places.read(written)
        except RequestError:
            return None

    right = f"{places.RIGHT}, or an offset alone"
    return Parameter(name=name, about=about, right=right, take=take, schema={"type": "string"})
