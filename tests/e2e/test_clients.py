"""Clients as people have them, against the built file: curl, httpx, websockets and trio-websocket.

Node runs the document's test suite: see documents/test_cryptointel_document.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from trio_websocket import open_websocket_url
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.e2e.conftest import MANY
from tests.e2e.dialogue import Account, Dialogue, unbroken
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.e2e.running import Running

VERSIONS = {"--http1.1": "1.1", "--http2": "2"}
CHANNELS = {
    "price:BTC": "price_update",
    "predictions:BTC": "prediction_update",
    "market:summary": "market_data",
    "portfolio:paper": "portfolio_update",
    "signals:high": "signal_alert",
    "trades:all": "trade_executed",
}


def curl_words(appliance: Running, path: str, *words: str) -> list[str]:
    curl = shutil.which("curl")
    assert curl, "curl is not installed"
    trusted = ["--cacert", str(appliance.certificate), "--max-time", str(PATIENCE)]
    return [curl, "--silent", "--show-error", *trusted, *words, f"{appliance.https_url}{path}"]


def curl(appliance: Running, path: str, *words: str) -> tuple[str, int, Any]:
    """Give the HTTP version, the status and the JSON."""
    told = ["--write-out", "\n%{http_version} %{http_code}"]
    done = subprocess.run(
        curl_words(appliance, path, *told, *words), capture_output=True, text=True, check=True
    )
    body, _, last = done.stdout.rpartition("\n")
    version, status = last.split()
    return version, int(status), json.loads(body)


def bearer(appliance: Running) -> str:
    return f"Authorization: Bearer {appliance.key}"


def events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Read server-sent events."""
    for line in lines:
        field, _, value = line.rstrip().partition(": ")
        if field == "data":
            yield json.loads(value)


def follow_prices(stream: Iterable[str], count: int) -> Account:
    """Read an event stream until so many events have come."""
    account = Account()
    for message in events(stream):
        account.take(message)
        if sum(map(len, account.events.values())) >= count:
            break
    return account


@pytest.mark.parametrize("version", VERSIONS)
def test_curl_asks_for_health_without_a_key(appliance: Running, version: str) -> None:
    spoken, status, body = curl(appliance, "/health", version)

    assert (spoken, status) == (VERSIONS[version], 200)
    assert body["status"] == "healthy"


