from __future__ import annotations

import json

import pytest

from tests.bench.bench_dialects import dialects
from tests.bench.bench_recipes import BenchError, Listener, Order, Rows, choose, recipes

RECIPES = [*recipes(["appliance"]), dialects(["appliance"])]


def test_one_way_into_a_server_can_be_chosen() -> None:
    assert choose(RECIPES, ()) == RECIPES
    assert choose(RECIPES, {"xid full"}, beside=["xid full"]) == []
    (floor, appliance, spoken) = choose(RECIPES, {"floor", "appliance TLS", "ara"})
    assert floor == RECIPES[0]
    assert [listener.name for listener in (*appliance.listeners, *spoken.listeners)] == [
        "appliance TLS",
        "ara",
    ]
    with pytest.raises(BenchError, match="flor: no such server, only floor, floor TLS, appliance"):
        choose(RECIPES, {"flor", "appliance"})


def test_events_of_the_bench_channel_are_ordered_by_their_number() -> None:
    listener, order = Listener(name="plain"), Order(first=3, events=20, burst=10, every=0.2)
    assert json.loads(listener.written(order)) == {"key": "tcp", "events": 20, "burst": 10, "every": 0.2}
    assert (listener.topic, listener.last(22)) == ("bench:tcp", 22)


def test_events_of_another_channel_are_ordered_row_by_row() -> None:
    rows = Rows(channel="price", make=lambda event: [{"key": key, "data": event} for key in "AB"])
    listener, order = Listener(name="rows", rows=rows), Order(first=3, events=2, burst=1, every=0.1)
    assert json.loads(listener.written(order)) == {
        "events": [[{"key": "A", "data": event}, {"key": "B", "data": event}] for event in (3, 4)],
        "every": 0.1,
    }
    assert listener.last(4) == 8
