"""The part of the tree that says who may connect."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.core.errors import SettingsError
from appliance.settings.access import AuthSettings, CertificateSettings, KeySettings, TokenSettings
from appliance.settings.structure import fill

TOKEN = {"name": "acme", "algorithms": ["RS256"]}


def problems(cls: type, table: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        fill(cls, table)
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("read", ["price:*", "price"], "'price' is no topic"),
        ("read", ["price:B*TC"], "is no topic"),
        ("read", [""], "is no topic"),
        ("publish", ["alerts:AAPL"], "'alerts:AAPL' is no channel"),
        ("publish", ["*x"], "'*x' is no channel"),
        ("addresses", ["10.0.0.1/8"], "is no network"),
        ("addresses", ["localhost"], "is no network"),
        ("sessions", 0, "at least 1"),
        ("subscriptions", 0, "at least 1"),
        ("expires", "2030-01-31", "date-time"),
    ],
)
def test_what_a_key_cannot_say(key: str, value: object, says: str) -> None:
    (problem,) = problems(KeySettings, {"name": "ann", "key": "sk_ann", key: value})
    assert problem.startswith(key)
    assert says in problem


def test_what_a_key_can_say() -> None:
    entry = fill(
        KeySettings,
        {
            "name": "ann",
            "key": "sk_ann",
            "read": ["price:*", "signals:high", "*"],
            "publish": ["alerts", "pre*", "*"],
            "addresses": ["10.0.0.0/8", "2001:db8::1"],
            "sessions": 1,
        },
    )
    assert (entry.read, entry.sessions) == (("price:*", "signals:high", "*"), 1)


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.example/jwks",
        "https://acme.example:8443/jwks?v=2",
        "http://localhost:8080/jwks",
        "http://127.0.0.1/jwks",
        "http://[::1]:80/jwks",
    ],
)
def test_keys_are_published_where_nobody_can_change_them_on_the_way(url: str) -> None:
    assert fill(TokenSettings, {**TOKEN, "jwks_url": url}).jwks_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.example/jwks",
        "http://127.0.0.1.evil.example/jwks",
        "http://localhost@evil.example/jwks",
        "https://user:word@acme.example/jwks",
        "https:///jwks",
        "ftp://localhost/jwks",
        "file:///etc/passwd",
        "acme.example/jwks",
    ],
)
def test_other_places_are_refused(url: str) -> None:
    (problem,) = problems(TokenSettings, {**TOKEN, "jwks_url": url})
    assert "https://HOST/PATH" in problem


@pytest.mark.parametrize("algorithms", [[], ["none"], ["None"], ["RS1"], ["ES256K"], ["rs256"], ["RSA-OAEP"]])
def test_algorithms_are_named_and_known(algorithms: list[str]) -> None:
    (problem,) = problems(TokenSettings, {"name": "acme", "algorithms": algorithms, "secret": "x"})
    assert problem.startswith("algorithms")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("subject", {"commonName": "ann"}, "is no part of a subject"),
        ("subject", {"CN": "a*b"}, "elsewhere than at its beginning or its end"),
        ("subject", {"CN": "*a*"}, "or several"),
        ("names", ["one.example"], "is no name: write dns:NAME"),
        ("names", ["dns:"], "is no name"),
        ("names", ["host:one"], "is no name"),
        ("names", ["uri:a*b"], "elsewhere"),
    ],
)
def test_what_a_certificate_cannot_be(key: str, value: object, says: str) -> None:
    (problem,) = problems(CertificateSettings, {"name": "feed", key: value})
    assert says in problem


def test_what_a_certificate_can_be() -> None:
    subject = {"CN": "feed-*", "2.5.4.5": "42", "O": "*"}
    entry = fill(
        CertificateSettings,
        {"name": "feed", "subject": subject, "names": ["dns:*.example", "uri:spiffe://*"]},
    )
    assert entry.subject == subject


def test_who_shows_nothing_may_be_told_what_to_read_but_not_to_publish() -> None:
    assert fill(AuthSettings, {"anonymous": {"read": ["price:*"]}}).anonymous.read == ("price:*",)
    (problem,) = problems(AuthSettings, {"anonymous": {"publish": ["alerts"]}})
    assert "is not a known key" in problem


@pytest.mark.parametrize("key", ["hide", "fields", "masks", "where", "filter", "updates_per_second"])
def test_what_is_not_enforced_cannot_be_asked_for(key: str) -> None:
    (problem,) = problems(KeySettings, {"name": "ann", "key": "sk_ann", key: 1})
    assert "is not a known key" in problem


def test_secrets_stay_out_of_reprs() -> None:
    entry = fill(TokenSettings, {"name": "own", "algorithms": ["HS256"], "secret": "hunter2"})
    assert "hunter2" not in repr(entry)
