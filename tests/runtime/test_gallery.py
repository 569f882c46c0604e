"""How many ways there are in which topics are shown, and for how long."""

from __future__ import annotations

import pytest

from appliance.api import Mode
from appliance.core.conditions import parse
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.history import Retention, Topic
from appliance.core.views import View
from appliance.runtime.gallery import Gallery
from appliance.runtime.lines import Line

VIEWS = [View(hide=frozenset({name})) for name in "abc"]
LONG = 10_000.0


def gallery(most: int = 2) -> Gallery:
    return Gallery(most=most, later=lambda _s, _c: None, serials=lambda: (1, 0))


def line() -> Line:
    return Line(Topic("price:BTC", Mode.STATE, "m", "e", Retention(count=10, age=None, size=1000)))


class Waiting:
    def appeared(self, topic: Topic) -> None:
        raise AssertionError(topic)


def read(gallery: Gallery, topic: Topic) -> None:
    derived = gallery.find(topic)
    assert derived is not None
    derived.awaited[Waiting()] = None


def test_a_view_is_made_once() -> None:
    made, one = gallery(), line()
    topic = made.show(one, VIEWS[0], 0)
    assert made.show(one, VIEWS[0], 0) is topic
    assert topic is not one.topic
    assert made.find(one.topic) is None
    assert len(made) == 1


def test_where_there_are_too_many_one_that_nobody_reads_goes() -> None:
    made, one = gallery(), line()
    topics = [made.show(one, view, 0) for view in VIEWS[:2]]
    read(made, topics[0])
    third = made.show(one, VIEWS[2], 0)
    assert (made.find(topics[1]), len(made), made.refused) == (None, 2, 0)
    read(made, third)
    with pytest.raises(
        RequestError, match=r"'price:BTC' is read in its most ways, 2 \(limits.views\)"
    ) as caught:
        made.show(one, VIEWS[1], 0)
    assert (caught.value.code, made.refused) == (ErrorCode.UNAVAILABLE, 1)
    assert made.show(line(), VIEWS[1], 0).name == "price:BTC"


def test_a_view_that_nobody_reads_is_kept_for_a_while() -> None:
    made, one = gallery(), line()
    topic = made.show(one, VIEWS[0], 0)
    made.expire(one, 0.0)
    made.expire(one, 10.0)
    assert made.show(one, VIEWS[0], 0) is topic
    made.expire(one, LONG)
    assert len(made) == 1
    made.expire(one, 2 * LONG)
    assert (len(made), one.views) == (0, {})


def test_a_view_that_is_read_stays() -> None:
    made, one = gallery(), line()
    read(made, made.show(one, VIEWS[0], 0))
    for times in range(1, 4):
        made.expire(one, times * LONG)
    assert len(made) == 1


def test_of_a_topic_that_is_no_more_nothing_is_left() -> None:
    made, one = gallery(), line()
    for view in VIEWS[:2]:
        made.show(one, view, 0)
    made.clear(one)
    assert (len(made), one.views) == (0, {})


def test_where_views_can_go_on_is_remembered_of_so_many() -> None:
    made, one = gallery(most=2), line()
    for number in range(5):
        made.show(one, View(conditions=parse(f"a = {number}")), 0)
    made.clear(one)
    assert len(one.anchors) == 2
