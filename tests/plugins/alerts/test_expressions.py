from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.alerts.expressions import Evaluator, MissingError, part_of, read, read_message

EVENT: dict[str, Any] = {
    "price": 101.5,
    "symbol": "BTC",
    "hot": True,
    "volume": None,
    "metadata": {"sources": ["tape", "book"], "depth": {"bid": 7}},
    "24h high": 110,
    "größe": 3,
    "nan": math.nan,
    "change": -2,
}


def value(text: str) -> object:
    """What it comes to for the event; a window gives its seconds."""
    evaluator = Evaluator(
        lambda name: part_of({**EVENT, "data": EVENT}, name), lambda _, __, seconds: seconds
    )
    return evaluator.value(read(text))


def mistake(text: str) -> str:
    with pytest.raises(ValueError, match="`") as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price > 100", True),
        ("100 < price <= 101.5", True),
        ("100 < price < 101", False),
        ("price > 100 and symbol == 'ETH'", False),
        ("price > 200 or not symbol == 'ETH'", True),
        ("symbol in ('BTC', 'ETH')", True),
        ('symbol not in ["SOL"]', True),
        ("'BT' in symbol", True),
        ("price % 2 == 1.5 and -price < +1 and price / 2 - 1 < 3 * 17 + 1", True),
        ("hot", True),
        ("hot == True", True),
        ("abs(change) == 2", True),
        ("metadata.depth.bid", 7),
        ("metadata['sources'] != []", True),
        ("'book' in metadata.sources", True),
        ('data["24h high"] > 100', True),
        ("größe == 3", True),
        ('change("price", 60) == 60', True),
        ('min("metadata.depth.bid", 0.5) + max("price", 1) + mean("price", 86400)', 86_401.5),
        ("price == 'a'", False),
        ("nan > 0 or nan <= 0 or nan == nan", False),
        ("price > 100\n  and hot", True),
        ("1e999 > 9", True),
    ],
)
def test_a_rule_can_say(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("", 1, "it ends too early"),
        ("price >", 8, "it ends too early"),
        ("price > > 100", 9, "invalid syntax"),
        ("price = 100", 7, "compare by ==, >= and <="),
        ("price => 100", 7, "compare by ==, >= and <="),
        ("price > 100 && hot", 14, "write `and`"),
        ("price > 100 || hot", 14, "write `or`"),
        ("price > 100 AND hot", 13, "write `and`"),
        ("!hot", 1, "write `not`"),
        ("symbol == '\\d'", 11, "invalid escape"),
        ("(price > 100", 1, "'(' was never closed"),
        ("price > 100 and symbol == 'BTC", 27, "unterminated string literal"),
        ("price ** 9 > 1", 1, "`price ** 9` is nothing that a rule can say"),
        ("hot and price << 9 > 1", 9, "`price << 9` is nothing"),
        ("price // 2 > 1", 1, "is nothing"),
        ("price is 5", 1, "is nothing"),
        ("~price > 1", 1, "is nothing"),
        ("größe > 1 and (lambda: 1)", 16, "`lambda: 1` is nothing"),
        ("[x for x in price] == []", 1, "is nothing"),
        ("{1: 2} == price", 1, "is nothing"),
        ("f'{price}' == ''", 1, "is nothing"),
        ("(x := 5) > 1", 2, "is nothing"),
        ("price > None", 9, "`None` is nothing"),
        ("price > 5j", 9, "is nothing"),
        ("price == b'a'", 10, "is nothing"),
        ("price > ...", 9, "is nothing"),
        ("hot if price else hot", 1, "is nothing"),
        ("price[1:2] == price", 7, "`1:2` is nothing"),
        ("(*symbol,) == 1", 2, "is nothing"),
        ("'a'.upper() == 'A'", 1, "there are min, max, mean, change of a field over at most 86400 seconds"),
        ("symbol.upper() == 'BTC'", 1, "there are min"),
        ("().__class__ == 1", 1, "`().__class__` is nothing"),
        ("eval('1') > 0", 1, "there are min"),
        ("__import__('os') == 1", 1, "there are min"),
        ("abs() > 1", 1, "there are min"),
        ("abs(*price) > 1", 5, "is nothing"),
        ("change(price, 60) > 1", 1, 'as in change("price", 60)'),
        ('change("price") > 1', 1, 'as in change("price", 60)'),
        ('change("price", 0) > 1', 1, 'as in change("price", 60)'),
        ('change("price", -1) > 1', 1, 'as in change("price", 60)'),
        ('change("price", 86401) > 1', 1, 'as in change("price", 60)'),
        ('change("price", 1e999) > 1', 1, 'as in change("price", 60)'),
        ('change("price", seconds=60) > 1', 1, 'as in change("price", 60)'),
        ('price > 1 and change("price", "60") > 1', 15, 'as in change("price", 60)'),
        ("\n  price > 100\n and price >", 25, "it ends too early"),
        ("price \\", 7, "unexpected"),
    ],
)
def test_what_else_it_says_is_refused_with_its_column(text: str, column: int, problem: str) -> None:
    told = mistake(text)
    shown = text.strip().replace("\n", " ")
    assert told.startswith(f"`{shown}`, column {column}: ")
    assert problem in told


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-" * 500 + "1", "nested too deeply"),
        ("(" * 900 + "1", "nested too deeply|too many nested"),
        ("not " * 200 + "hot", "nested too deeply"),
        ("a." * 400 + "b", "nested too deeply"),
        ("price > 1 and " * 100 + "hot", "is 1403 characters long, and may have 1000"),
    ],
)
def test_what_is_too_much_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(text)


