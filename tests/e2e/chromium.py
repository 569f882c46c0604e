"""Headless Chromium that trusts an appliance's own certificate, and no other that is not signed.

Must not know the pages that are opened.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shutil
from typing import TYPE_CHECKING

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import sync_playwright

from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

_QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Without these it looks for hosts of its maker."""


@contextlib.contextmanager
def chromium(certificate: Path) -> Iterator[Browser]:
    """Start the system's Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "chromium is not installed"
    trusted = f"--ignore-certificate-errors-spki-list={_fingerprint(certificate)}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            chromium_sandbox=False,  # which needs more rights than a container gives
            args=[*_QUIET, trusted],
        )
        yield browser
        browser.close()


def _fingerprint(certificate: Path) -> str:
    """Give the SHA-256 of a certificate's public key, as browsers pin it."""
    public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(encoded).digest()).decode()


@attrs.frozen
class Tab:
    """A page, with all that it complained of and the heads of the answers to its sockets' requests."""

    page: Page
    complaints: list[str] = attrs.field(factory=list)
    said: list[str] = attrs.field(factory=list)
    upgrades: list[str] = attrs.field(factory=list)

    @classmethod
    def of(cls, browser: Browser) -> Tab:
        """Open an empty page that shares nothing with others."""
        context = browser.new_context()
        context.set_default_timeout(PATIENCE * 1000)
        tab = cls(context.new_page())
        page = tab.page
        page.on(
            "console",
            lambda message: (tab.complaints if message.type in {"error", "warning"} else tab.said).append(
                message.text
            ),
        )
        page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        network.on(
            "Network.webSocketHandshakeResponseReceived",
            lambda event: tab.upgrades.append(event["response"]["headersText"]),
        )
        return tab

    def close(self) -> None:
        self.page.context.close()
