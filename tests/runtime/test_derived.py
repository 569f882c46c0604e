"""Topics as views show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api import Channel, Event, Mode
from appliance.core.conditions import parse
from appliance.core.history import Position, Retention, Topic
from appliance.core.kept import Kept
from appliance.core.views import View
from appliance.runtime.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Callable


MASK = View(hide=frozenset({"note"}))
FILTER = View(conditions=parse("n != 2"))
ODD = View(hide=frozenset({"note"}), conditions=parse("odd = true"))
SLOW = View(rate=1.0)
LONG = 10_000.0
KEEP = Retention(count=10, age=None, size=10_000)


@attrs.define(eq=False)
class House:
    """A hub with a state topic and a log, and time that stands still but when it is moved."""

    keep: Retention = KEEP
    store: str | None = None
    number: int = 0
    epoch: str = "e"
    now: float = 100.0
    calls: list[tuple[float, Callable[[], None]]] = attrs.field(factory=list)
    hub: Hub = attrs.field(init=False)
    published: int = 0

    def __attrs_post_init__(self) -> None:
        self.hub = Hub(
            epoch=self.epoch,
            most_topics=10,
            most_bytes=1000,
            store=self.store,
            number=self.number,
            later=lambda seconds, call: self.calls.append((self.now + seconds, call)),
        )
        for name, mode in (("price", Mode.STATE), ("trades", Mode.LOG)):
            self.hub.open(Channel(name=name, mode=mode, message="m", open=True), None, self.keep)

    def publish(self, name: str, times: int = 1, **data: Any) -> None:
        channel, _, key = name.partition(":")
        for _ in range(times):
            self.published += 1
            n = self.published
            content = {"n": n, "odd": n % 2 == 1, "note": f"note-{n}", **data}
            event = self.hub.prepare(Event(channel, key, content, float(n)))
            self.hub.enter(event, self.now, kept=self.store is not None)

    def let_go(self) -> None:
        for times in (1, 2):
            self.hub.expire(self.now + times * LONG)
        assert len(self.hub.gallery) == 0

    def wait(self, seconds: float) -> None:
        self.now += seconds
        due = [call for at, call in self.calls if at <= self.now]
        self.calls = [(at, call) for at, call in self.calls if at > self.now]
        for call in due:
            call()


def entries(topic: Topic) -> list[tuple[int, bytes]]:
    return [(entry.offset, entry.body) for entry in topic.after(0)]


def numbers(topic: Topic) -> list[int]:
    return [int(entry.at) for entry in topic.after(0)]


def test_a_mask_leaves_every_event_at_its_place() -> None:
    house = House()
    house.publish("trades:all", 2)
    base = house.hub.topic("trades:all")
    shown = house.hub.show(base, MASK)
    house.publish("trades:all")
    assert (shown.epoch, shown.last) == (base.epoch, 3)
    assert entries(shown) == [
        (1, b'{"n":1,"odd":true}'),
        (2, b'{"n":2,"odd":false}'),
        (3, b'{"n":3,"odd":true}'),
    ]
    assert [e.serial for e in shown.after(0)] == [e.serial for e in base.after(0)]


def test_a_mask_of_a_state_shows_its_newest_though_its_history_is_empty() -> None:
    house = House(Retention(count=10, age=10.0, size=10_000))
    house.publish("price:BTC", 2)
    house.hub.expire(1000.0)
    shown = house.hub.show(house.hub.topic("price:BTC"), MASK)
    assert (shown.first, shown.last) == (3, 2)
    assert shown.latest is not None
    assert shown.latest.body == b'{"n":2,"odd":false}'
    filtered = house.hub.show(house.hub.topic("price:BTC"), FILTER)
    assert (filtered.last, filtered.latest) == (0, None)


def test_a_filter_counts_what_it_shows() -> None:
    house = House()
    house.publish("trades:all", 3)
    shown = house.hub.show(house.hub.topic("trades:all"), ODD)
    house.publish("trades:all", 2)
    assert entries(shown) == [
        (1, b'{"n":1,"odd":true}'),
        (2, b'{"n":3,"odd":true}'),
        (3, b'{"n":5,"odd":true}'),
    ]
    assert shown.epoch != "e"


def test_numbers_of_a_filter_go_on_after_it_was_let_go() -> None:
    house = House(Retention(count=4, age=None, size=10_000))
    house.publish("trades:all", 9)
    base = house.hub.topic("trades:all")
    before = house.hub.show(base, ODD)
    assert (before.first, before.last, numbers(before)) == (1, 2, [7, 9])
    house.let_go()
    house.publish("trades:all", 4)
    after = house.hub.show(base, ODD)
    assert (after.epoch, after.last, numbers(after)) == (before.epoch, 4, [11, 13])
    assert after.resume(Position(before.epoch, 2)).recovered
    house.let_go()
    # Now nobody knows how many were shown meanwhile.
    house.publish("trades:all", 5)
    anew = house.hub.show(base, ODD)
    assert anew.epoch != before.epoch
    assert not anew.resume(Position(before.epoch, 4)).recovered


def test_what_was_lost_before_somebody_looked_is_told_to_who_asks_since_a_time() -> None:
    house = House(Retention(count=4, age=None, size=10_000))
    house.publish("trades:all", 9)
    shown = house.hub.show(house.hub.topic("trades:all"), ODD)
    assert shown.resume_since(7.5).recovered
    assert not shown.resume_since(2.0).recovered
    whole = House()
    whole.publish("trades:all", 9)
    assert whole.hub.show(whole.hub.topic("trades:all"), ODD).resume_since(2.0).recovered


@settings(deadline=None)
@given(st.lists(st.sampled_from(("publish", "let go", "look")), max_size=40), st.integers(1, 5))
def test_a_number_stands_for_one_event_for_ever(steps: list[str], count: int) -> None:
    house = House(Retention(count=count, age=None, size=10_000))
    base = house.hub.topic("trades:all")
    house.hub.declare("trades", ["all"])
    known: dict[tuple[str, int], bytes] = {}
    for step in steps:
        if step == "publish":
            house.publish("trades:all")
        elif step == "let go":
            house.let_go()
        else:
            house.hub.show(base, ODD)
        for view in (house.hub.gallery.find(house.hub.show(base, ODD)),):
            assert view is not None
            found = entries(view.topic)
            assert [offset for offset, _ in found] == list(range(view.topic.first, view.topic.last + 1))
            for offset, body in found:
                assert known.setdefault((view.topic.epoch, offset), body) == body


def restarted(house: House, *names: str) -> House:
    """Give another process with what the store has kept."""
    again = House(house.keep, "s", house.hub.number, "e2", house.now, published=house.published)
    for name in names:
        topic = house.hub.topic(name)
        kept = Kept(name, topic.epoch, topic.last, list(topic.after(0)))
        again.hub.restore(name.partition(":")[0], [kept], house.now)
    return again


def test_over_a_restart_a_mask_goes_on_where_it_was() -> None:
    house = House(store="s")
    house.publish("trades:all", 5)
    again = restarted(house, "trades:all")
    again.publish("trades:all", 2)
    shown = again.hub.show(again.hub.topic("trades:all"), MASK)
    resumption = shown.resume(Position("e", 3))
    assert (resumption.recovered, resumption.after) == (True, 3)
    assert numbers(shown) == [1, 2, 3, 4, 5, 6, 7]
    assert all(b"note" not in body for _, body in entries(shown))
    assert shown.durable
    assert shown.resume_behind_number(4).after == 4


def test_over_a_restart_a_filter_goes_on_where_all_is_kept() -> None:
    house = House(store="s")
    house.publish("trades:all", 5)
    before = house.hub.show(house.hub.topic("trades:all"), ODD)
    again = restarted(house, "trades:all")
    again.publish("trades:all", 2)
    after = again.hub.show(again.hub.topic("trades:all"), ODD)
    assert (after.epoch, numbers(after)) == (before.epoch, [1, 3, 5, 7])
    assert after.resume(Position(before.epoch, 2)).recovered
    assert (after.resume_behind_number(3).after, after.resume_behind_number(4).after) == (2, 2)


def test_over_a_restart_a_filter_begins_anew_where_some_is_not() -> None:
    house = House(Retention(count=3, age=None, size=10_000), store="s")
    house.publish("trades:all", 5)
    before = house.hub.show(house.hub.topic("trades:all"), ODD)
    again = restarted(house, "trades:all")
    after = again.hub.show(again.hub.topic("trades:all"), ODD)
    assert after.epoch != before.epoch
    assert not after.resume(Position(before.epoch, 2)).recovered
    assert not after.resume_behind_number(1).recovered
    assert after.resume_behind_number(3).recovered


def test_who_reads_while_a_topic_is_restored_goes_on_with_it() -> None:
    house = House(store="s")
    house.publish("trades:all", 3)
    again = House(house.keep, "s", 3, "e2")
    shown = again.hub.show(again.hub.topic("trades:all"), MASK)
    topic = house.hub.topic("trades:all")
    again.hub.restore("trades", [Kept(topic.name, topic.epoch, 3, list(topic.after(0)))], 100.0)
    assert (shown.epoch, shown.last, numbers(shown)) == ("e", 3, [1, 2, 3])
    again.publish("trades:all")
    assert shown.last == 4


def test_at_a_rate_the_newest_of_each_pause_is_shown() -> None:
    house = House()
    shown = house.hub.show(house.hub.topic("price:BTC"), SLOW)
    house.publish("price:BTC", 3)
    assert numbers(shown) == [1]
    house.publish("trades:all")
    house.wait(1.0)
    assert numbers(shown) == [1, 3]
    # Among the entries of other topics it is the newest, for it comes behind them.
    assert shown.latest is not None
    assert shown.latest.serial == house.hub.serial == 5
    house.wait(1.0)
    house.publish("price:BTC")
    assert numbers(shown) == [1, 3, 5]
    assert [entry.offset for entry in shown.after(0)] == [1, 2, 3]
    assert house.calls == []


def test_a_rate_begins_with_what_it_would_have_shown() -> None:
    house = House()
    house.publish("trades:all", 2)
    house.now += 5.0
    house.publish("trades:all", 3)
    shown = house.hub.show(house.hub.topic("trades:all"), SLOW)
    assert numbers(shown) == [1, 2, 3, 5]
    assert not shown.resume_behind(house.hub.serial - 1).recovered
    assert shown.resume_behind(house.hub.serial).recovered


def test_what_is_let_go_shows_nothing_late() -> None:
    house = House()
    shown = house.hub.show(house.hub.topic("price:BTC"), SLOW)
    house.publish("price:BTC", 2)
    house.let_go()
    house.wait(5.0)
    assert numbers(shown) == [1]
    anew = house.hub.show(house.hub.topic("price:BTC"), SLOW)
    assert numbers(anew) == [1, 2]
    assert anew.epoch != shown.epoch


def test_another_channel_of_the_name_goes_on_with_its_views() -> None:
    house = House()
    shown = house.hub.show(house.hub.topic("price:BTC"), FILTER)
    house.hub.open(Channel(name="price", mode=Mode.LOG, message="other", open=True), None, house.keep)
    assert (shown.mode, shown.message) == (Mode.LOG, "other")


def test_what_is_no_object_is_an_empty_one_under_a_mask() -> None:
    house = House()
    shown = house.hub.show(house.hub.topic("trades:all"), MASK)
    house.hub.publish(Event("trades", "all", [1, 2], 0.0), 0.0)  # type: ignore[arg-type]
    assert entries(shown) == [(1, b"{}")]


class Ear:
    def __init__(self) -> None:
        self.heard: list[Topic] = []

    def appeared(self, topic: Topic) -> None:
        assert topic.latest is None
        self.heard.append(topic)


def test_who_waits_is_told_before_the_first_event_that_is_shown() -> None:
    house, ear = House(), Ear()
    house.publish("trades:all", note="x")
    shown = house.hub.show(house.hub.topic("trades:all"), View(conditions=parse("n > 2")))
    house.hub.wait_for(shown, ear)
    house.publish("trades:all")
    assert ear.heard == []
    assert not house.hub.has(shown)
    house.publish("trades:all", 2)
    assert ear.heard == [shown]
    assert house.hub.has(shown)
    house.hub.wait_no_more(shown, ear)
