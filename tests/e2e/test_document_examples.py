"""The examples of the CryptoIntel document, verbatim but for host and token, against the built file."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.e2e.chromium import Tab, chromium
from tests.e2e.cryptointel_document import blocks, channels
from tests.e2e.dialogue import Dialogue
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.e2e.running import Running

CLIENTS = Path(__file__).resolve().parent / "clients"
SOON = PATIENCE * 1000
HOST = "wss://cryptointel-data-production.magicmike.workers.dev/ws"
TOKEN = "your-jwt-token"

MOUNT = """
import { createRoot } from 'react-dom/client';
createRoot(document.querySelector('main')).render(<CryptoDashboard />);
"""

TO_SERVER = {block.title: block for block in blocks("json", "Client → Server Messages")}
FROM_SERVER = {block.title: block for block in blocks("json", "Server → Client Messages")}
ASKED = {
    "Signal Alert": ["signals:high"],
    "Error Message": ["price:invalid"],
    "Price Update": ["price:bitcoin"],
    "Market Data": ["market:summary"],
}
"""What brings the message of a block, beside what comes to all."""


def with_key(text: str, appliance: Running) -> str:
    """Put this appliance's host and key into a block; where that has no place for a token, the address has."""
    assert HOST in text or TOKEN in text
    return text.replace(TOKEN, appliance.key).replace(HOST, f"{appliance.wss_url}?token={appliance.key}")


