"""The settings of the channel: its rules, checked as far as that can be done without an event.

Must not know how rules are followed.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, Literal

import attrs
from attrs.validators import ge, optional

from .expressions import read, read_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OWN = ("at", "before", "channel", "data", "key")
"""What an event has beside its fields."""
TOLD = ("id", "message", "rule", "severity", "symbol", "timestamp", "type")
"""What each alert of a rule has."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PATTERN = re.compile(r"\*|[a-z][a-z0-9_]*(\*|:[^\s*]+|:[^\s*]*\*)")


def _name(_: object, __: object, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name: write a-z, 0-9 and _, beginning with a letter, at most 64 of them"
        )


def _pattern(_: object, __: object, pattern: str) -> None:
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(f"{pattern!r} covers no topic: write price:BTC, or price:* for all prices")


def _condition(_: object, __: object, text: str) -> None:
    tree = read(text).tree
    for part in tree.values if isinstance(tree, ast.BoolOp) else [tree]:
        if isinstance(part, ast.Constant | ast.BinOp | ast.Call | ast.Tuple | ast.List):
            raise ValueError(f"`{ast.unparse(part)}` is no condition: compare it with something")  # noqa: TRY004 - as all that is wrong in a file


def _values(_: object, __: object, values: Mapping[str, str]) -> None:
    for name, text in values.items():
        if not _NAME.fullmatch(name) or name in (*OWN, *TOLD):
            taken = ", ".join(sorted((*OWN, *TOLD)))
            raise ValueError(f"{name!r} is no name for a value: write a-z, 0-9 and _, but none of {taken}")
        try:
            read(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def _message(rule: Any, _: object, text: str) -> None:  # noqa: ANN401 - a rule, as far as it is right
    shown = {name for part in read_message(text) if part.value is not None for name in part.value.names}
    try:
        said = [read(each) for each in (rule.when, rule.clear, *rule.values.values()) if each]
    except ValueError:
        return  # told where it stands
    known = {*OWN, *rule.values}.union(*(expression.names for expression in said))
    if unknown := sorted(shown - known):
        raise ValueError(
            f"the rule knows no `{unknown[0]}`, but {', '.join(sorted(known))}: add it to `values`"
        )


def _unique(_: object, __: object, rules: Sequence[RuleSettings]) -> None:
    names = [rule.name for rule in rules]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(
                f"rules[{names.index(name)}] and rules[{place}] are both named {name!r}; rename one"
            )


@attrs.frozen(kw_only=True)
class RuleSettings:
    """One rule. Times are in seconds."""

    name: str = attrs.field(validator=_name)
    pattern: str = attrs.field(validator=_pattern)
    when: str = attrs.field(validator=_condition)
    clear: str | None = attrs.field(default=None, validator=optional(_condition))
    hold: float = attrs.field(default=0.0, validator=ge(0))
    cooldown: float = attrs.field(default=60.0, validator=ge(0))
    severity: Literal["low", "medium", "high", "critical"] = "medium"
    type: str | None = attrs.field(default=None, validator=optional(_name))
    values: dict[str, str] = attrs.field(default={}, validator=_values)
    message: str = attrs.field(validator=_message)


DEFAULT_RULES = (
    RuleSettings(
        name="fast_move",
        pattern="price:*",
        when="abs(move) >= 0.05",
        severity="low",
        type="price_alert",
        values={"move": 'change("price", 10)'},
        message="{key} went {move:+.2f} % in ten seconds, to {price:,}",
    ),
    RuleSettings(
        name="price_move",
        pattern="price:*",
        when="abs(move) >= 0.2",
        clear="abs(move) < 0.1",
        severity="high",
        type="price_alert",
        values={"move": 'change("price", 60)'},
        message="{key} went {move:+.2f} % in a minute, to {price:,}",
    ),
    RuleSettings(
        name="confident_prediction",
        pattern="predictions:*",
        when="confidence_1min >= 0.65",
        clear="confidence_1min < 0.6",
        hold=5.0,
        type="prediction_alert",
        values={"expected": "100 * (predicted_1min / current_price - 1)"},
        message="{key} is expected to go {expected:+.3f} % within a minute (confidence {confidence_1min:.2f})",
    ),
    RuleSettings(
        name="strong_signal",
        pattern="signals:*",
        when='severity in ("high", "critical")',
        cooldown=30.0,
        severity="high",
        type="signal_alert",
        values={"description": "description", "confidence": "confidence"},
        message="{description}",
    ),
)
"""What is worth a word on the simulated market. They are small moves: on a real one, write your own."""


@attrs.frozen(kw_only=True)
class AlertsSettings:
    """`keys` that a rule remembers are those last seen, `samples` of a window the newest values."""

    rules: tuple[RuleSettings, ...] = attrs.field(default=DEFAULT_RULES, validator=_unique)
    keys: int = attrs.field(default=10_000, validator=ge(1))
    samples: int = attrs.field(default=3_600, validator=ge(2))
