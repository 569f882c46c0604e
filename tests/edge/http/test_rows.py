"""Old rows over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.api import Channel, Mode, Page, PageQuery, Row
from appliance.core.errors import SourceError
from tests.edge.stage import KEY, Stage, configuration, plain_http, playing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Table:
    """A source that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[PageQuery] = []
        self.raises: Exception | None = None

    async def page(self, query: PageQuery) -> Page:
        self.asked.append(query)
        if self.raises:
            raise self.raises
        rows = [
            Row("BTC", {"time": "2030-01-31T12:00:00Z", "current_price": 5}, 5.0),
            Row("ETH", {"x": 1}, 4.0),
        ]
        return Page(rows[: query.limit], "next!")


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
async def stage(table: Table) -> AsyncIterator[Stage]:
    settings = configuration(limits={"page": 500, "messages_per_minute": 60})
    async with playing(settings) as opened:
        for name in ("predictions", "price"):
            opened.around.pages.add(Channel(name=name, mode=Mode.STATE, message=name), table.page)
        yield opened


async def ask(stage: Stage, path: str, shown: str = KEY, **parameters: str) -> tuple[int, Any]:
    async with plain_http(stage.port) as http:
        headers = {"authorization": f"Bearer {shown}"} if shown else {}
        answer = await http.get(path, params=parameters, headers=headers)
        return answer.status_code, answer.json()


async def test_predictions_are_rows_of_data_ws(stage: Stage, table: Table) -> None:
    status, body = await ask(
        stage,
        "/api/v1/predictions",
        symbol="btc",
        since="2030-01-31T13:00:00+01:00",
        until="2030-02-01T00:00:00Z",
        limit="1",
        cursor="abc",
    )
    assert status == 200
    assert body["error"] is None
    assert body["next"] == "next!"
    (row,) = body["data"]
    assert (row["time"], row["current_price"], row["model_version"]) == ("2030-01-31T12:00:00Z", 5, None)
    assert table.asked == [
        PageQuery(
            key="BTC",
            since="2030-01-31T12:00:00+00:00",
            until="2030-02-01T00:00:00+00:00",
            cursor="abc",
            limit=1,
        )
    ]


async def test_rows_of_any_channel_are_its_data(stage: Stage, table: Table) -> None:
    status, body = await ask(stage, "/api/v1/channels/price/rows", key="bitcoin", limit="9999", since="")
    assert (status, body["data"][1]) == (200, {"x": 1})
    assert table.asked == [PageQuery(key="BTC", limit=500)]
    await ask(stage, "/api/v1/channels/price/rows")
    assert table.asked[-1] == PageQuery(limit=100)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"limit": "0"}, "limit='0' is not right: it is a number of rows, 1 to 500"),
        ({"limit": "many"}, "limit='many'"),
        ({"since": "yesterday"}, "since='yesterday' is not right: it is a time with its offset"),
        ({"until": "2030-01-31T12:00:00"}, "until='2030-01-31T12:00:00' is not right"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "since="),
    ],
)
async def test_what_is_wrong_is_told(
    stage: Stage, table: Table, parameters: dict[str, str], told: str
) -> None:
    status, body = await ask(stage, "/api/v1/predictions", **parameters)
    assert (status, body["success"]) == (400, False)
    assert told in body["error"]
    assert table.asked == []


async def test_without_pages_without_a_key_and_without_a_database(stage: Stage, table: Table) -> None:
    status, body = await ask(stage, "/api/v1/channels/trades/rows")
    assert (status, "has no old rows" in body["error"]) == (404, True)
    assert (await ask(stage, "/api/v1/predictions", shown=""))[0] == 401
    table.raises = SourceError("the password is wrong")
    status, body = await ask(stage, "/api/v1/predictions")
    assert (status, body["error"]) == (503, "The source of predictions cannot be asked at the moment")
    table.raises = ValueError("`cursor` is none")
    assert (await ask(stage, "/api/v1/predictions"))[0] == 400


async def test_who_asks_too_often_is_told_to_wait(stage: Stage) -> None:
    statuses = [(await ask(stage, "/api/v1/predictions"))[0]]
    while 429 not in statuses:  # on a slow machine some more are allowed meanwhile
        statuses.append((await ask(stage, "/api/v1/predictions"))[0])
    assert (set(statuses), 60 <= len(statuses) <= 600) == ({200, 429}, True)


async def test_the_key_of_a_topic_is_no_credential(table: Table) -> None:
    async with playing(configuration(auth="optional")) as stage:
        stage.around.pages.add(Channel(name="price", mode=Mode.STATE, message="price"), table.page)
        status, _ = await ask(stage, "/api/v1/channels/price/rows", "", key="BTC")
        assert (status, table.asked[-1].key) == (200, "BTC")
        status, _ = await ask(stage, "/api/v1/channels/price/rows", "", key="BTC", token="sk_wrong")
        assert status == 401
        status, _ = await ask(stage, "/api/v1/predictions", "", key="sk_wrong")
        assert status == 401
