"""Whether the data of an event fits its channel's schema, and where it does not.

Must not know who publishes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOLD = re.compile(r"(?P<problem>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`")


@attrs.frozen
class Misfit:
    """One thing that does not fit: where it stands in the data (`.confidence`, `.legs[2].price`), and why."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"data{self.path} {self.problem}"


def misfits(data: Any, schema: Any) -> tuple[Misfit, ...]:  # noqa: ANN401 - anything, and any annotation
    """Give what does not fit: of each field where the schema is a msgspec Struct, else the first thing found."""
    first = _misfit(data, schema)
    if first is None:
        return ()
    if isinstance(data, Mapping) and isinstance(schema, type) and issubclass(schema, msgspec.Struct):
        return tuple(_of_fields(data, schema)) or (first,)
    return (first,)


def _of_fields(data: Mapping[str, Any], schema: type[msgspec.Struct]) -> Iterator[Misfit]:
    for field in msgspec.structs.fields(schema):
        name = field.encode_name
        if name not in data:
            if field.required:
                yield Misfit(f".{name}", "is missing")
        elif (misfit := _misfit(data[name], field.type)) is not None:
            yield Misfit(f".{name}{misfit.path}", misfit.problem)


def _misfit(data: Any, kind: Any) -> Misfit | None:  # noqa: ANN401 - data and annotation may be anything
    try:
        msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        return _read(str(error))
    except RecursionError:
        return Misfit("", "is nested too deeply")
    return None


def _read(text: str) -> Misfit:
    """Take the sentence of msgspec apart."""
    told = _TOLD.fullmatch(text)
    assert told is not None  # noqa: S101 - it matches any text
    path, problem = told["path"] or "", told["problem"]
    if missing := _MISSING.fullmatch(problem):
        return Misfit(f"{path}.{missing['name']}", "is missing")
    if told["key"]:
        path += "[...]"
        problem = f"of a key: {problem}"
    return Misfit(path, f"does not fit: {problem}")
