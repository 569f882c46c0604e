"""What a type of the tree holds: the attributes of a table, the items of a list, the values by name.

Must not know any value.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from appliance.core.errors import PluginError
from appliance.settings.fields import Secret, mark

_LISTS = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Set)
_NAMES = (dict, collections.abc.Mapping)


@attrs.frozen
class Shape:
    """`table`: an attrs class; `list`: `inner` repeats; `names`: `inner` by name; `any`; or a `scalar`."""

    form: Literal["table", "list", "names", "any", "scalar"]
    inner: Any = Any


def shape(kind: Any) -> Shape:  # noqa: ANN401 - any annotation
    """The shape of a type; that of an optional type is that of its only other member."""
    kind = present(kind)
    origin = get_origin(kind) or kind
    arguments = get_args(kind)
    if kind is Any:
        return Shape("any")
    if isinstance(kind, type) and attrs.has(kind):
        return Shape("table", kind)
    if origin in _LISTS:
        return Shape("list", arguments[0] if arguments else Any)
    if origin in _NAMES:
        return Shape("names", arguments[1] if arguments else Any)
    return Shape("scalar", kind)


def is_union(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    return get_origin(kind) in (Union, types.UnionType)


def members(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any annotation
    """The types that a value may have; none counts only as absence."""
    if not is_union(kind):
        return (kind,)
    return tuple(member for member in get_args(kind) if member is not types.NoneType)


def present(kind: Any) -> Any:  # noqa: ANN401 - any annotation
    """The type without its `| None`."""
    only = members(kind)
    return only[0] if len(only) == 1 else kind


def attributes(cls: type[attrs.AttrsInstance]) -> dict[str, attrs.Attribute[Any]]:
    """The keys that a table of `cls` names, with resolved types; a `rest` attribute names none."""
    return {a.alias or a.name: a for a in fields(cls) if a.init and not mark(a).rest}


def rest(cls: type[attrs.AttrsInstance]) -> attrs.Attribute[Any] | None:
    """The attribute that collects the other keys of the table."""
    return next((a for a in fields(cls) if mark(a).rest), None)


def secret_files(cls: type[attrs.AttrsInstance]) -> dict[str, str]:
    """The keys that name a file with a secret, each with the key of the secret."""
    return {f"{key}_file": key for key, a in attributes(cls).items() if is_secret(a.type)}


def is_secret(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    return Secret in members(kind)


def fields(cls: type[attrs.AttrsInstance]) -> tuple[attrs.Attribute[Any], ...]:
    """All attributes of a class, with resolved types; PluginError when those cannot be resolved."""
    try:
        attrs.resolve_types(cls)
    except NameError as error:
        raise PluginError(
            f"{cls.__module__}.{cls.__qualname__}: the annotation of a setting cannot be resolved ({error}); "
            "import the name outside of TYPE_CHECKING"
        ) from None
    return typing.cast("tuple[attrs.Attribute[Any], ...]", attrs.fields(cls))
