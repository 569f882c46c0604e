"""How an attribute of the settings tree is declared: default, document, validators, marks.

Must not know the tree, nor how values are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NewType

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

Seconds = NewType("Seconds", float)
"""A time: a number of seconds, or text such as `"500ms"`, `"30s"`, `"5m"`, `"1h"`, `"7d"`."""

Bytes = NewType("Bytes", int)
"""A size: a number of bytes, or text such as `"64KiB"`, `"4MiB"`, `"1GiB"`."""


class Secret(str):
    """Text that never appears in a log, an error or a listing: its repr hides it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('…')"


_MARK = "appliance.setting"


@attrs.frozen
class Mark:
    """What the declaration says of an attribute beside its type."""

    doc: str
    reloads: bool
    rest: bool
    validators: tuple[Callable[[Any, attrs.Attribute[Any], Any], object], ...] = ()


def setting(
    default: Any,  # noqa: ANN401 - of any attribute's type
    doc: str,
    *validators: Callable[[Any, attrs.Attribute[Any], Any], object],
    reloads: bool = False,
    rest: bool = False,
    but: str | None = None,
) -> Any:  # noqa: ANN401 - as attrs.field
    """An attribute of the tree. A class or `dict` as default makes a new one for each instance;
    `reloads` lets SIGHUP change it; `rest` collects the keys of a table that no other attribute names.
    What `rest` collects stays out of the repr: a plugin's secrets are not known as such yet.
    `but` is a word that may stand instead of a value for which the validators hold.
    """
    hold = validators if but is None else [_unless(but, validator) for validator in validators]
    optional = [attrs.validators.optional(v) if default is None else v for v in hold]
    metadata = {_MARK: Mark(doc=doc, reloads=reloads, rest=rest, validators=validators)}
    if isinstance(default, type):
        return attrs.field(factory=default, validator=optional, metadata=metadata, repr=not rest)
    return attrs.field(default=default, validator=optional, metadata=metadata, repr=not rest)


def _unless(
    word: str, validator: Callable[[Any, attrs.Attribute[Any], Any], object]
) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def validate(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401 - a validator of attrs
        if value != word:
            validator(instance, attribute, value)

    return validate


def mark(attribute: attrs.Attribute[Any]) -> Mark:
    found = attribute.metadata.get(_MARK)
    return found if isinstance(found, Mark) else Mark(doc="", reloads=False, rest=False)
