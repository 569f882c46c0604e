"""Old rows of a channel, held to the same as its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest
import trio
from structlog.testing import capture_logs

from appliance.api import Channel, Event, Mode, Page, PageQuery, Row
from appliance.core.conditions import parse
from appliance.core.errors import ErrorCode, RequestError, SourceError
from appliance.core.scope import EVERYTHING, Scope
from appliance.core.views import Filter, Mask
from appliance.runtime.hub import Hub
from appliance.runtime.pages import Pages
from appliance.runtime.sight import Sight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock


class Quote(msgspec.Struct):
    price: float


CHANNEL = Channel(name="price", mode=Mode.STATE, message="price_update", schema=Quote)
AWAY = "The source of price cannot be asked at the moment"
ROWS = (
    Row("BTC", {"price": 2}, 20.0),
    Row("secret", {"price": 1}, 19.0),
    Row("ETH", {"price": "wrong"}, 18.0),
    Row("no key", {"price": 1}, 17.0),
    Row("BTC", {"price": 1, "filling": "x" * 2000}, 16.0),
    Row("ETH", {"price": 5}, None),
)


def transform(event: Event) -> Event | None:
    """Nobody is to see `secret`, and all are to see who made it."""
    return None if event.key == "secret" else attrs.evolve(event, data={**event.data, "by": "us"})


HUB = Hub(epoch="e", most_topics=9, most_bytes=1000)


def pages(pager: Callable[[PageQuery], Awaitable[Page]]) -> Pages:
    made = Pages(HUB, transform=transform, within=lambda: 5.0)
    made.add(CHANNEL, pager)
    return made


ANYTHING = Sight(HUB, EVERYTHING)


async def refusal(made: Pages, channel: str = "price") -> RequestError:
    with pytest.raises(RequestError) as raised:
        await made.page(channel, PageQuery(), ANYTHING)
    return raised.value


async def test_rows_are_as_their_events_would_be() -> None:
    asked: list[PageQuery] = []

    async def pager(query: PageQuery) -> Page:
        asked.append(query)
        return Page(ROWS, "further")

    query = PageQuery(key="BTC", limit=7)
    found = await pages(pager).page("price", query, ANYTHING)
    assert asked == [query]
    assert found.next == "further"
    assert [entry.body for entry in found.entries] == [
        b'{"price":2,"by":"us"}',
        b'{"price":5,"by":"us"}',
    ]
    assert found.entries[0].at == 20.0


async def test_nobody_gets_rows_of_topics_that_are_not_for_him() -> None:
    async def pager(_query: PageQuery) -> Page:
        return Page(ROWS)

    found = await pages(pager).page("price", PageQuery(), Sight(HUB, Scope(read=("price:ETH",))))
    assert [entry.body for entry in found.entries] == [b'{"price":5,"by":"us"}']


async def test_a_channel_without_pages_says_so() -> None:
    error = await refusal(pages(trio.sleep_forever), "trades")  # type: ignore[arg-type]
    assert (error.code, "has no old rows" in error.message) == (ErrorCode.INVALID_CHANNEL, True)
    made = pages(trio.sleep_forever)  # type: ignore[arg-type]
    made.remove("price")
    assert (await refusal(made)).code is ErrorCode.INVALID_CHANNEL


async def test_a_source_that_does_not_answer_is_not_waited_for(autojump_clock: MockClock) -> None:
    async def pager(_query: PageQuery) -> Page:
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    error = await refusal(pages(pager))
    assert (error.code, error.message) == (
        ErrorCode.UNAVAILABLE,
        "The source of price did not answer within 5 s (limits.answer)",
    )
    assert autojump_clock.current_time() == 5


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (ValueError("`cursor` is none"), ErrorCode.INVALID_MESSAGE, "`cursor` is none"),
        (
            SourceError("db.internal refuses"),
            ErrorCode.UNAVAILABLE,
            "The source of price cannot be asked at the moment",
        ),
    ],
)
async def test_what_a_client_is_told(raised: Exception, code: ErrorCode, told: str) -> None:
    async def pager(_query: PageQuery) -> Page:
        raise raised

    with capture_logs() as log:
        error = await refusal(pages(pager))
    assert (error.code, error.message) == (code, told)
    reasons: list[Any] = [line["reason"] for line in log]
    assert reasons == (["db.internal refuses"] if code is ErrorCode.UNAVAILABLE else [])


def numbered(count: int) -> tuple[list[PageQuery], Callable[[PageQuery], Awaitable[Page]]]:
    """Give a source of so many rows, every third of which is of ETH, and what it is asked for."""
    asked: list[PageQuery] = []

    async def pager(query: PageQuery) -> Page:
        asked.append(query)
        first = int(query.cursor or 0)
        last = min(first + query.limit, count)
        rows = [Row("BTC" if n % 3 else "ETH", {"price": n}, float(n)) for n in range(first, last)]
        return Page(rows, str(last) if last < count else None)

    return asked, pager


@pytest.mark.parametrize("limit", [1, 4, 10, 50])
async def test_a_page_is_as_full_for_who_is_not_shown_all(limit: int) -> None:
    _, pager = numbered(30)
    sight, found, cursor = Sight(HUB, Scope(read=("price:ETH",))), [], None
    while True:
        page = await pages(pager).page("price", PageQuery(limit=limit, cursor=cursor), sight)
        found += [entry.at for entry in page.entries]
        cursor = page.next
        if cursor is None:
            break
        assert len(page.entries) == limit
    assert found == [float(n) for n in range(0, 30, 3)]


async def test_a_source_is_not_looked_through_without_end() -> None:
    asked, pager = numbered(100_000)
    found = await pages(pager).page("price", PageQuery(limit=5), Sight(HUB, Scope(read=("price:ADA",))))
    assert (found.entries, len(asked), found.next) == ([], 16, "80")


async def test_of_a_topic_that_is_not_there_no_source_is_asked() -> None:
    asked, pager = numbered(10)
    sight = Sight(HUB, Scope(read=("price:ETH",)))
    found = await pages(pager).page("price", PageQuery(key="BTC"), sight)
    assert (found.entries, found.next, asked) == ((), None, [])


async def test_rows_are_shown_as_events_are() -> None:
    async def pager(_query: PageQuery) -> Page:
        return Page([Row("ETH", {"price": n}, 1.0) for n in range(4)])

    scope = Scope(
        masks=frozenset({Mask(pattern="*", hide={"by"})}),
        filters=frozenset({Filter("*", parse("price > 1"))}),
    )
    found = await pages(pager).page("price", PageQuery(), Sight(HUB, scope))
    assert [entry.body for entry in found.entries] == [b'{"price":2}', b'{"price":3}']