def test_a_long_text_is_shown_by_its_beginning() -> None:
    text = "price > 100 and " * 10 + ">"
    assert mistake(text) == f"`{text[:60]}…`, column 161: invalid syntax"


@given(st.text(alphabet="abc price()[].,'\"*/+-<>=!&|~^@:{}\n\\#0123456789_é", max_size=60))
def test_whatever_it_says_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except ValueError as error:
        assert "column" in str(error) or "deeply" in str(error)  # noqa: PT017 - both are as they should be


def test_the_fields_that_it_speaks_of_are_known() -> None:
    expression = read(
        'price > before.price and metadata.depth.bid > mean("book.bid", 60) + max("price", 1.5)'
    )
    assert expression.names == {"price", "before", "metadata", "book"}
    assert expression.windows == {("book.bid", 60), ("price", 1.5)}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("volume > 1", "volume"),
        ("nothing > 1", "nothing"),
        ("min > 1", "min"),
        ("metadata.depth.ask > 1", "ask"),
        ("price.real > 1", "real"),
        ("price.__class__ == 1", "__class__"),
        ("metadata.items == 1", "items"),
        ("metadata.keys == 1", "keys"),
        ("symbol.format == 1", "format"),
        ("metadata.sources[0] == 1", "0"),
        ('data["low"] == 1', "low"),
    ],
)
def test_a_field_that_is_not_there_is_missing(text: str, name: str) -> None:
    """What an object has beside its data is not there either."""
    with pytest.raises(MissingError, match=f"`{name}`"):
        value(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("price / 0 > 1", ZeroDivisionError),
        ("symbol > 1", TypeError),
        ("symbol * 1000 == symbol", TypeError),
        ("'%99999999d' % 5 == symbol", TypeError),
        ("symbol + symbol == symbol", TypeError),
        ("hot + 1 == 2", TypeError),
        ("-symbol == 2", TypeError),
        ("metadata.sources * 1000 == 2", TypeError),
        ("abs(symbol) > 1", TypeError),
        ("1 in price", TypeError),
        ("data[metadata] == 1", TypeError),
    ],
)
def test_text_and_lists_cannot_be_calculated_with(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        value(text)


def test_a_message_is_text_and_values() -> None:
    parts = read_message("{key} is at {price:,.2f}{{%}}, before {before.price}.")
    assert [(part.text, part.form, part.value is not None) for part in parts] == [
        ("", "", True),
        (" is at ", ",.2f", True),
        ("{", "", False),
        ("%}", "", False),
        (", before ", "", True),
        (".", "", False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "{}",
            "{0}",
            "{price!r}",
            "{price[0]}",
            "{price.}",
            "{.price}",
            "{price + 1}",
            "{a b}",
            "{price:{width}}",
        ),
        *("{price:999f}", "{price:.999f}", "{price:*>99}", "{ price}"),
    ],
)
def test_a_placeholder_names_a_value_and_its_format(text: str) -> None:
    with pytest.raises(ValueError, match="is no placeholder: write"):
        read_message(text)


@pytest.mark.parametrize("text", ["{price", "price}", "{price:"])
def test_a_brace_that_is_not_closed_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"'[{}]'"):
        read_message(text)
