from __future__ import annotations

import json
from typing import TYPE_CHECKING

from appliance.core.events import Entry, Mode
from appliance.core.history import Retention, Topic
from appliance.dialects import ara, cryptointel, eventstream, framing
from appliance.edge.words import Wording, Words

if TYPE_CHECKING:
    from collections.abc import Callable

TOPIC = Topic("price:BTC", Mode.STATE, "price_update", "epoch", Retention(10, None, 10_000))


def bracketed(text: bytes) -> bytes:
    return b"<" + text + b">"


def test_an_update_is_rendered_and_wrapped() -> None:
    render = Wording(cryptointel.Form.DOCUMENT, bracketed).update(TOPIC, "price:bitcoin")
    text = render(Entry(7, 0.0, 0.0, b'{"price":1}'))
    assert (text[:1], text[-1:]) == (b"<", b">")
    assert json.loads(text[1:-1]) == {
        "type": "price_update",
        "channel": "price:bitcoin",
        "offset": 7,
        "data": {"price": 1},
    }


def test_a_gap_is_rendered_and_wrapped() -> None:
    text = Wording(cryptointel.Form.DOCUMENT, bracketed).gap(TOPIC, "price:BTC")(3, 5)
    assert (text[:1], text[-1:]) == (b"<", b">")
    assert json.loads(text[1:-1]).items() >= {"type": "gap", "from": 3, "to": 5}.items()


def test_equal_words_are_one() -> None:
    """By this, sessions share rendered frames."""
    words = {
        Wording(form, wrap)
        for form in cryptointel.Form
        for wrap in (bracketed, eventstream.event)
        for _ in range(2)
    }
    assert len(words) == 4


KEPT = Entry(7, 0.0, 0.0, b'{"symbol":"AAPL","price":1}')


def of_symbol(symbol: str) -> Callable[[Entry], bytes]:
    def tell(entry: Entry) -> bytes:
        return entry.body if symbol.encode() in entry.body else b""

    return tell


def test_a_dialects_text_travels_in_a_frame() -> None:
    render = Words(of_symbol, ("AAPL",)).update(TOPIC, "not looked at")
    assert render(KEPT) == framing.text(KEPT.body)


def test_where_there_is_nothing_to_tell_there_is_no_frame() -> None:
    assert Words(of_symbol, ("MSFT",)).update(TOPIC, "not looked at")(KEPT) == b""


def test_of_a_gap_nothing_is_told() -> None:
    assert Words(of_symbol, ("AAPL",)).gap(TOPIC, "not looked at")(3, 5) == b""


def test_equal_words_of_any_dialect_are_one() -> None:
    words = {Words(of_symbol, (symbol,)) for symbol in ("AAPL", "MSFT") for _ in range(2)}
    others = {Words(ara.alert, (ara.AlertConfig(symbols=symbols),)) for symbols in (["A", "B"], ["b", "a"])}
    assert (len(words), len(others)) == (2, 1)
