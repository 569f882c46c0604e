"""JSON schemas of types: of each class one under a name, to which the others refer.

Must not know what is described by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PLACE: Final = "#/components/schemas/"

Schema = dict[str, Any]


def reference(name: str) -> Schema:
    return {"$ref": _PLACE + name}


def made(kinds: Iterable[Any], *, within: str = "") -> tuple[Sequence[Schema], dict[str, Schema]]:
    """Give a schema for each type, and those of the classes in them by name, which begins with `within`."""
    found, parts = msgspec.json.schema_components(tuple(kinds), ref_template=f"{_PLACE}{within}{{name}}")
    return [_plain(each) for each in found], {within + name: _plain(part) for name, part in parts.items()}


def _plain(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Take away what only this language knows of, and what no reader needs."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    left = {key: _plain(value) for key, value in schema.items()}
    if isinstance(left.get("type"), str) and left.get("required") == []:
        del left["required"]
    # A mark of OpenAPI alone, which says nothing that the alternatives do not.
    if isinstance(left.get("anyOf"), list):
        left.pop("discriminator", None)
    return left
