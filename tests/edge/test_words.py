from __future__ import annotations

import json

from appliance.core.events import Entry, Mode
from appliance.core.history import Retention, Topic
from appliance.dialects import cryptointel, eventstream
from appliance.edge.words import Wording

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
