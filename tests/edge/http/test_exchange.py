"""What gathers for one client of HTTP, and its end."""

from __future__ import annotations

import pytest

from appliance.core.errors import ErrorCode, RequestError
from appliance.edge.http.exchange import Exchange
from appliance.edge.stream import Stream
from tests.edge.stage import connected


async def test_it_is_owed_what_the_stream_holds_and_what_has_not_come_to_it() -> None:
    ours, theirs = connected()
    with theirs:
        stream = Stream(ours)
        exchange = Exchange(stream, lambda: 1_000)
        assert exchange.owed_bytes == 1_000
        while stream.push(b"x" * 65_536):
            pass
        assert exchange.owed_bytes == 1_000 + stream.waiting > 1_000
        stream.abort()


@pytest.mark.parametrize("expelled", [False, True])
async def test_it_is_cut_off_without_a_word(*, expelled: bool) -> None:
    ours, theirs = connected()
    with theirs:
        stream = Stream(ours)
        exchange = Exchange(stream, lambda: 0)
        if expelled:
            exchange.expel(RequestError(ErrorCode.SLOW_CLIENT, "too slow"))
        else:
            exchange.cut()
        assert stream.is_broken
        theirs.settimeout(10)
        with pytest.raises(ConnectionResetError):
            theirs.recv(1)
