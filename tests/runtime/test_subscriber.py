"""What a session reads, on which terms, and from where."""

from __future__ import annotations

import heapq
from functools import partial
from typing import TYPE_CHECKING

import pytest

from appliance.api import Channel, Event, Mode
from appliance.core import chain, places
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.history import Position, Resumption, Retention
from appliance.core.outbox import Outbox
from appliance.core.places import Place, by_topic
from appliance.core.scope import EVERYTHING, Scope
from appliance.core.subscriptions import Joined, Terms
from appliance.core.views import Mask
from appliance.runtime.hub import Hub
from appliance.runtime.sight import Sight
from appliance.runtime.subscriber import Subscriber
from tests.runtime.stage import Counting, Lines, Message, line, lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.events import Entry
    from appliance.core.history import Topic

FORM = Lines()
PLAIN = Terms(FORM)


class Shouting(Lines):
    """Another form."""

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:
        def render(entry: Entry) -> bytes:
            return line("UPDATE", topic=topic.name, label=label, offset=entry.offset)

        return render


class Scene:
    """A session without a socket: what it is told is read from its outbox."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, int, Callable[[], None]]] = []
        self.newcomers: list[Joined] = []
        self.scope = EVERYTHING
        self.resumed: list[bool] = []
        self.hub = Hub(epoch="e1", most_topics=50, most_bytes=1000)
        keep = Retention(count=5, age=None, size=10_000)
        self.hub.open(
            Channel(name="price", mode=Mode.STATE, message="m", topics=("BTC", "ETH"), open=True), None, keep
        )
        self.hub.open(
            Channel(name="trades", mode=Mode.LOG, message="m", topics=("all",), open=True), None, keep
        )
        self.outbox = Outbox(lambda _: None, chain.root(), burst=100_000)
        self.subscriber = self.session(self.outbox)

    def session(self, outbox: Outbox) -> Subscriber:
        return Subscriber(
            lambda: Sight(self.hub, self.scope),
            outbox,
            clock=lambda: self.now,
            call_at=lambda when, call: heapq.heappush(self.calls, (when, len(self.calls), call)),
            newcomer=lambda joined, _: self.newcomers.append(joined),
            resumed=self.resumed.append,
        )

    def publish(self, name: str, times: int = 1) -> None:
        channel, _, key = name.partition(":")
        for _ in range(times):
            self.hub.publish(Event(channel, key, {}, self.now), self.now)

    def subscribe(
        self, *names: str, terms: Terms = PLAIN, recover: dict[str, Position] | None = None
    ) -> list[Joined]:
        joined = [
            reading
            for name in names
            for reading in self.subscriber.subscribe(name, terms, by_topic(recover or {}))
        ]
        self.subscriber.catch_up()
        return joined

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while self.calls and self.calls[0][0] <= self.now:
            heapq.heappop(self.calls)[2]()

    def told(self) -> list[tuple[str, int]]:
        return [(message["label"], message["offset"]) for message in self.messages()]

    def messages(self) -> list[Message]:
        if self.outbox.open:
            return lines(self.outbox.collect())
        return lines(self.outbox.take(1 << 30))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_of_a_state_the_newest_comes_first_and_then_each(scene: Scene) -> None:
    scene.publish("price:BTC", 3)
    [joined] = scene.subscribe("price:BTC")
    scene.publish("price:BTC")
    assert (joined.topic.name, joined.label, joined.offset, joined.after) == ("price:BTC", "price:BTC", 3, 2)
    assert (joined.pattern, joined.limit, joined.resumption) == (None, None, None)
    assert scene.told() == [("price:BTC", 3), ("price:BTC", 4)]


def test_of_a_log_comes_what_comes(scene: Scene) -> None:
    scene.publish("trades:all", 3)
    [joined] = scene.subscribe("trades:all")
    scene.publish("trades:all")
    assert (joined.offset, joined.after) == (3, 3)
    assert scene.told() == [("trades:all", 4)]


def test_of_an_empty_state_the_first_event_comes_without_a_gap(scene: Scene) -> None:
    scene.outbox.shut()
    [joined] = scene.subscribe("price:BTC")
    scene.publish("price:BTC")
    assert joined.after == 0
    assert [message["kind"] for message in scene.messages()] == ["update"]


def test_nothing_is_sent_before_it_is_time(scene: Scene) -> None:
    scene.publish("price:BTC")
    scene.subscriber.subscribe("price:BTC", PLAIN)
    assert scene.told() == []
    scene.subscriber.catch_up()
    scene.subscriber.catch_up()
    assert scene.told() == [("price:BTC", 1)]


def test_names_that_cover_the_same_topic_send_it_once(scene: Scene) -> None:
    scene.publish("price:BTC", 4)
    scene.subscriber.subscribe("price:B*", PLAIN, by_topic({"price:BTC": Position("e1", 1)}))
    scene.subscriber.subscribe("price:BTC", Terms(FORM, "price:bitcoin"))
    scene.subscriber.catch_up()
    assert scene.told() == [("price:bitcoin", offset) for offset in (2, 3, 4)]


def test_a_pattern_reads_all_that_is_there_and_all_that_comes(scene: Scene) -> None:
    joined = scene.subscribe("price:*")
    assert [(reading.topic.name, reading.pattern) for reading in joined] == [
        ("price:BTC", "price:*"),
        ("price:ETH", "price:*"),
    ]
    scene.publish("price:SOL")
    scene.publish("trades:all")
    [newcomer] = scene.newcomers
    assert (newcomer.topic.name, newcomer.after, newcomer.pattern) == ("price:SOL", 0, "price:*")
    assert scene.told() == [("price:SOL", 1)]


def test_who_reads_a_topic_already_is_not_told_that_it_appears(scene: Scene) -> None:
    scene.subscribe("price:*", "price:SOL")
    scene.publish("price:SOL")
    assert scene.newcomers == []
    assert scene.told() == [("price:SOL", 1)]


def test_a_topic_that_was_only_asked_for_goes_with_its_name(scene: Scene) -> None:
    scene.subscribe("price:*", "price:SOL")
    scene.subscriber.unsubscribe("price:SOL")
    assert "price:SOL" not in scene.outbox.positions()
    scene.publish("price:SOL")
    assert [reading.topic.name for reading in scene.newcomers] == ["price:SOL"]
    assert scene.told() == [("price:SOL", 1)]


def test_a_pattern_that_nothing_can_match_is_refused(scene: Scene) -> None:
    with pytest.raises(RequestError) as caught:
        scene.subscribe("nothing:*")
    assert caught.value.code is ErrorCode.INVALID_CHANNEL
    assert "nothing:*" not in scene.subscriber


def test_what_a_client_may_not_read_does_not_exist_for_it(scene: Scene) -> None:
    scene.scope = Scope(read=("price:ETH", "price:X*", "trades:*"))
    for name in ("price:BTC", "price:SOL"):
        with pytest.raises(RequestError) as caught:
            scene.subscribe(name)
        assert caught.value.message == f"Channel {name!r} does not exist"
    assert [reading.topic.name for reading in scene.subscribe("price:*")] == ["price:ETH"]
    scene.publish("price:SOL")
    scene.publish("price:BTC")
    scene.publish("price:ETH")
    assert scene.newcomers == []
    assert scene.told() == [("price:ETH", 1)]


def test_who_comes_back_gets_what_it_missed(scene: Scene) -> None:
    scene.publish("trades:all", 5)
    [joined] = scene.subscribe("trades:all", recover={"trades:all": Position("e1", 2)})
    scene.publish("trades:all")
    assert joined.resumption == Resumption(after=2, recovered=True, gap=None)
    assert scene.told() == [("trades:all", offset) for offset in (3, 4, 5, 6)]


def test_who_comes_back_too_late_is_told_and_gets_what_there_is(scene: Scene) -> None:
    scene.publish("trades:all", 8)
    scene.publish("price:BTC", 8)
    recover = {"trades:all": Position("e1", 1), "price:BTC": Position("e1", 1)}
    trades, price = scene.subscribe("trades:all", "price:BTC", recover=recover)
    assert trades.resumption == Resumption(after=3, recovered=False, gap=(2, 3))
    assert price.resumption == Resumption(after=7, recovered=False, gap=(2, 7))
    assert scene.told() == [("trades:all", n) for n in (4, 5, 6, 7, 8)] + [("price:BTC", 8)]


def test_a_pattern_resumes_each_of_its_topics(scene: Scene) -> None:
    scene.publish("price:BTC", 2)
    scene.publish("price:ETH", 2)
    scene.subscribe("price:*", recover={"price:BTC": Position("e1", 0)})
    assert scene.told() == [("price:BTC", 1), ("price:BTC", 2), ("price:ETH", 2)]


def test_who_knows_one_place_among_all_topics_gets_what_came_behind_it(scene: Scene) -> None:
    for name in ("trades:all", "price:BTC", "trades:all", "price:ETH", "trades:all"):
        scene.publish(name)
    resume = partial(places.resume, Place("e1", 2), newest=scene.hub.newest)
    joined = [*scene.subscriber.subscribe("price:*", PLAIN, resume)]
    joined += scene.subscriber.subscribe("trades:all", PLAIN, resume)
    scene.subscriber.catch_up()
    assert [(at.topic.name, at.resumption) for at in joined] == [
        ("price:BTC", Resumption(after=1, recovered=True, gap=None)),
        ("price:ETH", Resumption(after=0, recovered=True, gap=None)),
        ("trades:all", Resumption(after=1, recovered=True, gap=None)),
    ]
    assert sorted(scene.told()) == [("price:ETH", 1), ("trades:all", 2), ("trades:all", 3)]


def test_who_already_reads_a_topic_does_not_resume_it(scene: Scene) -> None:
    scene.publish("trades:all", 2)
    scene.subscribe("trades:all")
    [joined] = scene.subscribe("trades:all", recover={"trades:all": Position("e2", 0)})
    assert joined.resumption is None
    assert scene.told() == []


def test_after_unsubscribing_nothing_comes(scene: Scene) -> None:
    scene.subscribe("price:BTC", "price:ETH")
    assert scene.subscriber.unsubscribe("price:BTC")
    assert not scene.subscriber.unsubscribe("price:BTC")
    scene.publish("price:BTC")
    scene.publish("price:ETH")
    assert scene.told() == [("price:ETH", 1)]
    assert len(scene.subscriber) == 1
    assert "price:BTC" not in scene.subscriber


def test_after_unsubscribing_from_a_pattern_nothing_appears(scene: Scene) -> None:
    scene.subscribe("price:*")
    scene.subscriber.unsubscribe("price:*")
    scene.publish("price:SOL")
    assert (scene.newcomers, scene.told()) == ([], [])


def test_another_name_that_covers_a_topic_keeps_it(scene: Scene) -> None:
    scene.subscribe("price:*")
    scene.subscribe("price:BTC", terms=Terms(FORM, "price:bitcoin"))
    scene.publish("price:BTC")
    scene.subscriber.unsubscribe("price:BTC")
    scene.publish("price:BTC")
    assert scene.told() == [("price:bitcoin", 1), ("price:BTC", 2)]


def test_other_words_bring_the_newest_again(scene: Scene) -> None:
    scene.publish("price:BTC")
    scene.subscribe("price:BTC")
    scene.subscribe("price:BTC", terms=Terms(FORM, "price:bitcoin"))
    scene.publish("price:BTC")
    assert scene.told() == [("price:BTC", 1), ("price:bitcoin", 1), ("price:bitcoin", 2)]


def test_the_same_words_bring_nothing_again(scene: Scene) -> None:
    scene.publish("price:BTC")
    scene.subscribe("price:BTC")
    [joined] = scene.subscribe("price:BTC")
    assert (joined.offset, joined.after) == (1, 1)
    assert scene.told() == [("price:BTC", 1)]


def test_another_form_holds_from_now_on_and_for_what_is_owed(scene: Scene) -> None:
    scene.publish("price:BTC", 2)
    scene.subscribe("trades:all")
    scene.subscribe("price:*", terms=Terms(FORM, "mine"))
    scene.publish("trades:all")
    assert [message["kind"] for message in scene.messages()] == ["update", "update"]
    scene.outbox.shut()
    scene.publish("trades:all")
    scene.subscriber.reform(Shouting())
    scene.publish("price:BTC")
    scene.publish("price:NEW")
    told = [(message["kind"], message["label"], message["offset"]) for message in scene.messages()]
    assert sorted(told) == [("UPDATE", "mine", 1), ("UPDATE", "mine", 3), ("UPDATE", "trades:all", 2)]
    assert scene.newcomers[-1].label == "mine"


def test_names_of_a_label(scene: Scene) -> None:
    scene.subscribe("price:BTC", "price:ETH", terms=Terms(FORM, "prices"))
    scene.subscribe("trades:all")
    assert scene.subscriber.labelled("prices") == ("price:BTC", "price:ETH")


def test_who_has_left_reads_nothing(scene: Scene) -> None:
    scene.subscribe("price:*", "trades:all", "price:only-me")
    scene.subscriber.leave()
    scene.publish("price:BTC")
    scene.publish("price:SOL")
    assert (scene.newcomers, scene.told()) == ([], [])
    assert scene.outbox.positions() == {}
    assert "price:only-me" not in {topic.name for topic in scene.hub.matching("*")}


def test_a_limit_passes_the_newest(scene: Scene) -> None:
    scene.subscribe("price:BTC", terms=Terms(FORM, limit=1))
    scene.publish("price:BTC", 5)
    assert scene.told() == [("price:BTC", 1)]
    scene.advance(1)
    assert scene.told() == [("price:BTC", 5)]


@pytest.mark.parametrize("name", ["trades:all", "trades:*", "*", "trades:new"])
def test_a_log_takes_no_limit(scene: Scene, name: str) -> None:
    before = {topic.name for topic in scene.hub.matching("*")}
    with pytest.raises(RequestError, match=r"every event of 'trades:.*' counts") as caught:
        scene.subscribe(name, terms=Terms(FORM, limit=1))
    assert caught.value.code is ErrorCode.INVALID_MESSAGE
    assert name not in scene.subscriber
    assert {topic.name for topic in scene.hub.matching("*")} == before


def test_a_log_never_comes_under_the_limit_of_a_pattern(scene: Scene) -> None:
    scene.scope = Scope(read=("price:*", "trades:n*"))
    scene.subscribe("*", terms=Terms(FORM, limit=1))
    scene.publish("trades:new", 2)
    assert (scene.newcomers, scene.told()) == ([], [])
    scene.subscribe("trades:*")
    scene.publish("trades:new", 3)
    assert scene.told() == [("trades:new", 3), ("trades:new", 4), ("trades:new", 5)]
    scene.subscriber.unsubscribe("trades:*")
    scene.publish("trades:new", 3)
    assert scene.told() == []


def test_what_a_limit_holds_back_comes_when_the_limit_goes(scene: Scene) -> None:
    scene.subscribe("price:BTC", terms=Terms(FORM, limit=1))
    scene.publish("price:BTC", 3)
    [joined] = scene.subscribe("price:BTC")
    assert (joined.offset, joined.limit) == (3, None)
    scene.publish("price:BTC")
    assert scene.told() == [("price:BTC", 1), ("price:BTC", 3), ("price:BTC", 4)]
    scene.advance(10)
    assert scene.told() == []


def test_another_limit_counts_from_its_own_first(scene: Scene) -> None:
    scene.subscribe("price:BTC", terms=Terms(FORM, limit=1))
    scene.publish("price:BTC", 2)
    scene.subscribe("price:BTC", terms=Terms(FORM, limit=0.1))
    scene.publish("price:BTC", 2)
    assert scene.told() == [("price:BTC", 1), ("price:BTC", 2), ("price:BTC", 3)]
    scene.advance(9)
    assert scene.told() == []
    scene.advance(1)
    assert scene.told() == [("price:BTC", 4)]


def test_what_a_limit_holds_back_goes_with_the_subscription(scene: Scene) -> None:
    scene.subscribe("price:BTC", terms=Terms(FORM, limit=1))
    scene.publish("price:BTC", 3)
    scene.subscriber.unsubscribe("price:BTC")
    scene.advance(10)
    assert scene.told() == [("price:BTC", 1)]


def test_what_a_limit_holds_back_is_owed_to_who_comes_back(scene: Scene) -> None:
    scene.subscribe("price:BTC", terms=Terms(FORM, limit=1))
    scene.publish("price:BTC", 3)
    assert scene.outbox.positions() == {"price:BTC": ("e1", 1)}


def test_a_client_that_is_behind_and_asks_again_loses_nothing(scene: Scene) -> None:
    scene.publish("price:BTC")
    scene.subscribe("price:BTC")
    scene.messages()
    scene.outbox.shut()
    scene.publish("price:BTC", 3)
    scene.subscribe("price:BTC", terms=Terms(FORM, "price:bitcoin"))
    assert scene.told() == [("price:bitcoin", 2), ("price:bitcoin", 3), ("price:bitcoin", 4)]


def test_sessions_do_not_share_what_they_read(scene: Scene) -> None:
    outbox = Outbox(lambda _: None, chain.root(), burst=1000)
    other = scene.session(outbox)
    scene.subscribe("price:BTC")
    other.subscribe("price:BTC", PLAIN)
    scene.publish("price:BTC")
    other.leave()
    scene.publish("price:BTC")
    assert scene.told() == [("price:BTC", 1), ("price:BTC", 2)]
    assert len(lines(outbox.collect())) == 1


def test_who_comes_back_is_told_of_topic_by_topic(scene: Scene) -> None:
    scene.publish("trades:all", 9)  # of which five are kept
    scene.publish("price:BTC")
    scene.subscribe("price:ETH")
    assert scene.resumed == []
    scene.subscribe(
        "trades:all",
        "price:BTC",
        recover={"trades:all": Position("e1", 1), "price:BTC": Position("e1", 1)},
    )
    assert scene.resumed == [False, True]


def test_many_who_come_back_have_each_entry_rendered_once() -> None:
    scene, form = Scene(), Counting()
    scene.hub.open(
        Channel(name="news", mode=Mode.LOG, message="m", topics=("all",)),
        None,
        Retention(count=1000, age=None, size=1 << 20),
    )
    scene.publish("news:all", 500)
    missed = by_topic({"news:all": Position("e1", 100)})
    told = []
    for _ in range(50):
        outbox = Outbox(lambda _: None, chain.root(), burst=100_000)
        session = scene.session(outbox)
        session.subscribe("news:all", Terms(form), missed)
        session.catch_up()
        told.append(b"".join(iter(lambda: outbox.take(20_000), b"")))  # noqa: B023 - called at once
    assert [message["offset"] for message in lines(told[0])] == list(range(101, 501))
    assert told == [told[0]] * 50
    assert form.rendered == 400


MASKED = Scope(masks=frozenset({Mask(pattern="price:*", hide={"a"})}))


def test_what_may_not_be_read_any_more_is_lost(scene: Scene) -> None:
    scene.subscribe("trades:all", "price:*")
    scene.publish("price:SOL")
    scene.messages()
    scene.scope = Scope(read=("price:BTC", "price:S*"))
    lost = scene.subscriber.reconsider()
    assert sorted(each.name for each in lost) == ["price:ETH", "trades:all"]
    for name in ("trades:all", "price:BTC", "price:ETH", "price:SOL"):
        scene.publish(name)
    assert scene.told() == [("price:BTC", 1), ("price:SOL", 2)]
    assert "trades:all" not in scene.subscriber
    scene.scope = EVERYTHING
    assert scene.subscriber.reconsider() == []
    assert scene.told() == [("price:ETH", 1)]
    scene.publish("price:ADA")
    assert scene.told() == [("price:ADA", 1)]


def test_what_is_shown_otherwise_is_read_anew(scene: Scene) -> None:
    scene.publish("price:BTC")
    (joined,) = scene.subscribe("price:BTC")
    scene.messages()
    scene.scope = MASKED
    assert scene.subscriber.reconsider() == []
    (newcomer,) = scene.newcomers
    assert newcomer.topic.name == "price:BTC"
    assert newcomer.topic is not joined.topic
    assert scene.told() == [("price:BTC", 1)]
    scene.publish("price:BTC")
    assert scene.told() == [("price:BTC", 2)]
    assert scene.subscriber.reconsider() == []
    assert len(scene.newcomers) == 1


def test_who_has_left_reads_no_view(scene: Scene) -> None:
    scene.scope = MASKED
    scene.subscribe("price:*", "price:new")
    scene.subscriber.leave()
    for now in (1e6, 2e6):
        scene.hub.expire(now)
    assert len(scene.hub.gallery) == 0
    assert scene.hub.known("price:new") is None
