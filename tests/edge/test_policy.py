from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.edge.policy import Bounds, Policy, settle
from appliance.settings.fields import Bytes
from appliance.settings.tree import LimitSettings, ListenLimits, ListenSettings


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
