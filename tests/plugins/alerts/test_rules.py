from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.core.errors import SettingsError
from appliance.loading.catalogue import collect
from appliance.loading.configured import configure
from appliance.loading.files import builtin_folder
from appliance.settings.load import load
from appliance.settings.structure import fill
from plugins.alerts.rules import DEFAULT_RULES, OWN, TOLD, AlertsSettings, RuleSettings

if TYPE_CHECKING:
    from pathlib import Path

RULE: dict[str, Any] = {
    "name": "high",
    "pattern": "price:*",
    "when": "price > 100",
    "message": "{key} is high",
}


def mistakes(**changed: Any) -> list[str]:
    """What is told of a rule with these keys, without the path of the rule."""
    with pytest.raises(SettingsError) as caught:
        fill(AlertsSettings, {"rules": [{**RULE, **changed}]}, path="channels.alerts")
    return [str(mistake).removeprefix("channels.alerts.rules[0].") for mistake in caught.value.mistakes]


def test_a_rule_needs_four_keys() -> None:
    (rule,) = fill(AlertsSettings, {"rules": [RULE]}).rules
    assert rule == RuleSettings(**RULE)
    assert (rule.clear, rule.hold, rule.cooldown, rule.severity, rule.type, rule.values) == (
        None,
        0,
        60,
        "medium",
        None,
        {},
    )
    with pytest.raises(SettingsError) as caught:
        fill(AlertsSettings, {"rules": [{}]})
    assert [mistake.path for mistake in caught.value.mistakes] == [
        f"rules[0].{key}" for key in sorted(("name", "pattern", "when", "message"))
    ]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (
            "name",
            "High!",
            "'High!' is no name: write a-z, 0-9 and _, beginning with a letter, at most 64 of them",
        ),
        ("name", "x" * 65, "is no name"),
        ("type", "", "'' is no name"),
        ("pattern", "price", "'price' covers no topic: write price:BTC, or price:* for all prices"),
        ("pattern", "Price:*", "covers no topic"),
        ("pattern", "price:", "covers no topic"),
        ("pattern", "price:B TC", "covers no topic"),
        ("when", "price > > 1", "`price > > 1`, column 9: invalid syntax"),
        ("when", "5", "`5` is no condition: compare it with something"),
        ("when", 'hot and change("price", 60)', "`change('price', 60)` is no condition"),
        ("when", "price - 5", "is no condition"),
        ("when", "'BTC'", "is no condition"),
        ("when", "price > 1,000", "is no condition"),
        ("when", 5, "expected text, found a number (5)"),
        ("clear", "price <", "`price <`, column 8: it ends too early"),
        ("hold", -1, "must be at least 0, not -1"),
        ("cooldown", -1, "must be at least 0"),
        ("severity", "hihg", 'did you mean "high"?'),
        ("values", {"move": "1 +"}, "move: `1 +`, column 4: it ends too early"),
        (
            "values",
            {"Move": "1"},
            "'Move' is no name for a value: write a-z, 0-9 and _, but none of at, before",
        ),
        ("values", {"message": "price"}, "'message' is no name for a value"),
        (
            "message",
            "{volume} at {price}",
            "the rule knows no `volume`, but at, before, channel, data, key, price",
        ),
        ("message", "{price!r}", "`{price}` is no placeholder: write {price}, {price:.2f} or {before.price}"),
        ("message", "{price", "expected '}' before end of string"),
        ("colour", "red", "is not a known key"),
    ],
)
def test_a_mistake_is_told_with_its_place(key: str, value: object, told: str) -> None:
    (mistake,) = mistakes(**{key: value})
    assert mistake.startswith(f"{key}: ")
    assert told in mistake


def test_all_mistakes_of_a_rule_are_told_at_once() -> None:
    told = mistakes(when="price >", clear="<", severity="urgent", message="{nothing}")
    assert [mistake.partition(":")[0] for mistake in told] == ["clear", "severity", "when"]


def test_a_message_may_show_what_the_rule_speaks_of() -> None:
    shown = "{key} {channel} {at} {before.price} {data.x} {price} {low.day} {move:+.2f} {volume}"
    changed = {
        "when": 'change("low.day", 60) > 1 or price > 1',
        "clear": "volume < 5",
        "values": {"move": "price - 1"},
    }
    fill(AlertsSettings, {"rules": [{**RULE, **changed, "message": shown}]})


def test_two_rules_of_a_name_are_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        fill(AlertsSettings, {"rules": [RULE, {**RULE, "name": "low"}, RULE]}, path="channels.alerts")
    assert str(caught.value) == (
        "channels.alerts.rules: rules[0] and rules[2] are both named 'high'; rename one"
    )


@pytest.mark.parametrize(
    "text",
    ["hot", "not hot", "hot.very", "data['very hot']", "hot and not (price > 5 or cold)", "1 < price < 5"],
)
def test_a_condition_is_a_comparison_or_a_field_that_is_true_or_false(text: str) -> None:
    fill(AlertsSettings, {"rules": [{**RULE, "when": text, "clear": text}]})


@pytest.mark.parametrize("pattern", ["*", "price*", "price:*", "price:B*", "price:BTC", "signals:type:x"])
def test_a_pattern_covers_topics(pattern: str) -> None:
    fill(AlertsSettings, {"rules": [{**RULE, "pattern": pattern}]})


@pytest.mark.parametrize(("key", "value"), [("keys", 0), ("samples", 1), ("keys", 1.5)])
def test_what_is_remembered_is_bounded(key: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"^{key}: "):
        fill(AlertsSettings, {key: value})


def test_the_check_of_a_file_shows_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text(
        '[channels.alerts]\nkeys = 5\n\n[[channels.alerts.rules]]\nname = "high"\npattern = "price:*"\n'
        'when = "price > 100 and and volume"\nmessage = "{key}"\n',
        encoding="utf-8",
    )
    with pytest.raises(SettingsError) as caught:
        configure(collect([builtin_folder()]), load(file=file, environment={}))
    assert str(caught.value) == (
        f"{file}:7: channels.alerts.rules[0].when: `price > 100 and and volume`, column 17: invalid syntax"
    )


def test_the_default_rules_are_right_and_show_what_there_is() -> None:
    assert AlertsSettings().rules == DEFAULT_RULES
    for key in ("clear", "hold", "values", "type"):
        assert any(getattr(rule, key) for rule in DEFAULT_RULES)
    assert not {*OWN} & {*TOLD}
