"""A load under control: it obeys JSON lines and answers each with a JSON line; its clients are read all the while.

Must not know who gives the orders.
"""

from __future__ import annotations

import json
import selectors
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.load import Load

_LONG = 3600.0


class Control:
    """`{"do": "await", "deliveries": N, "seconds": S}`, `{"do": "reach", "topic": T, "offset": N, "seconds": S}`,
    `{"do": "reset"}`, `{"do": "report"}`, `{"do": "stall", "clients": N, "seconds": S}`. All but `reset` are of the
    clients of one `party`, where there are several. The end of the input is the end.
    """

    def __init__(self, load: Load, orders: TextIO, answers: TextIO) -> None:
        self._load = load
        self._orders = orders
        self._answers = answers

    def run(self) -> None:
        for order in self._lines():
            self.answer(self._obey(order))

    def answer(self, content: dict[str, Any]) -> None:
        print(json.dumps(content), file=self._answers, flush=True)

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        load, party = self._load, order.get("party", "")
        match order["do"]:
            case "await":
                wanted = order["deliveries"]
                done = load.run(order["seconds"], until=lambda: load.deliveries(party) >= wanted)
                return {"done": done, "deliveries": load.deliveries(party)}
            case "reach":
                reached = load.reached(order["topic"], order["offset"], party)
                done = load.run(order["seconds"], until=reached)
                return {"done": done, "deliveries": load.deliveries(party), "clients": load.live(party)}
            case "reset":
                load.reset()
                return {}
            case "stall":
                load.stall(order["clients"], order["seconds"], party)
                return {}
            case "report":
                return load.report(party)
            case unknown:
                return {"error": f"unknown order {unknown}"}

    def _lines(self) -> Iterator[dict[str, Any]]:
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._orders, selectors.EVENT_READ)
            while True:
                self._load.run(_LONG, until=lambda: bool(waiting.select(0)))
                if not (line := self._orders.readline()):
                    return
                yield json.loads(line)
