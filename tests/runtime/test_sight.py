"""The hub as somebody sees it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from appliance.api import Channel, Event, Mode
from appliance.core.conditions import parse
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.history import Retention, Topic
from appliance.core.scope import EVERYTHING, Scope
from appliance.core.views import Filter, Mask
from appliance.runtime.hub import Hub
from appliance.runtime.sight import Lookout, Sight

MINE = Scope(filters=frozenset({Filter("*", parse('account = "A1"'))}))
MASKED = Scope(masks=frozenset({Mask(pattern="*", hide={"account"})}))
NARROW = Scope(read=("price:*",))


@pytest.fixture
def hub() -> Hub:
    made = Hub(epoch="e", most_topics=20, most_bytes=1000, most_views=2)
    keep = Retention(count=10, age=None, size=10_000)
    made.open(Channel(name="price", mode=Mode.STATE, message="m", topics=("BTC", "ETH")), None, keep)
    made.open(Channel(name="trades", mode=Mode.LOG, message="m", open=True), None, keep)
    made.open(Channel(name="closed", mode=Mode.LOG, message="m"), None, keep)
    return made


def publish(hub: Hub, name: str, **data: Any) -> None:
    channel, _, key = name.partition(":")
    hub.publish(Event(channel, key, data, 0.0), 0.0)


def names(topics: Any) -> list[str]:
    return sorted(topic.name for topic in topics)


@pytest.mark.parametrize(
    "name", ["trades:all", "trades:*", "closed:x", "nothing:x", "price:nothing", "price:*"]
)
def test_what_is_not_in_sight_is_told_as_what_there_is_not(hub: Hub, name: str) -> None:
    publish(hub, "trades:all")
    publish(hub, "closed:x")
    before = hub.sizes()
    with pytest.raises(RequestError) as caught:
        Sight(hub, NARROW).topic(name)
    assert (caught.value.code, caught.value.message) == (
        ErrorCode.INVALID_CHANNEL,
        f"Channel {name!r} does not exist",
    )
    assert Sight(hub, NARROW).known(name) is None
    assert hub.sizes() == before


def test_what_is_all_withheld_is_told_as_what_there_is_not(hub: Hub) -> None:
    publish(hub, "closed:x", account="A2")
    sight = Sight(hub, MINE)
    with pytest.raises(RequestError, match="Channel 'closed:x' does not exist"):
        sight.topic("closed:x")
    assert names(sight.matching("*")) == ["price:BTC", "price:ETH"]
    publish(hub, "closed:x", account="A1")
    assert sight.topic("closed:x").last == 1
    assert names(sight.matching("*")) == ["closed:x", "price:BTC", "price:ETH"]


def test_what_may_be_asked_for_can_be_though_all_is_withheld(hub: Hub) -> None:
    publish(hub, "trades:x", account="A2")
    sight = Sight(hub, MINE)
    assert sight.topic("trades:x").last == sight.topic("trades:y").last == 0


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [("*", True), ("p*", True), ("price:B*", True), ("trades:*", False), ("nothing:*", False), ("t*", False)],
)
def test_a_pattern_of_what_is_not_in_sight_covers_nothing(hub: Hub, pattern: str, *, covered: bool) -> None:
    assert Sight(hub, NARROW).covers(pattern) is covered


def test_who_sees_everything_reads_the_topics_themselves(hub: Hub) -> None:
    sight = Sight(hub, EVERYTHING)
    assert sight.topic("price:BTC") is hub.topic("price:BTC")
    assert [*sight.matching("price:*")] == [*hub.matching("price:*")]


def test_sights_of_equal_scopes_share_what_is_shown(hub: Hub) -> None:
    other = Scope(masks=frozenset({Mask(pattern="*", hide={"account"})}))
    assert Sight(hub, MASKED).topic("price:BTC") is Sight(hub, other).topic("price:BTC")
    assert len(hub.gallery) == 1


def test_an_event_that_is_no_entry_is_shown_likewise(hub: Hub) -> None:
    assert Sight(hub, MASKED).body("price:BTC", b'{"account":"A1","n":1}') == b'{"n":1}'
    assert Sight(hub, MINE).body("price:BTC", b'{"account":"A2"}') is None
    assert Sight(hub, NARROW).body("trades:all", b"{}") is None
    assert Sight(hub, EVERYTHING).body("trades:all", b"{}") == b"{}"


@attrs.define(eq=False)
class Newcomers:
    heard: list[tuple[str, int]] = attrs.field(factory=list)
    topics: list[Topic] = attrs.field(factory=list)
    refused: list[str] = attrs.field(factory=list)

    def appeared(self, topic: Topic) -> None:
        self.heard.append((topic.name, topic.last))
        self.topics.append(topic)

    def refuse(self, name: str, _error: RequestError) -> None:
        self.refused.append(name)


def look_out(hub: Hub, scope: Scope, *patterns: str) -> tuple[Lookout, Newcomers]:
    newcomers = Newcomers()
    lookout = Lookout(Sight(hub, scope), newcomers, newcomers.refuse)
    for pattern in patterns:
        lookout.follow(pattern)
    return lookout, newcomers


def test_a_topic_appears_with_its_first_event_that_is_shown(hub: Hub) -> None:
    publish(hub, "trades:old", account="A2")
    _, newcomers = look_out(hub, MINE, "trades:*")
    publish(hub, "trades:new", account="A2")
    publish(hub, "closed:new", account="A1")
    assert newcomers.heard == []
    publish(hub, "trades:new", account="A1")
    publish(hub, "trades:old", account="A1")
    publish(hub, "trades:old", account="A1")
    assert newcomers.heard == [("trades:new", 0), ("trades:old", 0)]
    assert [topic.last for topic in newcomers.topics] == [1, 2]


def test_a_topic_that_is_declared_appears_at_once(hub: Hub) -> None:
    _, newcomers = look_out(hub, MINE, "*")
    publish(hub, "closed:x", account="A2")
    hub.declare("closed", ["x", "y"])
    publish(hub, "closed:x", account="A1")
    assert newcomers.heard == [("closed:x", 0), ("closed:y", 0)]


def test_a_masked_topic_appears_before_its_first_event(hub: Hub) -> None:
    _, newcomers = look_out(hub, MASKED, "trades:*")
    publish(hub, "trades:a", account="A1")
    assert newcomers.heard == [("trades:a", 0)]
    assert newcomers.topics[0] is not hub.topic("trades:a")


def test_who_may_not_read_it_is_not_told_that_it_appeared(hub: Hub) -> None:
    _, newcomers = look_out(hub, NARROW, "*")
    publish(hub, "trades:a")
    assert newcomers.heard == []


def test_what_is_no_longer_followed_is_not_told_of(hub: Hub) -> None:
    publish(hub, "trades:old", account="A2")
    lookout, newcomers = look_out(hub, MINE, "trades:*", "closed:*")
    lookout.forget("trades:*")
    publish(hub, "trades:old", account="A1")
    publish(hub, "closed:a", account="A1")
    assert newcomers.heard == [("closed:a", 0)]
    lookout.close()
    publish(hub, "closed:b", account="A1")
    assert newcomers.heard == [("closed:a", 0)]


def test_who_came_for_too_much_is_told_what_it_cannot_read(hub: Hub) -> None:
    for number in range(2):
        look_out(hub, Scope(filters=frozenset({Filter("*", parse(f"n = {number}"))})), "trades:*")
    _, newcomers = look_out(hub, MINE, "trades:*")
    publish(hub, "trades:a", account="A1")
    assert (newcomers.heard, newcomers.refused) == ([], ["trades:a"])
