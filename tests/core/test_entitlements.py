"""What principals may do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.conditions import parse
from appliance.core.entitlements import EVERYTHING, Entitlements, network, settled
from appliance.core.topics import matches
from appliance.core.views import Filter, Mask, Pace

PATTERNS = st.builds(str.__add__, st.text("ab:", max_size=3), st.sampled_from(["", "*"]))
LISTS = st.lists(PATTERNS, max_size=4)
NAMES = st.text("ab:", max_size=5)


@pytest.mark.parametrize(
    ("read", "topic", "allowed"),
    [
        (("*",), "price:BTC", True),
        (("price:BTC",), "price:BTC", True),
        (("price:BTC",), "price:BTCUSD", False),
        (("price:*",), "price:BTC", True),
        (("price:*",), "prices:BTC", False),
        (("price:*",), "price:*", True),
        (("price:B*",), "price:*", False),
        (("price:*", "signals:high"), "signals:high", True),
        ((), "price:BTC", False),
    ],
)
def test_what_may_be_read(read: tuple[str, ...], topic: str, *, allowed: bool) -> None:
    assert Entitlements(read=read).scope.covers(topic) is allowed


@pytest.mark.parametrize(
    ("publish", "channel", "allowed"),
    [
        ((), "alerts", False),
        (("*",), "alerts", True),
        (("alerts",), "alerts", True),
        (("alerts",), "alerts2", False),
        (("ale*",), "alerts", True),
        (("price", "ale*"), "predictions", False),
    ],
)
def test_what_may_be_published(publish: tuple[str, ...], channel: str, *, allowed: bool) -> None:
    assert Entitlements(publish=publish).may_publish(channel) is allowed


def test_where_nothing_is_said_all_is_read_and_nothing_published() -> None:
    assert EVERYTHING.scope.covers("price:BTC")
    assert not EVERYTHING.may_publish("price")
    assert EVERYTHING.may_come_from("203.0.113.5")
    assert EVERYTHING.may_come_from("unix")


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("10.0.0.0/8", "192.0.2.7"), "192.0.2.7", True),
        (("192.0.2.7",), "192.0.2.8", False),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("2001:db8::/32",), "2001:db8:5::1", True),
        (("2001:db8::/32",), "2001:db9::1", False),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("0.0.0.0/0",), "2001:db8::1", False),
        (("0.0.0.0/0", "::/0"), "unix", False),
        (("0.0.0.0/0",), "", False),
        ((), "10.1.2.3", False),
    ],
)
def test_where_one_may_come_from(networks: tuple[str, ...], address: str, *, allowed: bool) -> None:
    assert Entitlements(networks=map(network, networks)).may_come_from(address) is allowed


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10.0.0.0/33", "localhost", "10.0.0.*", "::g", "unix"])
def test_what_is_no_network_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="is no network: write"):
        network(text)


def test_what_allows_the_same_is_equal() -> None:
    one = Entitlements(
        read=("price:*", "signals:high", "price:BTC"),
        publish=["b", "a", "b"],
        networks=[network("10.0.0.0/8"), network("::1")],
        masks=[Mask(pattern="*", hide={"a"}), Mask(pattern="price:*", keep={"b", "c"})],
        filters=[Filter("*", parse("a = 1")), Filter("price:*", parse("b = 1"))],
    )
    other = Entitlements(
        read=("signals:high", "price:*"),
        publish=("a", "b"),
        networks=[network("::1"), network("10.0.0.0/8"), network("::1")],
        masks=[Mask(pattern="price:*", keep={"c", "b"}), Mask(pattern="*", hide={"a"})],
        filters=[Filter("price:*", parse("b in [1]")), Filter("*", parse("a = 1"))],
    )
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    "other",
    [
        Entitlements(read=("price:*",)),
        Entitlements(publish=("*",)),
        Entitlements(sessions=1),
        Entitlements(subscriptions=1),
        Entitlements(networks=()),
        Entitlements(paces=[Pace(pattern="*", rate=1.0)]),
        Entitlements(monitor=False),
        Entitlements(masks=[Mask(pattern="*", hide={"a"})]),
        Entitlements(filters=[Filter("*", parse("a = 1"))]),
    ],
)
def test_what_allows_something_else_is_not_equal(other: Entitlements) -> None:
    assert other != EVERYTHING


def test_a_view_is_that_of_its_masks_and_filters() -> None:
    entitled = Entitlements(
        masks=[Mask(pattern="price:*", hide={"model"})], filters=[Filter("price:*", parse('symbol = "BTC"'))]
    )
    assert entitled.scope.view("trades:all").is_whole
    assert entitled.scope.view("price:BTC") == entitled.scope.view("price:ETH")
    assert entitled.scope.view("price:BTC").show({"symbol": "BTC", "model": "m"}) == {"symbol": "BTC"}
    assert entitled.scope.view("price:BTC").show({"symbol": "ETH", "model": "m"}) is None


@given(LISTS, NAMES)
def test_settled_patterns_cover_what_they_covered(patterns: list[str], name: str) -> None:
    assert any(matches(p, name) for p in settled(patterns)) == any(matches(p, name) for p in patterns)


@given(LISTS, LISTS, NAMES)
def test_narrowed_allows_what_both_allow(ones: list[str], others: list[str], name: str) -> None:
    one, other = Entitlements(read=ones, publish=ones), Entitlements(read=others, publish=others)
    both = one.narrowed(other)
    assert both.scope.covers(name) == (one.scope.covers(name) and other.scope.covers(name))
    assert both.may_publish(name) == (one.may_publish(name) and other.may_publish(name))
    assert both == other.narrowed(one)


def test_narrowed_takes_the_lower_limits_and_all_masks_and_filters() -> None:
    hidden, filtered = Mask(pattern="*", hide={"a"}), Filter("*", parse("a = 1"))
    paced = Pace(pattern="*", rate=2.0)
    one = Entitlements(sessions=5, subscriptions=7, masks=[hidden])
    other = Entitlements(sessions=3, filters=[filtered], paces=[paced])
    assert one.narrowed(other) == Entitlements(
        sessions=3, subscriptions=7, masks=[hidden], filters=[filtered], paces=[paced]
    )


@pytest.mark.parametrize(
    ("ones", "others", "both"),
    [
        (None, None, None),
        (None, ["10.0.0.0/8"], ["10.0.0.0/8"]),
        (["10.0.0.0/8"], ["10.1.0.0/16", "192.0.2.1", "::1"], ["10.1.0.0/16"]),
        (["10.1.0.0/16"], ["10.0.0.0/8"], ["10.1.0.0/16"]),
        (["10.0.0.0/8"], ["192.0.2.1"], []),
        ([], None, []),
    ],
)
def test_narrowed_lets_come_from_where_both_do(
    ones: list[str] | None, others: list[str] | None, both: list[str] | None
) -> None:
    one, other, expected = (
        Entitlements(networks=None if texts is None else map(network, texts))
        for texts in (ones, others, both)
    )
    assert one.narrowed(other) == expected
