"""The language of rules: what simpleeval evaluates of Python, as far as it speaks of an event.

Must not know what the expressions are for. What `read` does not name is refused there, and so is never evaluated.
"""

from __future__ import annotations

import ast
import operator
import re
import string
import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import attrs
from simpleeval import EvalWithCompoundTypes  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WINDOWS = ("min", "max", "mean", "change")
LONGEST = 86_400
"""Seconds of the longest window."""

_ARITHMETIC: dict[type[ast.AST], Callable[..., object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_LOGIC: dict[type[ast.AST], Callable[..., object]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
    ast.Not: operator.not_,
}
_SIGNS = {ast.Load, ast.And, ast.Or, *_ARITHMETIC, *_LOGIC}
_FIELDS = (ast.Name, ast.Attribute, ast.Subscript)
_MOST_CHARACTERS = 1_000
_DEEPEST = 25
_QUOTED = 60
_REMEDIES = (
    ("=", "compare by ==, >= and <="),
    ("&", "write `and`"),
    ("|", "write `or`"),
    ("!", "write `not`"),
    ("AND", "write `and`"),
    ("OR", "write `or`"),
)
_PLACEHOLDER = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_FORMAT = re.compile(r"[<>^]?[+ -]?\d{0,2},?(\.\d{1,2})?[a-zA-Z%]?")


class MissingError(LookupError):
    """A field that is not there, or is null."""


@attrs.frozen
class Expression:
    """What was read: the tree, the fields that it names, and its windows as pairs of field and seconds."""

    tree: ast.expr
    names: frozenset[str]
    windows: frozenset[tuple[str, float]]


@attrs.frozen
class Part:
    """Of a message: plain text, then a value in a format; no value where the message ends."""

    text: str
    value: Expression | None = None
    form: str = ""


def read(text: str) -> Expression:
    """Read an expression; ValueError says in which column what is wrong."""
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"is {len(text)} characters long, and may have {_MOST_CHARACTERS}")
    # It may stand on several lines in the file. Columns are those of the text as it is shown.
    text = text.strip().replace("\n", " ")
    try:
        with warnings.catch_warnings(action="error"):
            tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise _unreadable(text, error.offset or len(text) + 1, _told(text, error)) from None
    except (MemoryError, RecursionError):
        raise ValueError("is nested too deeply") from None
    reading = _Reading(text)
    reading.take(tree)
    return Expression(tree, frozenset(reading.names), frozenset(reading.windows))


def read_message(text: str) -> tuple[Part, ...]:
    """Take a message apart; ValueError says which placeholder is none."""
    parts: list[Part] = []
    for plain, name, form, conversion in string.Formatter().parse(text):
        if name is None:
            parts.append(Part(plain))
        elif conversion or not _PLACEHOLDER.fullmatch(name) or not _FORMAT.fullmatch(form or ""):
            raise ValueError(
                f"`{{{name}}}` is no placeholder: write {{price}}, {{price:.2f}} or {{before.price}}"
            )
        else:
            parts.append(Part(plain, read(name), form or ""))
    return tuple(parts)


def _told(text: str, error: SyntaxError) -> str:
    if not error.offset:
        return "it ends too early"
    return next((remedy for sign, remedy in _REMEDIES if text.startswith(sign, error.offset - 1)), error.msg)


def _unreadable(text: str, column: int, problem: str) -> ValueError:
    shown = text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"
    return ValueError(f"`{shown}`, column {column}: {problem}")


def _signs(parts: Iterable[ast.AST]) -> set[type[ast.AST]]:
    return {type(part) for part in parts if not isinstance(part, ast.expr)}


class _Reading:
    """Goes through a tree, and refuses what it does not know."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.names: set[str] = set()
        self.windows: set[tuple[str, float]] = set()

    def take(self, node: ast.expr, depth: int = 1) -> None:
        if depth > _DEEPEST:
            raise self._refusal(node, "is nested too deeply here")
        inner: list[ast.AST] = [*ast.iter_child_nodes(node)]
        match node:
            case ast.Call():
                inner = self._arguments(node)
            case ast.Name(id=name):
                self.names.add(name)
            case ast.Attribute(value=whole) | ast.Subscript(value=whole) if isinstance(whole, _FIELDS):
                pass
            case ast.Constant(value=bool() | int() | float() | str()) | ast.Tuple() | ast.List():
                pass
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp() | ast.BinOp() if _signs(inner) <= _SIGNS:
                pass
            case _:
                shown = ast.get_source_segment(self._text, node)
                raise self._refusal(node, f"`{shown}` is nothing that a rule can say")
        for part in inner:
            if isinstance(part, ast.expr):
                self.take(part, depth + 1)

    def _arguments(self, call: ast.Call) -> list[ast.AST]:
        """What of a call is still to be read; what the window functions take stands there as it is."""
        match call.func, call.args, call.keywords:
            case ast.Name(id="abs"), [value], []:
                return [value]
            case (
                ast.Name(id=name),
                [ast.Constant(value=str(field)), ast.Constant(value=int() | float() as seconds)],
                [],
            ) if name in WINDOWS and 0 < seconds <= LONGEST:
                self.names.add(field.partition(".")[0])
                self.windows.add((field, seconds))
                return []
        windows = f"{', '.join(WINDOWS)} of a field over at most {LONGEST} seconds"
        raise self._refusal(call, f'there are {windows}, as in change("price", 60), and abs of one value')

    def _refusal(self, node: ast.expr, problem: str) -> ValueError:
        before = self._text.encode()[: node.col_offset].decode()  # the parser counts bytes
        return _unreadable(self._text, len(before) + 1, problem)


class Evaluator:
    """Gives the values of expressions. `field` gives what a name means, `window` what one of `WINDOWS` comes to.

    Both may raise MissingError. Evaluating may raise whatever comes of an event that holds what nobody expected.
    """

    def __init__(self, field: Callable[[str], object], window: Callable[[str, str, float], float]) -> None:
        self._inner = EvalWithCompoundTypes(
            operators={kind: partial(_calculated, sign) for kind, sign in _ARITHMETIC.items()} | _LOGIC,
            functions={name: partial(window, name) for name in WINDOWS} | {"abs": abs},
        )
        # The library would look for attributes of any object, and take a function for a name that is missing.
        self._inner.nodes |= {
            ast.Name: lambda node: field(node.id),
            ast.Attribute: lambda node: part_of(self._value(node.value), node.attr),
            ast.Subscript: lambda node: part_of(self._value(node.value), self._value(node.slice)),
        }

    def value(self, expression: Expression) -> object:
        return self._value(expression.tree)

    def _value(self, tree: ast.expr) -> object:
        value: object = self._inner.eval("", previously_parsed=tree)
        return value


def part_of(whole: object, name: object) -> object:
    """A field of data, or of data within; null is as good as missing."""
    part = whole.get(name) if isinstance(whole, Mapping) else None
    if part is None:
        raise MissingError(f"`{name}`")
    return part


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _calculated(sign: Callable[..., object], *numbers: object) -> object:
    """Only of numbers: text could be repeated and formatted without end."""
    if not all(map(is_number, numbers)):
        raise TypeError("only numbers can be calculated with")
    return sign(*numbers)
