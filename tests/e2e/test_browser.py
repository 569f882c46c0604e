"""The page at `/` in headless Chromium: served over HTTP/2, its socket over HTTP/1.1, and the prices move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.e2e.chromium import Tab, chromium
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.e2e.running import Running

PROTOCOL = "performance.getEntriesByType('navigation')[0].nextHopProtocol"
ROWS = "#prices tr"
DEFAULT_SYMBOLS = 12
SOON = PATIENCE * 1000


@pytest.fixture(scope="module")
def browser(appliance: Running) -> Iterator[Browser]:
    with chromium(appliance.certificate) as started:
        yield started


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    opened = Tab.of(browser)
    yield opened
    opened.close()


def open_page(tab: Tab, appliance: Running, key: str | None = None) -> None:
    tab.page.goto(f"{appliance.https_url}/#key={key or appliance.key}")


def wait_for_prices(tab: Tab) -> None:
    expect(tab.page.locator(ROWS)).to_have_count(DEFAULT_SYMBOLS, timeout=SOON)


def test_the_page_comes_over_http2_and_its_socket_over_http1(tab: Tab, appliance: Running) -> None:
    open_page(tab, appliance)
    wait_for_prices(tab)

    assert tab.page.evaluate(PROTOCOL) == "h2"
    assert len(tab.upgrades) == 1
    assert tab.upgrades[0].startswith("HTTP/1.1 101 ")
    assert tab.complaints == []


def test_the_prices_move(tab: Tab, appliance: Running) -> None:
    open_page(tab, appliance)
    wait_for_prices(tab)
    for symbol in ("BTC", "ETH"):
        price = tab.page.locator(ROWS, has_text=symbol).locator("td").first
        expect(price).not_to_have_text(price.inner_text(), timeout=SOON)

    assert tab.page.inner_text("#state") == "Live"
    assert tab.complaints == []


def test_the_key_does_not_stay_in_the_address(tab: Tab, appliance: Running) -> None:
    open_page(tab, appliance)
    wait_for_prices(tab)

    assert tab.page.url == f"{appliance.https_url}/"
    tab.page.reload()  # it is remembered as long as the tab is open
    wait_for_prices(tab)
    assert tab.complaints == []


def test_a_wrong_key_is_refused_and_the_right_one_can_be_typed(tab: Tab, appliance: Running) -> None:
    open_page(tab, appliance, key="wrong")
    expect(tab.page.locator("#state")).to_have_text("The key was refused", timeout=SOON)
    expect(tab.page.locator(ROWS)).to_have_count(0)

    tab.page.fill("#key", appliance.key)
    tab.page.press("#key", "Enter")
    wait_for_prices(tab)
    assert tab.page.is_hidden("#key-form")
    assert tab.complaints == []


def test_the_policy_keeps_foreign_scripts_out(tab: Tab, appliance: Running) -> None:
    open_page(tab, appliance)
    wait_for_prices(tab)
    blocked = tab.page.evaluate(
        """() => new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "window.intruded = true; ";
            document.body.append(script);
        })"""
    )

    assert blocked == "script-src-elem"
    assert tab.page.evaluate("window.intruded") is None
