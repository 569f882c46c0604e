"""What masks and filters leave of events."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from appliance.core.conditions import parse
from appliance.core.views import WHOLE, Filter, Mask, Pace, View, view

DATA: dict[str, Any] = {"symbol": "BTC", "price": 5.0, "account": "A1", "model": "m1"}


@pytest.mark.parametrize(
    ("masks", "shown"),
    [
        ((), {"symbol", "price", "account", "model"}),
        ((Mask(pattern="price:*", keep={"symbol", "price", "missing"}),), {"symbol", "price"}),
        ((Mask(pattern="price:*", hide={"account", "missing"}),), {"symbol", "price", "model"}),
        ((Mask(pattern="price:*", keep={"symbol", "price"}, hide={"price"}),), {"symbol"}),
        (
            (Mask(pattern="*", hide={"account"}), Mask(pattern="price:BTC", keep={"price", "account"})),
            {"price"},
        ),
        ((Mask(pattern="*", keep={"symbol"}), Mask(pattern="price:BTC", keep={"price"})), set()),
        ((Mask(pattern="trades:*", keep=()),), {"symbol", "price", "account", "model"}),
        ((Mask(pattern="price:BTC", keep=()),), set()),
    ],
)
def test_masks(masks: tuple[Mask, ...], shown: set[str]) -> None:
    for order in permutations(masks):
        found = view(order, (), "price:BTC").show(DATA)
        assert found is not None
        assert found == {name: DATA[name] for name in shown}


def test_a_filter_sees_what_a_mask_hides() -> None:
    made = view(
        [Mask(pattern="*", hide={"account"})], [Filter("*", parse('account = "A1"'))], "portfolio:paper"
    )
    assert made.show(DATA) == {"symbol": "BTC", "price": 5.0, "model": "m1"}
    assert made.show({**DATA, "account": "A2"}) is None


def test_all_filters_that_cover_a_topic_must_let_an_event_through() -> None:
    filters = [
        Filter("price:*", parse('symbol = "BTC"')),
        Filter("*", parse("price > 4")),
        Filter("trades:*", parse("price > 9")),
    ]
    for order in permutations(filters):
        made = view((), order, "price:BTC")
        assert made.show(DATA) is DATA
        assert made.show({**DATA, "price": 4}) is None
        assert made.show({**DATA, "symbol": "ETH"}) is None


def test_where_nothing_is_left_out_all_is_shown_as_it_is() -> None:
    whole = view([Mask(pattern="trades:*", keep=())], [Filter("trades:*", parse("a = 1"))], "price:BTC")
    assert whole is WHOLE
    assert whole.is_whole
    assert whole.show(DATA) is DATA
    assert not View(hide=frozenset({"a"})).is_whole


def test_views_that_show_the_same_are_equal() -> None:
    one = view(
        [Mask(pattern="*", keep={"a", "b", "c"}), Mask(pattern="price:*", hide={"c"})],
        [Filter("*", parse("a = 1 and b = 2"))],
        "price:BTC",
    )
    other = view(
        [Mask(pattern="price:BTC", keep={"b", "a"})],
        [Filter("*", parse("b = 2")), Filter("price:*", parse("a = 1.0"))],
        "price:BTC",
    )
    assert one == other
    assert hash(one) == hash(other)


def test_the_lowest_pace_that_covers_a_topic_holds() -> None:
    paces = [
        Pace(pattern="*", rate=5.0),
        Pace(pattern="price:*", rate=2.0),
        Pace(pattern="trades:*", rate=1.0),
    ]
    assert view((), (), "price:BTC", paces=paces).rate == 2.0
    assert view((), (), "signals:all", paces=paces).rate == 5.0
    assert view((), (), "price:BTC").rate is None


def test_only_a_mask_withholds_no_events() -> None:
    assert not View(hide=frozenset({"a"})).withholds
    assert View(conditions=parse("a = 1")).withholds
    assert View(rate=1.0).withholds
    assert not View(rate=1.0).is_whole


def test_what_is_shown_of_a_body_keeps_its_digits() -> None:
    body = b'{"price":0.10000000000000000001,"big":12345678901234567890,"name":"\xc3\xa9","hidden":1}'
    assert View(hide=frozenset({"hidden"})).shown(body) == body[: -len(b',"hidden":1}')] + b"}"
    assert View(conditions=parse("price < 1")).shown(body) is body
    assert View(conditions=parse("price > 1")).shown(body) is None
    assert WHOLE.shown(body) is body


@pytest.mark.parametrize("body", [b"[1,2]", b'"text"', b"null", b"1" * 5000])
def test_of_what_is_no_object_nothing_is_shown(body: bytes) -> None:
    assert View(hide=frozenset({"a"})).shown(body) == b"{}"
    assert View(conditions=parse("a != 1")).shown(body) is None
    assert View(rate=1.0).shown(body) is body
