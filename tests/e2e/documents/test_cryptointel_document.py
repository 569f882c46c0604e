"""Every block of the CryptoIntel document that a client or an operator uses, against its profile."""

from __future__ import annotations

import re
import urllib.request
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.e2e.dialogue import Dialogue
from tests.e2e.documents.blocks import FOLDER, Block, block, blocks
from tests.e2e.documents.programs import CLIENTS, Stage, shell
from tests.e2e.documents.shapes import shortfalls
from tests.e2e.documents.systems import LIVELY, profile, words
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

NAME = "cryptointel"
AUTH = block(NAME, "json", "Authentication")
TO_SERVER = {block.title: block for block in blocks(NAME, "json", "Client → Server Messages")}
FROM_SERVER = blocks(NAME, "json", "Server → Client Messages")
SOON = PATIENCE * 1000

MOUNT = """
import { createRoot } from 'react-dom/client';
createRoot(document.querySelector('main')).render(<CryptoDashboard />);
"""
"""What the React block leaves to its reader: the place in the page."""

EVENT_SOURCE = """
const events = new EventSource('{}');
events.onmessage = (event) => console.log('Event:', JSON.parse(event.data));
events.onerror = (error) => console.error('Event source error:', error);
"""
"""A page that falls back to server-sent events, which the document names and has no block for."""

ASKED = {
    "Signal Alert": ["signals:high"],
    "Error Message": ["price:invalid"],
    "Price Update": ["price:bitcoin"],
    "Market Data": ["market:summary"],
}
"""What brings the message of a block, beside what comes to all."""


@pytest.fixture(scope="module")
def running(start_shared: Start) -> Running:
    """The profile, but for its connections a minute: all these clients have one address."""
    return start_shared(*words(profile(NAME), *LIVELY, "limits.connections_per_minute=600"))


@pytest.fixture(scope="module")
def library(running: Running) -> bytes:
    """The client library, as the appliance serves it."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=running.ssl_context())
    )
    with opener.open(f"{running.https_url}/websocket-client.js", timeout=PATIENCE) as answer:
        assert answer.headers.get_content_type() == "text/javascript"
        content: bytes = answer.read()
        return content


@pytest.fixture(autouse=True)
def folder(library: bytes, tmp_path: Path) -> Path:
    """A folder with the library in it, and a package whose files are modules."""
    (tmp_path / "websocket-client.js").write_bytes(library)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    return tmp_path


def here(block: Block, running: Running) -> str:
    """Put this appliance's host into a block, and the key: into the address, where it has no place for a token."""
    place = running.addresses[0].partition("://")[2]
    with_host = block.here(place, running.key)
    if running.key in with_host:
        return with_host
    return with_host.replace(f"//{place}/ws", f"//{place}/ws?token={running.key}")


def channels() -> list[str]:
    """Give the channels that the document names, without those whose name stands for another."""
    document = (FOLDER / f"{NAME}.md").read_text(encoding="utf-8")
    named = dict.fromkeys(re.findall(r"`((?:price|signals|market):[^`]+)`", document))
    return [name for name in named if "{" not in name and name != "price:symbol"]


def of(beginning: str, **fields: str) -> Callable[[list[Any]], bool]:
    """Pass what a callback was given, with these fields."""
    return lambda words: words[0] == beginning and words[1].items() >= fields.items()


@pytest.mark.parametrize("block", [block(NAME, "", "WebSocket Endpoint")], ids=str)
@pytest.mark.parametrize("auth", [AUTH], ids=str)
def test_the_address_lets_in_who_authenticates(block: Block, auth: Block, running: Running) -> None:
    place = running.addresses[0].partition("://")[2]
    with running.connect(key="") as socket:
        assert block.here(place).strip() == running.wss_url
        client = Dialogue(socket)
        client.say(auth.here(place, running.key))
        assert client.listen(bool)["type"] == "authenticated"


@pytest.mark.parametrize("block", TO_SERVER.values(), ids=str)
def test_the_messages_to_the_server_are_understood(block: Block, running: Running) -> None:
    subscribe = TO_SERVER["Subscribe to Channels"]
    names = subscribe.message["channels"]
    with running.connect() as connection:
        client = Dialogue(connection)
        client.say(subscribe.text)
        answer = client.hear("subscribed")
        client.say(block.text)
        match block.message["type"]:
            case "ping":
                client.hear("pong")
            case "subscribe":
                client.listen_until(lambda account: account.events.keys() >= set(names))
            case "unsubscribe":
                assert client.hear("unsubscribed")["channels"] == ["price:bitcoin"]
                client.account.events.clear()
                client.listen_until(lambda account: len(account.offsets("market:summary")) >= 3)
                assert "price:bitcoin" not in client.account.events

    assert [topic["channel"] for topic in answer["channels"]] == names


