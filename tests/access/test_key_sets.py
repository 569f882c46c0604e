"""Published keys, fetched from a real server while the clock jumps."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import trio
from structlog.testing import capture_logs

from appliance.access import fetching
from appliance.access.fetching import Unfetched
from appliance.access.key_sets import AGAIN, Address, KeySets
from tests.access.issuing import public, published
from tests.access.publisher import answer, publishing
from tests.edge.stage import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trio.testing import MockClock


EVERY = 300.0
HERE = Address(url="http://localhost:1/keys", ca=None, every=EVERY, within=5.0)


class Web:
    """What is fetched, as the tests say; a list of when."""

    def __init__(self) -> None:
        self.content: bytes | None = answer({})
        self.fetched: list[float] = []

    async def fetch(self, url: str, *, ca: Path | None, within: float) -> bytes:  # noqa: ARG002 - as the real one
        self.fetched.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if self.content is None:
            raise Unfetched("nobody is there")
        return self.content

    def publish(self, *keys: Any) -> None:
        self.content = answer({"keys": keys}).partition(b"\r\n\r\n")[2]


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    """A web that costs no time: the fetching itself has its own tests, and one here."""
    found = Web()
    monkeypatch.setattr(fetching, "fetch", found.fetch)
    found.publish(published("rsa", kid="a"))
    return found


@contextlib.asynccontextmanager
async def running(*addresses: Address) -> AsyncIterator[KeySets]:
    sets = KeySets(addresses)
    async with trio.open_nursery() as nursery:  # ends with the block
        await nursery.start(sets.run)
        yield sets
        nursery.cancel_scope.cancel()


def ids(sets: KeySets, address: Address = HERE) -> list[str | None]:
    return [key.id for key in sets.keys(address)]


async def test_keys_come_from_a_real_server() -> None:
    async with publishing(published("rsa", kid="a"), published("p256", kid="b")) as publisher:
        address = Address(url=publisher.url, ca=None, every=EVERY, within=PATIENCE)
        async with running(address) as sets:
            assert ids(sets, address) == ["a", "b"]
            assert sets.keys(address)[0].key == public("rsa")


async def test_keys_are_there_once_it_runs_and_fetched_again_in_time(
    web: Web, autojump_clock: MockClock
) -> None:
    del autojump_clock  # time jumps
    async with running(HERE) as sets:
        assert ids(sets) == ["a"]
        web.publish(published("rsa", kid="b"))
        await trio.sleep(EVERY - 1)
        assert (ids(sets), len(web.fetched)) == (["a"], 1)
        await trio.sleep(2)
        assert (ids(sets), len(web.fetched)) == (["b"], 2)


async def test_a_server_that_is_away_does_not_hold_the_start_and_leaves_no_keys(
    web: Web, autojump_clock: MockClock
) -> None:
    del autojump_clock  # time jumps
    web.content = None
    async with running(HERE) as sets:
        assert ids(sets) == []
        web.publish(published("rsa", kid="a"))
        await trio.sleep(2)
        assert ids(sets) == ["a"]


@pytest.mark.parametrize("content", [None, b"no set", b'{"keys": []}', b'{"keys": [{"kty": "oct"}]}'])
async def test_the_last_good_keys_stay_while_nothing_better_comes(
    web: Web, autojump_clock: MockClock, content: bytes | None
) -> None:
    del autojump_clock  # time jumps
    with capture_logs() as log:
        async with running(HERE) as sets:
            web.content = content
            await trio.sleep(10 * EVERY)
            assert ids(sets) == ["a"]
            assert 10 < len(web.fetched) < 40
            web.publish(published("rsa", kid="b"))
            await trio.sleep(EVERY)
            assert ids(sets) == ["b"]
    told = [(line["log_level"], line["event"]) for line in log]
    assert told == [
        ("info", "an issuer's keys fetched"),
        ("warning", "an issuer's keys cannot be fetched, those before stay"),
        ("info", "an issuer's keys fetched"),
    ]


async def test_a_key_that_is_missing_is_fetched_soon_and_seldom(web: Web, autojump_clock: MockClock) -> None:
    del autojump_clock  # time jumps
    async with running(HERE) as sets:
        await trio.sleep(AGAIN + 1)
        web.publish(published("rsa", kid="b"))
        for _ in range(100):
            sets.missed(HERE)
        await trio.sleep(0.01)
        assert (ids(sets), len(web.fetched)) == (["b"], 2)
        for _ in range(100):
            sets.missed(HERE)
            await trio.sleep(0.01)
        assert len(web.fetched) == 2
        await trio.sleep(AGAIN)
        assert len(web.fetched) == 3


async def test_sets_come_and_go_while_it_runs(web: Web, autojump_clock: MockClock) -> None:
    del autojump_clock  # time jumps
    other = Address(url="http://localhost:2/keys", ca=None, every=EVERY, within=5.0)
    async with running(HERE) as sets:
        sets.use([HERE, other])
        await trio.sleep(0.01)
        assert (ids(sets), ids(sets, other), len(web.fetched)) == (["a"], ["a"], 2)
        sets.use([other])
        assert (ids(sets), ids(sets, other)) == ([], ["a"])
        sets.missed(HERE)
        await trio.sleep(EVERY + 1)
        assert len(web.fetched) == 3


async def test_one_that_hangs_does_not_hold_the_others() -> None:
    sets = KeySets()
    async with publishing(says=None) as slow, publishing(published("rsa", kid="a")) as quick:
        hanging = Address(url=slow.url, ca=None, every=EVERY, within=PATIENCE)
        good = Address(url=quick.url, ca=None, every=EVERY, within=PATIENCE)
        async with trio.open_nursery() as nursery:  # ends with the block
            await nursery.start(sets.run)
            sets.use([hanging, good])
            await until(lambda: ids(sets, good) == ["a"])
            assert ids(sets, hanging) == []
            nursery.cancel_scope.cancel()
