"""Which dialect is on which path: by the tables, and by real clients on paths that are gone."""

from __future__ import annotations

import attrs
import pytest

from appliance.edge.dialogues.cryptointel import Cryptointel
from appliance.edge.dialogues.data_ws import PATH, DataWs
from appliance.edge.dialogues.shared import Shared
from appliance.edge.dialogues.trading import Trading
from appliance.edge.ways import Ways
from appliance.settings.tree import TradingSettings
from tests.edge.stage import KEY, UPGRADE, Stage, configuration, playing


@pytest.mark.parametrize(
    ("dialect", "dialogue"), [("shared", Shared), ("cryptointel", Cryptointel), ("trading", Trading)]
)
def test_a_path_is_spoken_on_as_it_is_configured(dialect: str, dialogue: type) -> None:
    way = Ways({"/ws": "shared", "/x": dialect}).find("/x")  # type: ignore[dict-item]
    assert way is not None
    assert way.dialogue is dialogue
    assert way.unauthorized is None


@pytest.mark.parametrize(
    "path",
    ["/ws/", "/ws/x", "/WS", "/w", "", "/", "*", "/ws/predictions", "/ws/predictions/", "/ws/alerts/x"],
)
def test_there_are_no_others(path: str) -> None:
    assert Ways({"/ws": "shared"}).find(path) is None


@pytest.mark.parametrize(
    "path", ["/ws/predictions/BTC", "/ws/predictions/btc%2Dx", "/ws/market-data/ETH", "/ws/alerts"]
)
def test_aras_paths_are_there_without_being_named(path: str) -> None:
    assert Ways({}).find(path) is not None


def test_data_ws_alone_is_refused_before_its_upgrade() -> None:
    way = Ways({}).find(PATH)
    assert way is not None
    assert (way.dialogue, way.unauthorized) == (DataWs, "Unauthorized: invalid API key")


def test_a_path_that_is_named_goes_before_a_dialects_own() -> None:
    ways = Ways({PATH: "cryptointel", "/ws/alerts": "cryptointel"})
    for path in (PATH, "/ws/alerts"):
        way = ways.find(path)
        assert way is not None
        assert (way.dialogue, way.unauthorized) == (Cryptointel, None)


def test_it_says_which_there_are() -> None:
    assert str(Ways({"/ws": "shared", "/a": "trading"})) == (
        "/a, /api/v1/predictions/stream, /ws, /ws/predictions/{symbol}, /ws/market-data/{symbol}, /ws/alerts"
    )


def test_without_trading_its_paths_are_gone_and_shared_ones_are_cryptointels() -> None:
    ways = Ways({"/ws": "shared", "/trading": "trading", "/own": "cryptointel"}, trading=False)
    assert ways.find("/trading") is None
    assert "/trading" not in str(ways)
    for path in ("/ws", "/own"):
        way = ways.find(path)
        assert way is not None
        assert way.dialogue is Cryptointel


async def ask(stage: Stage, path: str) -> bytes:
    head = UPGRADE.replace(b"/ws", path.encode()) + f"Authorization: Bearer {KEY}\r\n\r\n".encode()
    return await stage.ask(head)


async def test_who_comes_to_a_path_that_is_gone_is_told_what_there_is() -> None:
    settings = attrs.evolve(configuration(), trading=TradingSettings(enabled=False))
    async with playing(settings) as stage:
        answer = await ask(stage, "/trading")
        assert answer.startswith(b"HTTP/1.1 404 ")
        for path in ("/ws, ", "/shared, ", "/api/v1/predictions/stream, ", "/ws/alerts"):
            assert path.encode() in answer
        assert b"/trading" not in answer
        assert stage.errors == {"unknown_path": 1}


@pytest.mark.parametrize(
    "path", ["/ws/predictions/", "/ws/predictions/a%20b", "/ws/market-data/*", "/ws/alerts/x"]
)
async def test_what_is_no_symbol_is_no_path(path: str) -> None:
    async with playing() as stage:
        assert (await ask(stage, path)).startswith(b"HTTP/1.1 404 ")


def test_what_is_spoken_is_told_by_path() -> None:
    assert Ways({"/ws": "shared", "/x": "trading"}, trading=False).spoken == {
        "/ws": "cryptointel",
        PATH: "data-ws",
        "/ws/predictions/{symbol}": "predictions",
        "/ws/market-data/{symbol}": "market-data",
        "/ws/alerts": "alerts",
    }
    assert Ways({"/x": "trading"}).spoken["/x"] == "trading"
