"""What there is for somebody."""

from __future__ import annotations

import pytest

from appliance.core.conditions import parse
from appliance.core.scope import EVERYTHING, NOTHING, Scope
from appliance.core.views import WHOLE, Filter, Mask, Pace

MASKS = frozenset({Mask(pattern="price:*", hide={"model"})})
FILTERS = frozenset({Filter("trades:BTC", parse("size > 1"))})
PACES = frozenset({Pace(pattern="price:B*", rate=2.0), Pace(pattern="price:BTC", rate=5.0)})


def test_everything_and_nothing() -> None:
    assert EVERYTHING.is_everything
    assert EVERYTHING.covers("price:BTC")
    assert EVERYTHING.view("price:BTC") is WHOLE
    assert not NOTHING.is_everything
    assert not NOTHING.covers("price:BTC")
    assert not NOTHING.reaches("price")


@pytest.mark.parametrize(
    "scope", [Scope(read=("price:*",)), Scope(masks=MASKS), Scope(filters=FILTERS), Scope(paces=PACES)]
)
def test_who_is_limited_in_any_way_does_not_see_everything(scope: Scope) -> None:
    assert not scope.is_everything


def test_equal_scopes_are_shared() -> None:
    one, other = Scope(("price:*",), MASKS), Scope(("price:*",), frozenset(MASKS))
    assert (one, hash(one)) == (other, hash(other))


@pytest.mark.parametrize(
    ("read", "channel", "pattern", "reached"),
    [
        (("price:*",), "price", "*", True),
        (("price:*",), "price", "price:B*", True),
        (("price:*",), "prices", "*", False),
        (("price:BTC",), "price", "price:*", True),
        (("price:BTC",), "price", "price:BTC", True),
        (("price:BTC",), "price", "price:E*", False),
        (("price:BTC",), "trades", "*", False),
        (("p*",), "price", "pri*", True),
        (("p*",), "trades", "*", False),
        (("*",), "trades", "price:*", False),
        ((), "price", "*", False),
    ],
)
def test_channels_that_are_reached(
    read: tuple[str, ...], channel: str, pattern: str, *, reached: bool
) -> None:
    assert Scope(read).reaches(channel, pattern) is reached


def test_a_view_is_made_of_all_that_covers_a_topic() -> None:
    scope = Scope(masks=MASKS, filters=FILTERS, paces=PACES)
    assert scope.view("price:BTC").hide == {"model"}
    assert scope.view("price:BTC").rate == 2.0
    assert scope.view("price:ETH").rate is None
    assert scope.view("trades:BTC").conditions == parse("size > 1")
    assert scope.view("trades:ETH").is_whole


def test_a_channel_is_whole_where_nothing_of_it_is_missing() -> None:
    assert EVERYTHING.has_whole("price")
    assert Scope(("price:*",)).has_whole("price")
    assert not Scope(("price:BTC",)).has_whole("price")
    assert not Scope(masks=MASKS).has_whole("price")
    assert Scope(masks=MASKS).has_whole("trades")
    assert not Scope(filters=FILTERS).has_whole("trades")
    assert not Scope(paces=PACES).has_whole("price")


def test_events_are_counted_where_none_is_withheld() -> None:
    scope = Scope(("price:*", "trades:*"), MASKS, FILTERS)
    assert scope.counts("price:BTC")
    assert scope.counts("trades:ETH")
    assert not scope.counts("trades:BTC")
    assert not scope.counts("signals:all")