@pytest.mark.parametrize("block", FROM_SERVER, ids=str)
def test_the_messages_from_the_server_have_the_shape_of_the_document(block: Block, running: Running) -> None:
    shown = block.message
    with running.connect() as connection:
        client = Dialogue(connection)
        client.say({"type": "subscribe", "channels": ASKED.get(block.title, ["market:summary"])})
        client.say({"type": "ping"})
        got = client.hear(shown["type"], shown.get("channel"))

    assert [*shortfalls(shown, got)] == []
    if shown["type"] == "error":
        for name in ("code", "message"):
            assert got["error"][name] == shown["error"][name]


def test_every_channel_of_the_document_exists(running: Running) -> None:
    names = channels()
    with running.connect() as connection:
        answer = Dialogue(connection).subscribe(*names)

    assert len(names) >= 9
    assert [topic["channel"] for topic in answer["channels"]] == names


@pytest.mark.parametrize("block", blocks(NAME, "javascript"), ids=str)
def test_the_javascript_client_sees_prices_and_signals(block: Block, stage: Stage, running: Running) -> None:
    example = stage.run(here(block, running), module=True)
    for symbol in ("BTC", "ETH"):
        example.hear_different(of("Price update:", symbol=symbol))
    [(_, signal), *_] = example.hear(of("Signal alert:"))

    assert signal["confidence"] >= 0.5
    assert example.complaints() == []


@pytest.mark.parametrize("stage", ["chromium"], indirect=True)
@pytest.mark.parametrize("block", blocks(NAME, "jsx"), ids=str)
def test_the_react_dashboard_is_drawn(block: Block, stage: Stage, running: Running, folder: Path) -> None:
    (folder / "dashboard.jsx").write_text(here(block, running) + MOUNT, encoding="utf-8")
    shell(
        f"{CLIENTS}/node_modules/.bin/esbuild dashboard.jsx --bundle --format=esm --outfile=dashboard.js",
        folder=folder,
        variables={"NODE_PATH": str(CLIENTS / "node_modules")},
    )
    shown = stage.show("dashboard.js", module=True)
    page = shown.tab.page

    for symbol in ("BTC", "ETH"):
        price = page.get_by_text(f"{symbol}: $")
        expect(price).to_contain_text(" USD", timeout=SOON)
        expect(price).not_to_have_text(price.inner_text(), timeout=SOON)
    signal = page.locator("div", has_text="Confidence: ").last
    expect(signal).to_contain_text("%", timeout=SOON)
    assert shown.complaints() == []


@pytest.mark.parametrize("block", blocks(NAME, "bash", "Testing"), ids=str)
def test_the_test_suite_passes(block: Block, running: Running) -> None:
    told = {
        "APPLIANCE_URL": running.wss_url,
        "APPLIANCE_KEY": running.key,
        "NODE_EXTRA_CA_CERTS": str(running.certificate),
    }
    assert "fail 0" in shell(block.text, folder=CLIENTS, variables=told)


# --- The fallbacks, which the document names without a block. ---


@pytest.mark.parametrize("stage", ["chromium"], indirect=True)
def test_a_page_falls_back_to_server_sent_events(stage: Stage, running: Running) -> None:
    address = f"{running.https_url}/sse?channels=price:bitcoin,market:summary&token={running.key}"
    example = stage.run(EVENT_SOURCE.format(address))
    for channel in ("price:bitcoin", "market:summary"):
        example.hear_different(of("Event:", channel=channel))
    events = [event for _, event in example.hear(of("Event:", type="price_update"))]

    offsets = [event["offset"] for event in events]
    assert offsets == [*range(offsets[0], offsets[0] + len(offsets))]
    assert events[0]["data"]["symbol"] == "BTC"
    assert example.complaints() == []


@pytest.fixture
def polls(running: Running) -> Iterator[Callable[..., Any]]:
    """Ask for what follows in a topic, as a client without streams does."""
    with httpx.Client(
        base_url=running.https_url,
        verify=running.ssl_context(),
        headers={"Authorization": f"Bearer {running.key}"},
        timeout=PATIENCE,
        trust_env=False,
    ) as client:

        def ask(path: str, **parameters: str) -> Any:
            answer = client.get(f"/api/v1/topics/{path}", params=parameters).raise_for_status().json()
            assert (answer["success"], answer["error"]) == (True, None)
            return answer["data"]

        yield ask


def test_a_client_falls_back_to_polling(polls: Callable[..., Any]) -> None:
    newest = polls("price:bitcoin/latest")
    page = polls("price:bitcoin/events", wait="5")
    events = page["events"]
    while len(events) < 5:
        page = polls("price:bitcoin/events", after=page["position"], wait="5")
        assert page["recovered"]
        events += page["events"]

    offsets = [event["offset"] for event in events]
    assert offsets == [*range(offsets[0], offsets[0] + len(offsets))]
    assert offsets[0] >= newest["offset"]
    assert {(event["type"], event["channel"], event["data"]["symbol"]) for event in events} == {
        ("price_update", "price:bitcoin", "BTC")
    }
