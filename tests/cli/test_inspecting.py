"""Tokens looked at."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli.inspecting import as_json, as_lines, inspect
from appliance.settings.access import TokenSettings
from appliance.settings.fields import Secret
from tests.access.issuing import NOW, SECRET, Issuer, published

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = TokenSettings(name="own", algorithms=("HS256",), secret=Secret(SECRET), read=("price:*",))


@pytest.fixture
def published_at() -> Iterator[str]:
    """The address of a set of keys, from a server that blocks as little as a real one."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"keys": [published("rsa", kid="a")]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/jwks"
        server.shutdown()
        thread.join()


def test_a_good_token() -> None:
    finding = inspect(Issuer().token(iat=NOW - 60), (OWN,), NOW)
    assert (finding.verified, finding.problem) == (True, None)
    text = "\n".join(as_lines(finding, NOW))
    for part in (
        "(1 minute ago)",
        "(in 1 hour)",
        "own/ann",
        "may read          price:*",
        "may publish into  nothing",
    ):
        assert part in text


def test_an_expired_token_is_shown_with_what_is_wrong() -> None:
    finding = inspect(Issuer().token(now=NOW - 9_000), (OWN,), NOW)
    assert not finding.verified
    lines = [*as_lines(finding, NOW)]
    assert lines[-1] == "It lets nobody in: the token has expired."
    assert "(1 hour ago)" in "\n".join(lines)


def test_keys_that_are_published_are_fetched(published_at: str) -> None:
    acme = TokenSettings(
        name="acme",
        algorithms=("RS256",),
        jwks_url=published_at,
        issuer="https://acme",
        audience=("appliance",),
    )
    token = Issuer("RS256", "rsa", "a").token(iss="https://acme", aud="appliance")
    finding = inspect(token, (acme,), NOW)
    assert finding.principal is not None
    assert (finding.principal.name, finding.key_id) == ("acme/ann", "a")


def test_what_is_no_token_has_nothing_to_show() -> None:
    finding = inspect("sk_key", (OWN,), NOW)
    assert [*as_lines(finding, NOW)] == ["It lets nobody in: no token."]
    assert json.loads(as_json(finding))["claims"] == {}


def test_times_that_are_none_are_shown_as_they_are() -> None:
    finding = inspect(Issuer().token(exp="tomorrow", nbf=True), None, NOW)
    text = "\n".join(as_lines(finding, NOW))
    assert '"tomorrow"' in text
    assert "nbf  true" in text
