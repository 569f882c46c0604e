from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import TYPE_CHECKING, Any

from tests.bench.load import Load
from tests.bench.load_client import Target
from tests.bench.load_control import Control
from tests.bench.load_parties import Plan
from tests.bench.scripted_server import WITHIN, event, sends, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def controlled(*plans: Plan) -> Iterator[Callable[..., dict[str, Any]]]:
    """Give a way to tell a connected load what to do, and to get its answer."""
    (orders, ordering), (answering, answers) = os.pipe(), os.pipe()
    load = Load(*plans)
    load.connect(WITHIN)
    with (
        open(orders, encoding="utf-8") as heard,  # noqa: PTH123 - a pipe
        open(answering, encoding="utf-8") as answered,  # noqa: PTH123 - a pipe
        open(answers, "w", encoding="utf-8") as said,  # noqa: PTH123 - a pipe
    ):
        thread = threading.Thread(target=Control(load, heard, said).run)
        thread.start()
        with open(ordering, "w", encoding="utf-8") as mouth:  # noqa: PTH123 - a pipe

            def tell(do: str, **details: Any) -> dict[str, Any]:
                print(json.dumps({"do": do, **details}), file=mouth, flush=True)
                answer: dict[str, Any] = json.loads(answered.readline())
                return answer

            yield tell
        thread.join()
    load.close()


def plan(url: str, name: str, clients: int) -> Plan:
    return Plan(targets=(Target(url=url),), clients=clients, name=name)


def test_orders_are_of_one_party() -> None:
    one, other = sends(event(1), event(2)), sends(*(event(offset, "t:2") for offset in (1, 2, 3)))
    with (
        serving(one) as first,
        serving(other) as second,
        controlled(plan(first, "a", 2), plan(second, "b", 3)) as tell,
    ):
        reached = {"done": True, "deliveries": 4, "clients": 2}
        assert tell("reach", party="a", topic="t:1", offset=2, seconds=WITHIN) == reached
        assert tell("await", party="b", deliveries=9, seconds=WITHIN) == {"done": True, "deliveries": 9}
        assert tell("reach", party="a", topic="t:1", offset=3, seconds=0.1)["done"] is False
        report = tell("report", party="b")
        assert report["topics"] == {"t:2": {"clients": 3, "first": [1, 1], "last": [3, 3]}}
        assert tell("reset") == {}
        assert [tell("report", party=party)["deliveries"] for party in "ab"] == [0, 0]
        assert tell("dance") == {"error": "unknown order dance"}


def test_the_targets_of_a_party_are_dealt_out_in_turn() -> None:
    with serving(sends(event(1))) as first, serving(sends(event(1, "t:2"))) as second:
        dealt = Plan(targets=(Target(url=first), Target(url=second)), clients=5)
        with controlled(dealt) as tell:
            assert tell("await", deliveries=5, seconds=WITHIN)["done"]
            topics = tell("report")["topics"]
    assert {topic: seen["clients"] for topic, seen in topics.items()} == {"t:1": 3, "t:2": 2}
