from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from tests.bench.peers.orders import Order, Orders, Texts

if TYPE_CHECKING:
    from pathlib import Path


def test_texts_have_the_size_asked_for_and_contiguous_offsets() -> None:
    texts = Texts(200)
    made = [texts.make("tls") for _ in range(12)]
    assert {len(text.encode()) for text in made} == {200}
    assert [json.loads(text)["offset"] for text in made] == list(range(1, 13))
    assert {json.loads(text)["channel"] for text in made} == {"bench:tls"}


def test_an_order_comes_in_bursts_on_a_steady_beat() -> None:
    bursts = list(Order(key="tcp", events=25, burst=10, every=0.5).bursts())
    start = bursts[0][0]
    assert [(round(due - start, 6), burst) for due, burst in bursts] == [(0.0, 10), (0.5, 10), (1.0, 5)]


def test_orders_come_through_the_socket(tmp_path: Path) -> None:
    orders = Orders(str(tmp_path / "orders"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b'{"key": "tcp", "events": 3, "burst": 1, "every": 0.1}', str(tmp_path / "orders"))
    assert orders.read() == Order("tcp", 3, 1, 0.1)
    orders.socket.close()
