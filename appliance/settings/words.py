"""How mistakes are worded: types, values, bounds and near names for the people who write the file.

Must not know the tree. A value is quoted only where its type is no secret.
"""

from __future__ import annotations

import datetime as dt
import difflib
import enum
import pathlib
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from appliance.settings import quantities, schema
from appliance.settings.fields import Bytes, Seconds, Secret
from appliance.settings.literals import written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_KINDS: MappingProxyType[Any, str] = MappingProxyType(
    {
        str: "text",
        Secret: "text",
        pathlib.Path: "a path as text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        Seconds: 'a time such as "30s"',
        Bytes: 'a size such as "64KiB"',
        dt.datetime: "a date-time such as 2030-01-31T12:00:00Z",
        dt.date: "a date such as 2030-01-31",
        dt.time: "a time of day such as 12:00:00",
    }
)
_COMPARISONS = MappingProxyType({">=": "at least", ">": "more than", "<=": "at most", "<": "less than"})
_NUMBER = re.compile(r"'\w+' must be (>=|>|<=|<) (-?[\d.]+(?:e[+-]?\d+)?): .*", re.DOTALL)
_LENGTH = re.compile(r"Length of '\w+' must be (>=|<=) (\d+): (\d+)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""What no text is meant to hold: a path with one cannot be opened. Line breaks and tabs are text."""
_PATTERN = re.compile(r"'\w+' must match regex (.+) \(.* doesn't\)", re.DOTALL)
_CHOICE = re.compile(r"'\w+' must be in (.+) \(got .*\)", re.DOTALL)
_QUOTED = 60
_LISTED = 12


def kind_text(kind: Any) -> str:  # noqa: ANN401 - any annotation
    """What a value of this type is: `a whole number`, `one of "a", "b"`."""
    if schema.is_union(kind):
        kinds = [kind_text(member) for member in schema.members(kind)]
        return " or ".join(dict.fromkeys(kinds))
    if options := choices(kind):
        listed = ", ".join(written(option) for option in options)
        return f"one of {listed}" if len(options) > 1 else listed
    form = schema.shape(kind)
    match form.form:
        case "table" | "names":
            return "a table"
        case "list":
            return f"a list, each item {kind_text(form.inner)}"
        case "any":
            return "any value"
        case _:
            return _KINDS.get(kind) or kind_text(getattr(kind, "__supertype__", str))


def choices(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any annotation
    """The values that an enumeration or `Literal` names."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return tuple(member.value for member in kind)
    return get_args(kind) if get_origin(kind) is Literal else ()


def found_text(value: Any, kind: Any) -> str:  # noqa: ANN401 - any TOML value and annotation
    """What was found where `kind` was expected."""
    match value:
        case bool():
            return written(value)
        case int() | float():
            name = "a number"
        case str():
            name = "text"
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case _:
            name = "a date or time"
    return f"{name} ({quoted(value)})" if _may_quote(kind) else name


def value_text(value: Any, kind: Any) -> str:  # noqa: ANN401 - any attribute's value and annotation
    """A value as one would write it in the file: a time and a size with a unit."""
    quantity = schema.present(kind)
    if quantity is Seconds:
        return written(quantities.time_text(value))
    return written(quantities.size_text(int(value))) if quantity is Bytes else written(value)


def _may_quote(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    forms = {schema.shape(member).form for member in schema.members(kind)}
    return forms == {"scalar"} and not schema.is_secret(kind)


def quoted(value: Any) -> str:  # noqa: ANN401 - any TOML value
    try:
        text = written(value)
    except ValueError:
        return "more digits than can be shown"
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


def unexpected(value: Any, kind: Any) -> str:  # noqa: ANN401 - any TOML value and annotation
    return f"expected {kind_text(kind)}, found {found_text(value, kind)}"


def control_character(text: str) -> str:
    """That a control character stands in the text and where, without the text; empty when there is none."""
    found = _CONTROL.search(text)
    if not found:
        return ""
    return (
        "expected text without control characters, "
        f"found U+{ord(found[0]):04X} as character {found.start() + 1} of it"
    )


def nearest(name: str, names: Iterable[str]) -> str | None:
    lower = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return lower[close[0]] if close else None


def unknown_key(key: str, keys: Sequence[str]) -> str:
    """That a key is unknown, with the nearest one, and all where they are few."""
    close = nearest(key, keys)
    question = f"; did you mean `{close}`?" if close else ""
    listed = f" (known here: {', '.join(keys)})" if keys and (len(keys) <= _LISTED or not close) else ""
    return f"is not a known key{question}{listed}" if keys else "is not a known key; this table takes none"


def bound_text(validator: Callable[..., object], kind: Any) -> str:  # noqa: ANN401 - any annotation
    """What a validator of attrs asks for, empty for one that does not say."""
    match validator:
        case object(compare_op=str(comparison), bound=bound):
            return f"{_COMPARISONS[comparison]} {_amount(bound, kind)}"
        case object(min_length=int(length)):
            return _length(">=", length, kind).removeprefix("be ").removeprefix("have ")
        case _:
            return ""


def refusal(error: Exception, value: Any, kind: Any) -> str:  # noqa: ANN401 - any TOML value and annotation
    """What a validator says against a value, in the words of this page where attrs says it in its own."""
    text = str(error.args[0]) if error.args else type(error).__name__
    if found := _NUMBER.fullmatch(text):
        return f"must be {_COMPARISONS[found[1]]} {_amount(float(found[2]), kind)}, not {_shown(value, kind)}"
    if found := _LENGTH.fullmatch(text):
        return f"must {_length(found[1], int(found[2]), kind)}, not {found[3]}"
    if found := _PATTERN.fullmatch(text):
        return f"must match the pattern {found[1]}, not {_shown(value, kind)}"
    if found := _CHOICE.fullmatch(text):
        return f"must be one of {found[1]}, not {_shown(value, kind)}"
    return text


def _length(comparison: str, length: int, kind: Any) -> str:  # noqa: ANN401 - any annotation
    plural = "" if length == 1 else "s"
    if schema.shape(kind).form == "scalar":
        return f"be {_COMPARISONS[comparison]} {length} character{plural} long"
    return f"have {_COMPARISONS[comparison]} {length} item{plural}"


def _shown(value: Any, kind: Any) -> str:  # noqa: ANN401 - any TOML value and annotation
    return quoted(value) if _may_quote(kind) else "what is there"


def _amount(bound: float, kind: Any) -> str:  # noqa: ANN401 - any annotation
    if bound > 0 and schema.present(kind) in (Seconds, Bytes):
        return value_text(bound, kind).strip('"')
    return f"{bound:.0f}" if float(bound).is_integer() else str(bound)
