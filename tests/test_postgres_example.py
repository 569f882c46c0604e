"""Runs config/postgres.toml against a real database: its tables are made, and each channel is fed from them."""

from __future__ import annotations

import contextlib
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from appliance.loading.catalogue import collect
from appliance.loading.files import builtin_folder
from tests.postgres import Database
from tests.served import at, empty, examined, hear_of, run, serving, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.postgres import Fresh

COMMENTED_SQL = re.compile(r"^((?:ALTER|CREATE|GRANT) .*?;)$", re.MULTILINE | re.DOTALL)
PASSWORD = "change me"
KEY_FILE = "/etc/appliance/keys/trading"


@pytest.fixture
def trading() -> Iterator[Fresh]:
    """The database of the example, with nothing in it. Its user is made by the SQL of its comments."""
    with Database() as server, empty(server, "trading", role="reader") as made:
        yield made


def example(root: Path, folder: Path) -> tuple[Path, str]:
    """The file, with a password that is there; and the SQL of its comments."""
    text = (root / "config" / "postgres.toml").read_text(encoding="utf-8")
    password = folder / "password"
    password.write_text(PASSWORD, encoding="utf-8")
    password.chmod(0o600)
    bare = "\n".join(re.findall(r"^#   (.*)$", text, re.MULTILINE))
    assert KEY_FILE in text
    file = written(folder, text.replace(KEY_FILE, str(password)))
    return file, "\n".join(COMMENTED_SQL.findall(bare))


INSERTED = {
    "price:BTC": "INSERT INTO prices (symbol, price, volume) VALUES ('BTC', 43250.7500, 12)",
    "predictions:BTC": "INSERT INTO ml_predictions (current_price, predicted_15min) VALUES (50000, 50125.42)",
    "signals:high": "INSERT INTO signals (symbol, confidence, type, signal_type, severity, metadata)"
    " VALUES ('ETH', 0.85, 'price_anomaly', 'BUY', 'high', '{\"volume_spike\": 1.80}')",
    "trades:AAPL": "WITH made AS (INSERT INTO orders (symbol, side) VALUES ('AAPL', 'BUY') RETURNING id)"
    " INSERT INTO fills (order_id, quantity, price) SELECT id, 10, 150.25 FROM made",
    "portfolio:main": "BEGIN; INSERT INTO accounts (account, total_pnl) VALUES ('main', 12.50);"
    " INSERT INTO positions (account, symbol, quantity) VALUES ('main', 'AAPL', 10); COMMIT",
    "market:summary": "INSERT INTO market (topic, total_market_cap, rising) VALUES ('summary', 2450000000000, 7)",
    "alerts:severity:high": "INSERT INTO alerts (type, message, symbol, severity)"
    " VALUES ('drawdown', 'ETH fell', 'ETH', 'high')",
    "funding:binance:BTC-PERP": "INSERT INTO funding_rates (exchange, symbol, rate)"
    " VALUES ('binance', 'BTC-PERP', 0.00010)",
}
"""A topic of each channel, and what is committed for it."""

TOLD: dict[tuple[str, str | None], Callable[[dict[str, Any]], bool]] = {
    ("/api/v1/predictions/stream", None): lambda told: told["predicted_15min"] == 50125.42,
    ("/ws/predictions/BTC", "prediction_update"): lambda told: told["data"]["predicted_15min"] == 50125.42,
    ("/ws/market-data/BTC", "market_data_update"): lambda told: told["data"]["price"] == 43250.75,
    ("/ws/alerts", "alert"): lambda told: told["data"]["message"] == "ETH fell",
    ("/ws?client_id=1", "price_update"): lambda told: told["symbols"]["BTC"]["price"] == 43250.75,
    ("/ws?client_id=2", "signal"): lambda told: told["signal_type"] == "BUY",
    ("/ws?client_id=3", "trade_executed"): lambda told: told["quantity"] == 10,
    ("/ws?client_id=4", "portfolio_update"): lambda told: told["data"]["positions"]["AAPL"]["quantity"] == 10,
}
"""What clients of the other dialects get of these rows: by path and type."""


async def test_the_example_feeds_every_channel_from_tables(
    root: Path, trading: Fresh, tmp_path: Path
) -> None:
    file, sql = example(root, tmp_path)
    channels = {topic.partition(":")[0] for topic in INSERTED}
    overrides = (
        *at(trading.server, "trading"),
        "trading.price_interval=100ms",
        "trading.portfolio_interval=100ms",
    )
    async with serving(file, tmp_path, overrides=overrides) as served:
        await served.until_healthy(channels, healthy=False)
        run(trading, sql)
        await served.until_healthy(channels)
        async with contextlib.AsyncExitStack() as stack:
            own = await stack.enter_async_context(served.client())
            others = {place: await stack.enter_async_context(served.client(place[0])) for place in TOLD}
            await own.say(type="subscribe", channels=[*INSERTED])
            await own.hear_of("subscribed")
            for statement in INSERTED.values():
                run(trading, statement)
            told = dict(zip(INSERTED, await hear_of(own, *INSERTED), strict=True))
            for (path, kind), client in others.items():
                message = await (client.hear() if kind is None else client.hear_of(kind))
                assert TOLD[path, kind](message), path
        assert told["price:BTC"]["data"]["price"] == "43250.7500"
        assert told["signals:high"]["data"]["metadata"] == {"volume_spike": "1.80"}
        assert told["trades:AAPL"]["data"]["id"] == "1"
        assert told["portfolio:main"]["data"]["positions"]["AAPL"]["quantity"] == 10
        assert told["funding:binance:BTC-PERP"]["data"]["rate"] == "0.00010"
        for channel in channels:
            health = await served.health(channel)
            assert (health["refused"], health["is_healthy"]) == (0, True), channel


async def test_indexes_of_the_example_serve_all_its_channels(
    root: Path, trading: Fresh, tmp_path: Path
) -> None:
    file, sql = example(root, tmp_path)
    run(trading, sql)
    found = await examined(file, trading.server)
    assert [name for name, each in found.items() if not each.served_by_index] == []


def test_the_example_has_every_channel_that_has_rows_of_its_own(root: Path) -> None:
    told = tomllib.loads((root / "config" / "postgres.toml").read_text(encoding="utf-8"))
    simulated = {
        name for name, each in collect([builtin_folder()]).channels.items() if each.source is not None
    }
    assert simulated | {"alerts", "funding"} == told["channels"].keys()
    assert {channel["source"] for channel in told["channels"].values()} == {"trading"}
