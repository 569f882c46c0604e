"""An application that publishes numbered rows for all families, over HTTP.

Must not know who reads them.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING, Any

import attrs

from tests.bench import numbered
from tests.bench.load_families import ACCOUNT
from tests.e2e.four_families_clients import PREDICTED, PRICED
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.running import Running

CHANNELS = ("price", "predictions", "signals", "trades", "alerts", "portfolio")
"""What it publishes into."""


@attrs.define
class Publisher:
    """An application. The numbers are the last ones that it has published."""

    running: Running
    prices: int = 0
    rows: int = 0
    """Predictions of each symbol, and portfolios."""
    others: int = 0
    """Signals, and as many trades and alerts."""
    longest: float = 0.0
    _client: http.client.HTTPSConnection = attrs.field(init=False)

    @_client.default
    def _connect(self) -> http.client.HTTPSConnection:
        context = self.running.ssl_context()
        return http.client.HTTPSConnection("127.0.0.1", self.running.port, timeout=PATIENCE, context=context)

    def publish(self, *, prices: int, others: int) -> None:
        """Publish so many prices, signals, trades and alerts, a prediction of each symbol, and the portfolio."""
        events = list(self._events(prices, others))
        text, key = json.dumps({"events": events}), f"tick-{self.rows}"
        assert self._send(text, key)["published"] == len(events)
        if self.rows % 10 == 0:  # as an application that has not heard the answer
            assert self._send(text, key)["duplicate"]

    def close(self) -> None:
        self._client.close()

    def _events(self, prices: int, others: int) -> Iterator[dict[str, Any]]:
        for _ in range(prices):
            self.prices += 1
            yield _event("price", PRICED.symbol(self.prices), numbered.price(self.prices))
        self.rows += 1
        for symbol in PREDICTED:
            yield _event("predictions", symbol, numbered.prediction(symbol, self.rows))
        yield _event("portfolio", ACCOUNT, numbered.portfolio(PRICED.symbols[0], self.rows))
        for _ in range(others):
            self.others += 1
            symbol = PRICED.symbol(self.others)
            yield _event("signals", symbol, numbered.signal(symbol, self.others))
            yield _event("trades", symbol, numbered.trade(symbol, self.others))
            yield _event("alerts", symbol, numbered.alert(symbol, self.others))

    def _send(self, text: str, key: str) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {self.running.key}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        began = time.monotonic()
        self._client.request("POST", "/api/v1/publish", text, headers)
        answer = self._client.getresponse()
        content = json.loads(answer.read())
        self.longest = max(self.longest, time.monotonic() - began)
        assert answer.status == 200, content
        receipt: dict[str, Any] = content["data"]
        return receipt


def _event(channel: str, key: str, data: numbered.Data) -> dict[str, Any]:
    return {"channel": channel, "key": key, "data": data}
