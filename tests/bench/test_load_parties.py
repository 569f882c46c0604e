from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bench import numbered
from tests.bench.load import Load
from tests.bench.load_client import Target
from tests.bench.load_digests import Stream
from tests.bench.load_families import PRICES, family
from tests.bench.load_offsets import Findings
from tests.bench.load_parties import Plan
from tests.bench.numbered import Turns
from tests.bench.scripted_server import WITHIN, event, sends, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from websockets.sync.server import ServerConnection

TURNS = Turns(("A", "B"))
PONG = json.dumps({"type": "pong"})


def prices(second: int, *numbers: int) -> str:
    symbols = {TURNS.symbol(number): numbered.price(number) for number in numbers}
    return json.dumps(
        {"type": "price_update", "symbols": symbols, "timestamp": f"2024-12-19T12:00:0{second}Z"}
    )


@contextlib.contextmanager
def trading(
    script: Callable[[ServerConnection], None], *, chosen: str | None = None, follows: bool = True
) -> Iterator[Load]:
    picked = None if chosen is None else frozenset(chosen)
    streams = {PRICES: Stream(turns=TURNS, chosen=picked, interval=2.0)} if follows else {}
    with serving(script) as url:
        load = Load(
            Plan(
                targets=(Target(url=url),),
                clients=3,
                ready="pong",
                parse=family("trading", TURNS),
                streams=streams,
            )
        )
        load.connect(WITHIN)
        try:
            yield load
        finally:
            load.close()


def _all_gone(load: Load) -> bool:
    return not load.live()


def findings(**found: int) -> dict[str, Any]:
    wanted = Findings(**found)
    return {name: getattr(wanted, name) for name in ("gaps", "misfits", "offbeat")}


def found(report: dict[str, Any]) -> dict[str, Any]:
    return {name: report["steady"][name] for name in ("gaps", "misfits", "offbeat")}


def test_digests_are_followed_by_each_client_and_counted_by_text() -> None:
    script = sends(PONG, prices(0, 1, 2), prices(2, 3), prices(4, 5, 4))
    with trading(script) as load:
        assert load.run(WITHIN, until=load.reached(PRICES, 5))
        report = load.report()
    assert report["clean"]
    assert report["deliveries"] == 9
    stream = report["streams"][PRICES]
    assert (stream["clients"], stream["beats"], stream["told"], stream["texts"]) == (3, [3, 3], [5, 5], 3)
    assert len(stream["at"]) == 3


def test_a_digest_that_leaves_something_out_or_comes_late_is_found_for_every_client() -> None:
    script = sends(PONG, prices(0, 1, 2), prices(2, 4), prices(8, 5, 6))
    with trading(script) as load:
        assert load.run(WITHIN, until=load.reached(PRICES, 6))
        report = load.report()
    assert found(report) == findings(misfits=3, offbeat=3)
    assert not report["clean"]


def test_what_came_before_the_choice_was_made_does_not_count() -> None:
    script = sends(prices(0, 1, 2), PONG, prices(1, 1), prices(3, 3))
    with trading(script, chosen="A") as load:
        assert load.run(WITHIN, until=load.reached(PRICES, 3))
        report = load.report()
    assert report["clean"]
    assert report["streams"][PRICES]["beats"] == [2, 2]


def test_digests_that_nobody_asked_for_end_the_client() -> None:
    with trading(sends(PONG, prices(0, 1, 2)), follows=False) as load:
        load.run(WITHIN, until=lambda: not load.live())
        assert load.report()["errors"] == {"not a message: prices that were not asked for": 3}


def test_what_is_told_to_others_may_come_until_it_is_known_whose_a_client_is() -> None:
    foreign, subscribed = prices(0, 1, 2), json.dumps({"type": "subscribed", "channels": []})
    for script, lost in (
        ((foreign, subscribed), {}),
        ((subscribed, foreign), {"not a message: price_update is told to other families": 2}),
    ):
        with serving(sends(*script)) as url:
            plan = Plan(
                targets=(Target(url=url),), clients=2, ready="subscribed", parse=family("cryptointel", TURNS)
            )
            load = Load(plan)
            load.connect(WITHIN)
            if lost:
                assert load.run(WITHIN, until=partial(_all_gone, load))
            report = load.report()
            load.close()
        assert report["errors"] == lost
        assert report["deliveries"] == 0


def test_events_before_a_client_is_ready_are_early() -> None:
    ready = json.dumps({"type": "ready"})
    with serving(sends(event(1), ready, event(2))) as url:
        load = Load(Plan(targets=(Target(url=url),), clients=2, ready="ready"))
        load.connect(WITHIN)
        assert load.run(WITHIN, until=load.reached("t:1", 2))
        report = load.report()
        load.close()
    assert (report["deliveries"], report["early"]) == (4, 2)