def shortfalls(shown: Any, got: Any, place: str = "") -> Iterator[str]:
    """Tell where a message has less than the one in the document, or has something of another type."""
    if isinstance(shown, dict) and isinstance(got, dict):
        for name, value in shown.items():
            if name in got:
                yield from shortfalls(value, got[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} is not there"
    elif isinstance(shown, list) and isinstance(got, list):
        for element in got:
            yield from shortfalls(shown[0], element, f"{place}[]")
    elif kind(shown) != kind(got):
        yield f"{place}: {got!r} is no {kind(shown)}"


def kind(value: Any) -> str:
    """Give the type of JSON, and tell times from other text."""
    if isinstance(value, bool) or value is None or isinstance(value, (dict, list)):
        return type(value).__name__
    if isinstance(value, (int, float)):
        return "number"
    with contextlib.suppress(ValueError):
        if dt.datetime.fromisoformat(value).utcoffset() == dt.timedelta(0):
            return "time in UTC"
    return "text"


@pytest.fixture(scope="module")
def library(lively: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client library as the appliance serves it."""
    folder = tmp_path_factory.mktemp("library")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=lively.ssl_context())
    )
    with opener.open(f"{lively.https_url}/websocket-client.js", timeout=PATIENCE) as answer:
        assert answer.headers.get_content_type() == "text/javascript"
        (folder / "websocket-client.js").write_bytes(answer.read())
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


@pytest.fixture(scope="module")
def browser(lively: Running) -> Iterator[Browser]:
    with chromium(lively.certificate) as started:
        yield started


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    opened = Tab.of(browser)
    yield opened
    opened.close()


def open_example(tab: Tab, appliance: Running, script: str) -> None:
    """Open the appliance's page with this script instead of its own, beside the library that it serves."""
    tab.page.route("**/watch.js", lambda route: route.fulfill(body=script, content_type="text/javascript"))
    tab.page.goto(appliance.https_url)


def test_the_messages_to_the_server_are_understood(lively: Running) -> None:
    (auth,) = blocks("json", "Authentication")
    with lively.connect(key="") as connection:
        client = Dialogue(connection)
        client.say(with_key(auth.text, lively))
        client.hear("authenticated")
        client.say(TO_SERVER["Subscribe to Channels"].text)
        names = TO_SERVER["Subscribe to Channels"].message["channels"]
        answer = client.hear("subscribed")
        client.listen_until(lambda account: account.events.keys() >= set(names))
        client.say(TO_SERVER["Unsubscribe from Channels"].text)
        left = client.hear("unsubscribed")["channels"]
        client.account.events.clear()
        client.say(TO_SERVER["Ping (Keep-alive)"].text)
        client.hear("pong")
        client.listen_until(lambda account: len(account.offsets("market:summary")) >= 3)

    assert [topic["channel"] for topic in answer["channels"]] == names
    assert left == TO_SERVER["Unsubscribe from Channels"].message["channels"] == ["price:bitcoin"]
    assert "price:bitcoin" not in client.account.events


@pytest.mark.parametrize("title", FROM_SERVER)
def test_the_messages_from_the_server_have_the_shape_of_the_document(lively: Running, title: str) -> None:
    shown = FROM_SERVER[title].message
    with lively.connect() as connection:
        client = Dialogue(connection)
        client.say({"type": "subscribe", "channels": ASKED.get(title, ["market:summary"])})
        client.say({"type": "ping"})
        got = client.hear(shown["type"], shown.get("channel"))

    assert [*shortfalls(shown, got)] == []
    if title == "Error Message":
        assert (got["error"]["code"], got["error"]["message"]) == (
            shown["error"]["code"],
            shown["error"]["message"],
        )


def test_every_channel_of_the_document_exists(lively: Running) -> None:
    names = channels()
    with lively.connect() as connection:
        answer = Dialogue(connection).subscribe(*names)

    assert len(names) >= 9
    assert [topic["channel"] for topic in answer["channels"]] == names


def test_the_javascript_example_runs_in_node(lively: Running, library: Path) -> None:
    (example,) = blocks("javascript", "JavaScript Client")
    (library / "example.js").write_text(with_key(example.text, lively))
    command = ["node", "--import", str(CLIENTS / "global-websocket.js"), "example.js"]
    trusting = {**os.environ, "NODE_EXTRA_CA_CERTS": str(lively.certificate)}
    wanted, seen = ["Price update: {", "symbol: 'BTC'", "symbol: 'ETH'", "Signal alert: {"], ""
    deadline = time.monotonic() + PATIENCE
    with subprocess.Popen(command, cwd=library, env=trusting, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        for line in node.stdout:
            seen += line
            if all(text in seen for text in wanted) or time.monotonic() > deadline:
                break
        node.terminate()

    assert [text for text in wanted if text not in seen] == []


def test_the_javascript_example_runs_in_the_browser(lively: Running, tab: Tab) -> None:
    (example,) = blocks("javascript", "JavaScript Client")
    open_example(tab, lively, with_key(example.text, lively))
    for begin in ("Price update:", "Signal alert:"):
        if not any(text.startswith(begin) for text in tab.said):
            tab.page.wait_for_event(
                "console", lambda message, begin=begin: message.text.startswith(begin), timeout=SOON
            )

    assert tab.complaints == []


def test_the_react_example_is_drawn_in_the_browser(lively: Running, tab: Tab, library: Path) -> None:
    (example,) = blocks("jsx", "React Integration Example")
    (library / "dashboard.jsx").write_text(with_key(example.text, lively) + MOUNT)
    bundled = subprocess.run(
        [CLIENTS / "node_modules" / ".bin" / "esbuild", "dashboard.jsx", "--bundle", "--format=esm"],
        cwd=library,
        env={**os.environ, "NODE_PATH": str(CLIENTS / "node_modules")},
        capture_output=True,
        text=True,
        check=True,
    )
    open_example(tab, lively, bundled.stdout)

    for symbol in ("BTC", "ETH"):
        price = tab.page.get_by_text(f"{symbol}: $")
        expect(price).to_contain_text(" USD", timeout=SOON)
        expect(price).not_to_have_text(price.inner_text(), timeout=SOON)
    signal = tab.page.locator("div", has_text="Confidence: ").last
    expect(signal).to_contain_text("%", timeout=SOON)
    assert tab.complaints == []


def test_the_documents_test_suite_passes(lively: Running) -> None:
    (line,) = blocks("bash", "Testing")
    told = {
        "APPLIANCE_URL": lively.wss_url,
        "APPLIANCE_KEY": lively.key,
        "NODE_EXTRA_CA_CERTS": str(lively.certificate),
    }
    done = subprocess.run(
        ["sh", "-c", line.text],
        cwd=CLIENTS,
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "fail 0" in done.stdout
