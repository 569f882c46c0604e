"""Offsets, histories and fan-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from appliance.api import Channel, Event, Mode
from appliance.core.errors import ErrorCode, PublishError, RequestError
from appliance.core.events import Entry
from appliance.core.history import Retention, Topic
from appliance.core.kept import Kept
from appliance.core.scope import EVERYTHING
from appliance.runtime.hub import Hub
from appliance.runtime.sight import Sight
from tests.runtime.stage import Lines, Message, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

KEEP = Retention(count=10, age=100, size=10_000)
RECEIVED = 50.0


class Ear:
    """An outlet that keeps what it is offered."""

    def __init__(self) -> None:
        self.offers: list[tuple[str, int, bytes]] = []

    def offer(self, topic: Topic, offset: int, frame: bytes) -> None:
        self.offers.append((topic.name, offset, frame))

    @property
    def heard(self) -> list[tuple[str, int]]:
        return [(name, offset) for name, offset, _ in self.offers]

    @property
    def messages(self) -> list[Message]:
        return [message for _, _, frame in self.offers for message in lines(frame)]


@attrs.define(eq=False)
class Watcher:
    appeared_at: list[tuple[str, int]] = attrs.field(factory=list)

    def appeared(self, topic: Topic) -> None:
        self.appeared_at.append((topic.name, topic.last))


@attrs.define
class Counted:
    """A form that counts how often it renders."""

    rendered: int = 0

    def __hash__(self) -> int:
        return 1

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:
        render = Lines().update(topic, label)

        def counted(entry: Entry) -> bytes:
            self.rendered += 1
            return render(entry)

        return counted

    def gap(self, topic: Topic, label: str) -> Callable[[int, int], bytes]:
        return Lines().gap(topic, label)


def by_severity(event: Event, settings: Any) -> Iterable[str]:
    yield "all"
    yield event.data["severity"]
    yield from settings or ()


@pytest.fixture
def hub() -> Hub:
    hub = Hub(epoch="e1", most_topics=5, most_bytes=100)
    hub.open(Channel(name="price", mode=Mode.STATE, message="price_update", topics=("BTC", "x*")), None, KEEP)
    hub.open(Channel(name="room", mode=Mode.LOG, message="said", open=True), None, KEEP)
    hub.open(Channel(name="signals", mode=Mode.LOG, message="alert", route=by_severity), ("all",), KEEP)
    return hub


def publish(hub: Hub, channel: str, key: str, **data: Any) -> None:
    hub.publish(Event(channel, key, data, 5.0), RECEIVED)


def join(hub: Hub, name: str, ear: Ear, *, form: Any = None, label: str | None = None) -> Any:
    topic = hub.topic(name)
    return hub.join(topic, ear, ear, form=form or Lines(), label=label or name, conflated=False)


def names(hub: Hub, pattern: str = "*") -> list[str]:
    return [topic.name for topic in hub.matching(pattern)]


def test_a_channel_brings_the_topics_that_need_no_event(hub: Hub) -> None:
    assert names(hub) == ["price:BTC"]
    topic = hub.topic("price:BTC")
    assert (topic.mode, topic.message, topic.retention, topic.last) == (Mode.STATE, "price_update", KEEP, 0)


def test_an_event_gets_its_place_and_reaches_all_who_joined(hub: Hub) -> None:
    one, other, elsewhere = Ear(), Ear(), Ear()
    join(hub, "price:BTC", one)
    join(hub, "price:BTC", other)
    join(hub, "room:a", elsewhere)
    publish(hub, "price", "BTC", price=1)
    publish(hub, "price", "BTC", price=2)
    assert one.heard == other.heard == [("price:BTC", 1), ("price:BTC", 2)]
    assert [message["body"] for message in one.messages] == [{"price": 1}, {"price": 2}]
    assert elsewhere.heard == []
    assert hub.events == 2
    [first, _] = hub.topic("price:BTC").after(0)
    assert (first.at, first.received, first.body) == (5.0, RECEIVED, b'{"price":1}')


def test_all_topics_have_the_epoch_of_the_hub_and_their_entries_one_count(hub: Hub) -> None:
    publish(hub, "price", "xA")
    publish(hub, "price", "xB")
    publish(hub, "price", "xA")
    entries = {topic.name: [entry.serial for entry in topic.after(0)] for topic in hub.matching("price:x*")}
    assert entries == {"price:xA": [1, 3], "price:xB": [2]}
    assert {topic.epoch for topic in hub.matching("*")} == {hub.epoch}


def test_a_route_puts_an_event_into_each_topic_once(hub: Hub) -> None:
    ear = Ear()
    publish(hub, "signals", "BTC", severity="high")
    join(hub, "signals:all", ear)
    join(hub, "signals:high", ear)
    publish(hub, "signals", "BTC", severity="high")
    publish(hub, "signals", "BTC", severity="low")
    publish(hub, "signals", "BTC", severity="all")
    assert ear.heard == [
        ("signals:all", 2),
        ("signals:high", 2),
        ("signals:all", 3),
        ("signals:all", 4),
    ]
    assert hub.events == 4


def test_an_event_that_one_of_its_topics_cannot_take_is_in_none(hub: Hub) -> None:
    publish(hub, "signals", "BTC", severity="high")
    with pytest.raises(PublishError, match="no key"):
        publish(hub, "signals", "BTC", severity="very high*")
    assert hub.topic("signals:all").last == 1
    assert hub.events == 1


def test_sessions_with_equal_words_share_a_frame(hub: Hub) -> None:
    form = Counted()
    ears = [Ear() for _ in range(5)]
    for ear in ears:
        join(hub, "price:BTC", ear, form=form)
    publish(hub, "price", "BTC")
    assert form.rendered == 1
    assert len({id(ear.offers[0][2]) for ear in ears}) == 1


def test_each_is_told_in_its_own_words(hub: Hub) -> None:
    plain, labelled, other = Ear(), Ear(), Ear()
    join(hub, "price:BTC", plain)
    join(hub, "price:BTC", labelled, label="price:bitcoin")
    join(hub, "price:BTC", other, form=Lines("other"))
    publish(hub, "price", "BTC")
    assert [ear.messages[0]["label"] for ear in (plain, labelled, other)] == [
        "price:BTC",
        "price:bitcoin",
        "price:BTC",
    ]


def test_an_audience_renders_what_is_asked_for(hub: Hub) -> None:
    audience = join(hub, "price:BTC", Ear())
    for price in range(3):
        publish(hub, "price", "BTC", price=price)
    rendered = [lines(audience.frame(entry))[0] for entry in hub.topic("price:BTC").after(0)]
    assert [(message["offset"], message["body"]["price"]) for message in rendered] == [(1, 0), (2, 1), (3, 2)]
    assert lines(audience.gap(1, 2))[0]["last"] == 2


def test_who_asked_for_less_is_told_of_no_gap(hub: Hub) -> None:
    ear = Ear()
    audience = hub.join(hub.topic("price:BTC"), ear, ear, form=Lines(), label="p", conflated=True)
    assert audience.gap(1, 2) == b""


def test_who_has_left_hears_no_more(hub: Hub) -> None:
    stays, leaves = Ear(), Ear()
    join(hub, "price:BTC", stays)
    audience = join(hub, "price:BTC", leaves)
    hub.leave(audience, leaves)
    publish(hub, "price", "BTC")
    assert (len(stays.heard), len(leaves.heard)) == (1, 0)


@pytest.mark.parametrize("name", ["price:ETH", "nothing:BTC", "price", "signals:high", "room:", "room:a*"])
def test_a_topic_that_cannot_be_is_refused(hub: Hub, name: str) -> None:
    with pytest.raises(RequestError) as caught:
        hub.topic(name)
    assert caught.value.code is ErrorCode.INVALID_CHANNEL


def test_where_a_channel_allows_it_asking_makes_a_topic(hub: Hub) -> None:
    assert hub.topic("price:xA") is hub.topic("price:xA")
    assert hub.topic("room:anything").name == "room:anything"


def test_a_topic_that_nobody_needs_any_more_goes(hub: Hub) -> None:
    ear = Ear()
    audience = join(hub, "room:a", ear)
    topic = audience.topic
    hub.release(topic)
    assert hub.topic("room:a") is topic
    hub.leave(audience, ear)
    hub.release(topic)
    assert hub.topic("room:a") is not topic


def test_what_was_only_asked_for_is_under_no_pattern(hub: Hub) -> None:
    watcher = Watcher()
    hub.watch(watcher)
    topic = hub.topic("room:a")
    before = (names(hub), hub.has(topic), watcher.appeared_at[:])
    publish(hub, "room", "a")
    assert before == (["price:BTC"], False, [])
    assert (names(hub), hub.has(topic)) == (["price:BTC", "room:a"], True)
    assert watcher.appeared_at == [("room:a", 0)]
    assert hub.has(hub.topic("price:BTC"))


def test_a_topic_with_events_or_declared_stays(hub: Hub) -> None:
    publish(hub, "room", "a")
    hub.declare("room", ["b"])
    for name in ("room:a", "room:b", "price:BTC"):
        hub.release(hub.topic(name))
    assert names(hub) == ["price:BTC", "room:a", "room:b"]


def test_what_somebody_asked_for_can_be_declared_later(hub: Hub) -> None:
    topic = hub.topic("room:a")
    hub.declare("room", ["a"])
    hub.release(topic)
    assert hub.topic("room:a") is topic


def test_watchers_hear_of_a_topic_before_its_first_event(hub: Hub) -> None:
    watcher, gone = Watcher(), Watcher()
    hub.watch(watcher)
    hub.watch(gone)
    hub.unwatch(gone)
    hub.unwatch(gone)
    publish(hub, "room", "a")
    publish(hub, "room", "a")
    hub.declare("price", ["xA"])
    hub.declare("price", ["xA", "BTC"])
    assert watcher.appeared_at == [("room:a", 0), ("price:xA", 0)]
    assert gone.appeared_at == []


def test_who_joins_when_a_topic_appears_gets_its_first_event(hub: Hub) -> None:
    ear = Ear()

    class Joiner:
        def appeared(self, topic: Topic) -> None:
            join(hub, topic.name, ear)

    hub.watch(Joiner())
    publish(hub, "room", "a")
    assert ear.heard == [("room:a", 1)]


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [
        ("*", True),
        ("p*", True),
        ("price:*", True),
        ("price:B*", True),
        ("nothing:*", False),
        ("pricey*", False),
    ],
)
def test_patterns_that_can_match(hub: Hub, pattern: str, covered: bool) -> None:  # noqa: FBT001 - a case
    assert Sight(hub, EVERYTHING).covers(pattern) is covered


def test_topics_of_a_pattern(hub: Hub) -> None:
    for key in ("a", "ab", "b"):
        publish(hub, "room", key)
    assert names(hub, "room:a*") == ["room:a", "room:ab"]
    assert names(hub, "price:*") == ["price:BTC"]
    assert names(hub, "nothing:*") == []


@pytest.mark.parametrize("key", ["", "a b", "a*", "x" * 201, "a\n"])
def test_a_key_that_is_none_is_refused(hub: Hub, key: str) -> None:
    with pytest.raises(PublishError, match="is no key"):
        publish(hub, "room", key)
    assert names(hub) == ["price:BTC"]


def test_topics_have_a_most(hub: Hub) -> None:
    for key in "abcde":
        publish(hub, "room", key)
    with pytest.raises(PublishError, match=r"limits\.topics"):
        publish(hub, "room", "f")
    with pytest.raises(RequestError, match=r"limits\.topics"):
        hub.topic("room:f")
    publish(hub, "room", "a")
    publish(hub, "price", "BTC")


def test_asking_takes_half_of_the_topics_at_most(hub: Hub) -> None:
    for key in "abc":
        hub.topic(f"room:{key}")
    with pytest.raises(RequestError, match=r"limits\.topics"):
        hub.topic("room:d")
    publish(hub, "room", "d")
    publish(hub, "room", "e")


def test_an_event_has_a_most(hub: Hub) -> None:
    publish(hub, "room", "a", text="x" * 89)
    with pytest.raises(PublishError, match=r"101 bytes .* 100 \(limits\.event_bytes\)"):
        publish(hub, "room", "a", text="x" * 90)
    assert hub.topic("room:a").last == 1


def deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize("make", [object, deep, lambda: "\ud800", lambda: {1.5j: 1}])
def test_data_that_is_no_json_is_refused(hub: Hub, make: Callable[[], object]) -> None:
    with pytest.raises(PublishError, match="room: data is no JSON"):
        publish(hub, "room", "a", value=make())
    assert names(hub) == ["price:BTC"]


def test_old_entries_expire(hub: Hub) -> None:
    publish(hub, "price", "BTC")
    hub.expire(RECEIVED + 100)
    assert len(list(hub.topic("price:BTC").after(0))) == 1
    hub.expire(RECEIVED + 101)
    assert list(hub.topic("price:BTC").after(0)) == []
    assert hub.topic("price:BTC").latest is not None


def test_an_entry_that_does_not_concern_a_reader_is_not_offered(hub: Hub) -> None:
    class Deaf(Lines):
        def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:
            render = super().update(topic, label)
            return lambda entry: b"" if entry.offset == 1 else render(entry)

    ear = Ear()
    join(hub, "price:BTC", ear, form=Deaf())
    publish(hub, "price", "BTC")
    assert ear.heard == []
    publish(hub, "price", "BTC")
    assert ear.heard == [("price:BTC", 2)]


def test_publishing_tells_the_topics_and_checking_them_beforehand(hub: Hub) -> None:
    event = Event("signals", "BTC", {"severity": "high"}, 5.0)
    checked = hub.prepare(event).topics
    assert [(topic.name, topic.last) for topic in checked] == [("signals:all", 0), ("signals:high", 0)]
    assert hub.publish(event, RECEIVED) == checked
    assert [topic.last for topic in checked] == [1, 1]


@pytest.mark.parametrize(
    "event",
    [
        Event("price", "no key", {}, 5.0),
        Event("price", "BTC", {"x": "x" * 200}, 5.0),
        Event("price", "BTC", {"x": object()}, 5.0),
    ],
)
def test_what_cannot_be_published_is_told_beforehand_in_the_same_words(hub: Hub, event: Event) -> None:
    with pytest.raises(PublishError) as checked:
        hub.prepare(event)
    with pytest.raises(PublishError) as published:
        hub.publish(event, RECEIVED)
    assert str(checked.value) == str(published.value)


def test_an_event_that_one_of_its_topics_cannot_take_makes_none(hub: Hub) -> None:
    event = Event("signals", "BTC", {"severity": "no key"}, 5.0)
    hub.open(Channel(name="fans", mode=Mode.LOG, message="m", route=by_severity), ("a", "b"), KEEP)
    for attempt in (hub.prepare, lambda event: hub.publish(event, RECEIVED)):
        with pytest.raises(PublishError):
            attempt(event)
        with pytest.raises(PublishError, match=r"limits\.topics"):
            attempt(Event("fans", "x", {"severity": "c"}, 5.0) if _fill(hub) else event)
    assert hub.known("signals:all") is None
    assert hub.known("fans:a") is None


def _fill(hub: Hub) -> bool:
    """Leave room for fewer topics than an event of `fans` needs."""
    hub.declare("fans", ["1", "2", "3"])
    return True


def kept(name: str, *numbers: int, last: int = 0, epoch: str = "before") -> Kept:
    entries = [
        Entry(offset, 5.0, RECEIVED, b"%d" % number, number=number)
        for offset, number in enumerate(numbers, 1)
    ]
    return Kept(name, epoch, last or len(entries), entries)


def test_topics_go_on_from_what_was_kept_of_them(hub: Hub) -> None:
    hub.restore(
        "price", [kept("price:BTC", 1, 4), kept("price:new", 2, 3), kept("price:old", last=7)], RECEIVED
    )
    topics = {topic.name: topic for topic in hub.matching("price:*")}
    assert {name: (topic.epoch, topic.last) for name, topic in topics.items()} == {
        "price:BTC": ("before", 2),
        "price:new": ("before", 2),
        "price:old": ("before", 7),
    }
    entries = [entry for topic in topics.values() for entry in topic.after(0)]
    assert [entry.body for entry in sorted(entries, key=lambda entry: entry.serial)] == [
        b"1",
        b"2",
        b"3",
        b"4",
    ]
    publish(hub, "price", "old")
    assert (topics["price:old"].last, hub.serial) == (8, 5)


def test_a_topic_that_goes_on_already_stays_as_it_is(hub: Hub) -> None:
    publish(hub, "price", "BTC")
    hub.restore("price", [kept("price:BTC", 1, 2, 3)], RECEIVED)
    assert (hub.topic("price:BTC").epoch, hub.topic("price:BTC").last) == ("e1", 1)


def test_what_has_passed_its_age_is_not_restored(hub: Hub) -> None:
    hub.open(Channel(name="young", mode=Mode.LOG, message="m"), None, Retention(count=9, age=60.0, size=1000))
    hub.restore("young", [kept("young:a", 1, 2)], RECEIVED + 61)
    assert (hub.topic("young:a").last, list(hub.topic("young:a").after(0))) == (2, [])


def test_the_topics_of_each_channel_are_counted() -> None:
    hub = Hub(epoch="e", most_topics=10, most_bytes=1000)
    hub.open(Channel(name="price", mode=Mode.STATE, message="m", topics=("BTC", "*")), None, KEEP)
    hub.open(Channel(name="trades", mode=Mode.LOG, message="m"), None, KEEP)
    hub.publish(Event("price", "ETH", {}, 1.0), RECEIVED)
    assert hub.sizes() == {"price": 2, "trades": 0}
    hub.close("price")
    assert hub.sizes() == {"trades": 0}