@pytest.mark.parametrize("version", VERSIONS)
def test_curl_reads_the_statistics_with_the_key(appliance: Running, version: str) -> None:
    spoken, status, body = curl(appliance, "/ws/stats", version, "--header", bearer(appliance))

    assert (spoken, status) == (VERSIONS[version], 200)
    assert body["channels"]["price"]["is_healthy"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", ["/ws/stats", "/sse?channels=price:BTC"])
@pytest.mark.parametrize("header", [None, "Authorization: Bearer wrong"])
def test_curl_is_refused_without_the_right_key(
    appliance: Running, version: str, path: str, header: str | None
) -> None:
    shown = [] if header is None else ["--header", header]
    spoken, status, body = curl(appliance, path, version, *shown)

    assert (spoken, status) == (VERSIONS[version], 401)
    assert (body["success"], body["data"]) == (False, None)
    assert body["error"].startswith("Unauthorized: ")


@pytest.mark.parametrize("version", VERSIONS)
def test_curl_follows_the_prices(appliance: Running, version: str) -> None:
    words = curl_words(
        appliance, "/sse?channels=price:*", version, "--no-buffer", "--header", bearer(appliance)
    )
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        account = follow_prices(process.stdout, 36)
        process.terminate()

    assert len(account.events) == 12
    assert all(unbroken(account.offsets(topic)) for topic in account.events)


def test_httpx_has_many_requests_and_a_stream_on_one_http2_connection(appliance: Running) -> None:
    with httpx.Client(
        http2=True,
        verify=appliance.ssl_context(),
        base_url=appliance.https_url,
        headers={"X-API-Key": appliance.key},
        limits=httpx.Limits(max_connections=1),
        timeout=PATIENCE,
        trust_env=False,
    ) as client:
        before = client.get("/ws/stats").json()["churn"]["opened"]
        with client.stream("GET", "/sse", params={"channels": "price:BTC,market:*"}) as stream:
            answers = [client.get("/health") for _ in range(10)]
            account = follow_prices(stream.iter_lines(), 8)
            opened = client.get("/ws/stats").json()["churn"]["opened"]

    assert stream.http_version == "HTTP/2"
    assert {(answer.http_version, answer.status_code) for answer in answers} == {("HTTP/2", 200)}
    assert opened == before + 1
    assert set(account.events) == {"price:BTC", "market:summary", "market:volume", "market:sentiment"}
    assert all(unbroken(account.offsets(topic)) for topic in account.events)


@pytest.mark.parametrize(
    "way", ["bearer", "bare", "x-api-key", "token", "api_key", "key", "subprotocol", "message"]
)
def test_websockets_shows_the_key_in_each_way(appliance: Running, way: str) -> None:
    key = appliance.key
    headers = {
        "bearer": {"Authorization": f"Bearer {key}"},
        "bare": {"Authorization": key},
        "x-api-key": {"X-API-Key": key},
    }
    offered = [Subprotocol("appliance.v1"), Subprotocol(f"bearer.{key}")] if way == "subprotocol" else None
    query = f"?{way}={key}" if way in {"token", "api_key", "key"} else ""
    with connect(
        f"{appliance.wss_url}{query}",
        ssl=appliance.ssl_context(),
        additional_headers=headers.get(way),
        subprotocols=offered,
        proxy=None,
    ) as connection:
        client = Dialogue(connection)
        if way == "message":
            client.say({"type": "auth", "token": key})
            assert client.hear("authenticated")["data"] == {"name": "default"}
        client.subscribe("price:BTC")
        assert client.hear("price_update", "price:BTC")["data"]["symbol"] == "BTC"
        assert connection.subprotocol == (offered[0] if offered else None)


@pytest.mark.parametrize("topic", CHANNELS)
def test_each_channel_delivers(lively: Running, topic: str) -> None:
    from_the_first = {topic: {"epoch": "unknown", "offset": 0}}
    with lively.connect() as connection:
        client = Dialogue(connection)
        client.subscribe(topic, recover=from_the_first)
        messages = [client.hear(CHANNELS[topic], topic) for _ in range(1 if topic == "trades:all" else 3)]

    offsets = [message["offset"] for message in messages]
    assert unbroken(offsets)
    if topic.startswith(("signals", "trades")):
        assert offsets[0] == 1
    assert all(message["data"]["timestamp"].endswith("Z") for message in messages)


def test_the_channels_agree_with_one_another(lively: Running) -> None:
    """What was traded was signalled, and at the price that was published at that moment."""
    from_the_first = {"epoch": "unknown", "offset": 0}
    with lively.connect() as connection:
        client = Dialogue(connection)
        client.subscribe(
            "trades:all", "signals:all", recover={"trades:all": from_the_first, "signals:all": from_the_first}
        )
        trade = client.hear("trade_executed")["data"]
        client.listen_until(
            lambda account: any(
                signal["id"] == trade["signal_id"] for _, signal in account.events.get("signals:all", ())
            )
        )
    signals = {signal["id"]: signal for _, signal in client.account.events["signals:all"]}
    signal = signals[trade["signal_id"]]
    assert (trade["symbol"], trade["side"], trade["price"]) == (
        signal["symbol"],
        signal["signal_type"],
        signal["price"],
    )


def test_a_pattern_brings_each_symbol_and_nothing_else(lively: Running) -> None:
    with lively.connect() as connection:
        client = Dialogue(connection)
        answer = client.subscribe("price:*")
        wanted = {f"price:{symbol}" for symbol in MANY}
        client.listen_until(lambda account: all(len(account.offsets(topic)) >= 3 for topic in wanted))

    assert {topic["channel"] for topic in answer["channels"]} == wanted
    assert {topic["pattern"] for topic in answer["channels"]} == {"price:*"}
    assert set(client.account.events) - {"system:status"} == wanted
    assert all(unbroken(client.account.offsets(topic)) for topic in wanted)


def test_a_limit_leaves_out_older_values_without_gap_notices(lively: Running) -> None:
    with lively.connect() as connection:
        client = Dialogue(connection)
        answer = client.subscribe("price:BTC", limit=1)
        client.listen_until(lambda account: len(account.offsets("price:BTC")) >= 4)

    offsets = client.account.offsets("price:BTC")
    assert answer["channels"][0]["limit"] == 1
    assert offsets == sorted(set(offsets))
    assert offsets[-1] - offsets[0] > len(offsets) - 1
    assert client.account.gaps == []


def test_an_alias_is_the_same_topic_under_the_name_that_was_written(appliance: Running) -> None:
    with appliance.connect() as one, appliance.connect() as other:
        alias, symbol = Dialogue(one), Dialogue(other)
        written = alias.subscribe("price:bitcoin")["channels"][0]
        plain = symbol.subscribe("price:BTC")["channels"][0]
        message = alias.hear("price_update")
        same = symbol.listen(
            lambda said: said["type"] == "price_update" and said["offset"] >= message["offset"]
        )

    assert (written["channel"], plain["channel"]) == ("price:bitcoin", "price:BTC")
    assert written["epoch"] == plain["epoch"]
    assert (message["channel"], message["data"]["symbol"]) == ("price:bitcoin", "BTC")
    if same["offset"] == message["offset"]:
        assert same["data"] == message["data"]


def test_a_dropped_connection_resumes_with_nothing_missed_and_nothing_twice(lively: Running) -> None:
    names = ("price:*", "predictions:*", "portfolio:paper", "signals:all")
    account = Account()
    with lively.connect(max_queue=None) as steady:  # read now and then only
        witness = Dialogue(steady)
        last = witness.subscribe(*names)["channels"][0]["offset"]
        for _ in range(3):
            with lively.connect() as connection:
                client = Dialogue(connection, account)
                positions = account.positions()
                answers = client.subscribe(*names, recover=positions)["channels"]
                assert {answer["channel"] for answer in answers if answer.get("recovered")} == set(positions)
                last = went_on(client, last + 3)
                connection.close_socket()  # without a goodbye
            last = went_on(witness, last + 4)

    assert account.gaps == []
    for topic in positions:
        seen = dict(witness.account.events[topic])
        both = [(offset, data) for offset, data in account.events[topic] if offset in seen]
        assert unbroken(account.offsets(topic)), topic
        assert both
        assert both == [(offset, seen[offset]) for offset, _ in both]


def went_on(client: Dialogue, offset: int) -> int:
    """Listen until the price of BTC is at least at this offset, and give where it is."""
    client.listen_until(lambda account: account.offsets("price:BTC")[-1:] >= [offset])
    return client.account.offsets("price:BTC")[-1]


async def test_trio_websocket_follows_the_market(appliance: Running) -> None:
    subscribe = json.dumps({"type": "subscribe", "channels": ["price:*"]})
    account = Account()
    with trio.fail_after(PATIENCE):
        async with open_websocket_url(
            appliance.wss_url,
            ssl_context=appliance.ssl_context(),
            extra_headers=[(b"X-API-Key", appliance.key.encode())],
        ) as connection:
            await connection.send_message(subscribe)
            async with trio.open_nursery() as nursery:  # ends with the pong
                nursery.start_soon(connection.ping)
                while nursery.child_tasks or sum(map(len, account.events.values())) < 36:
                    account.take(json.loads(await connection.get_message()))
        assert connection.closed is not None
        assert connection.closed.code == 1000

    assert len(account.events) >= 12
    assert all(unbroken(account.offsets(topic)) for topic in account.events)
