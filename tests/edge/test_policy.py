from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.principals import Principal
from appliance.core.errors import ErrorCode, RequestError
from appliance.edge.policy import Bounds, Policy, settle
from appliance.settings.fields import Bytes
from appliance.settings.tree import LimitSettings, ListenLimits, ListenSettings

if TYPE_CHECKING:
    from appliance.access.principals import Credential

    Headers = tuple[tuple[bytes, bytes], ...]


def policy(**listen: object) -> Policy:
    settings = ListenSettings(url="tls://127.0.0.1:8443", **listen)  # type: ignore[arg-type]
    limits = LimitSettings()
    return Policy(lambda: settings, lambda: limits)


def test_what_a_listener_does_not_say_is_as_for_all() -> None:
    general = LimitSettings(connections=7, message_bytes=Bytes(500))
    bounds = settle(ListenLimits(sessions=3, message_bytes=Bytes(200)), general)
    assert (bounds.connections, bounds.sessions, bounds.message_bytes) == (7, 3, 200)
    assert bounds.subscriptions == general.subscriptions


def test_every_limit_that_a_listener_can_set_is_settled() -> None:
    assert {field.name for field in attrs.fields(Bounds)} == {
        field.name for field in attrs.fields(ListenLimits)
    }


def test_a_policy_shows_the_settings_of_the_moment() -> None:
    listens = [ListenSettings(url="tcp://127.0.0.1:1", auth="none", limits=ListenLimits(sessions=1))]
    limits = [LimitSettings(subscriptions=5)]
    policy = Policy(lambda: listens[-1], lambda: limits[-1])
    assert (policy.url, policy.auth) == ("tcp://127.0.0.1:1", "none")
    assert (policy.bounds.sessions, policy.bounds.subscriptions) == (1, 5)
    assert policy.bounds is policy.bounds

    listens.append(ListenSettings(url="tcp://127.0.0.1:2", limits=ListenLimits(sessions=2)))
    assert (policy.url, policy.auth, policy.bounds.sessions) == ("tcp://127.0.0.1:2", "required", 2)
    limits.append(LimitSettings(subscriptions=6))
    assert (policy.bounds.subscriptions, policy.limits.subscriptions) == (6, 6)


@pytest.mark.parametrize(
    ("origins", "origin", "host", "admitted"),
    [
        (("*",), b"https://anyone.example", b"here", True),
        ((), b"https://anyone.example", b"here", False),
        ((), None, b"here", True),
        (("https://app.example",), b"https://app.example", b"here", True),
        (("https://App.Example",), b"https://app.example", b"here", True),
        (("https://app.example",), b"HTTPS://APP.EXAMPLE", b"here", True),
        (("https://app.example",), b"http://app.example", b"here", False),
        (("https://app.example",), b"https://app.example:444", b"here", False),
        (("https://app.example",), b"https://app.example.evil", b"here", False),
        (("self",), b"https://here:8443", b"here:8443", True),
        (("self",), b"https://HERE:8443", b"Here:8443", True),
        (("self",), b"https://here", b"here:8443", False),
        (("self",), b"https://evil", b"here", False),
        (("self",), b"null", b"here", False),
        (("self",), b"null", None, False),
        (("self",), b"", b"", False),
        (("self",), b"self", b"here", True),
        (("null",), b"null", b"here", True),
    ],
)
def test_origins(
    origins: tuple[str, ...], origin: bytes | None, host: bytes | None, *, admitted: bool
) -> None:
    assert policy(origins=origins).admits_origin(origin, host) is admitted


@given(st.binary(), st.one_of(st.none(), st.binary()))
def test_no_origin_raises(origin: bytes, host: bytes | None) -> None:
    policy(origins=("self", "https://app.example")).admits_origin(origin, host)


class Known:
    """Knows one key."""

    def authenticate(self, credential: Credential, now: float) -> Principal:
        if credential.text == "expired":
            raise RequestError(ErrorCode.EXPIRED_TOKEN, f"over at {now}")
        if credential.text != "good":
            raise RequestError(ErrorCode.INVALID_TOKEN, "not known")
        return Principal(f"alice by {credential.way}")


GOOD = ((b"authorization", b"Bearer good"),)
BAD = ((b"x-api-key", b"bad"),)


@pytest.mark.parametrize(
    ("auth", "headers", "query", "name"),
    [
        ("required", GOOD, "", "alice by header"),
        ("required", (), "x=y&token=good", "alice by query"),
        ("required", GOOD, "token=bad", "alice by header"),
        ("optional", GOOD, "", "alice by header"),
        ("optional", (), "", "anonymous"),
        ("none", (), "", "anonymous"),
        ("none", GOOD, "", "anonymous"),
        ("none", BAD, "", "anonymous"),
    ],
)
def test_who_is_admitted(auth: str, headers: Headers, query: str, name: str) -> None:
    assert policy(auth=auth).admit(headers, query, Known()).name == name


@pytest.mark.parametrize(
    ("auth", "headers", "query", "code"),
    [
        ("required", (), "", "UNAUTHORIZED"),
        ("required", (), "token=", "UNAUTHORIZED"),
        ("required", BAD, "", "INVALID_TOKEN"),
        ("required", BAD, "token=good", "INVALID_TOKEN"),
        ("optional", BAD, "", "INVALID_TOKEN"),
        ("optional", (), "token=expired", "EXPIRED_TOKEN"),
        ("optional", ((b"authorization", b"Bearer k\xe9y"),), "", "INVALID_TOKEN"),
    ],
)
def test_who_is_not_admitted(auth: str, headers: Headers, query: str, code: str) -> None:
    with pytest.raises(RequestError) as raised:
        policy(auth=auth).admit(headers, query, Known())
    assert raised.value.code == code


def test_an_expiry_is_judged_by_the_clock() -> None:
    before = time.time()
    with pytest.raises(RequestError, match="over at ") as raised:
        policy().admit((), "token=expired", Known())
    assert before <= float(raised.value.message.removeprefix("over at ")) <= time.time()


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (("*",), b"https://anyone.example", b"*"),
        (("*", "https://app.example"), b"https://app.example", b"*"),
        (("*",), None, b"*"),
        (("https://app.example",), b"https://app.example", b"https://app.example"),
        (("https://App.Example",), b"https://app.example", b"https://app.example"),
        (("https://app.example",), b"https://evil.example", None),
        (("https://app.example",), None, None),
        (("self",), b"https://here:8443", b"https://here:8443"),
        (("self",), b"https://there:8443", None),
        ((), b"https://app.example", None),
    ],
)
def test_whose_pages_may_read_an_answer(
    origins: tuple[str, ...], origin: bytes | None, allowed: bytes | None
) -> None:
    assert policy(origins=origins).allows_origin(origin, b"here:8443") == allowed
