"""Credentials that plugins know."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.access.grants import granted
from appliance.access.plugged import Plugged
from appliance.access.principals import Credential, CredentialError, Principal
from appliance.api import Grant, View
from appliance.core.entitlements import Entitlements
from appliance.core.errors import ErrorCode
from appliance.settings.access import GrantSettings
from appliance.settings.views import ViewSettings


def test_who_a_plugin_knows_may_do_what_it_grants() -> None:
    grants = {"token": Grant(name="alice", read=("price:*",), publish=("alerts",))}
    principal = Plugged(grants.get).authenticate(Credential("token", "header"), 0)
    assert principal == Principal(
        "alice", Entitlements(read=("price:*",), publish=("alerts",)), kind="plugin"
    )


def test_a_grant_says_all_that_settings_can_say() -> None:
    grant = Grant(
        name="alice",
        views=[View(topics=["price:*"], fields=["price", "account"]), View(only='account = "A1"', rate=2)],
        sessions=3,
        subscriptions=4,
        addresses=["192.0.2.0/24"],
        monitor=True,
        expires=60.0,
    )
    principal = Plugged(lambda _: grant).authenticate(Credential("token", "header"), 59)
    settings = GrantSettings(
        views=(
            ViewSettings(topics=("price:*",), fields=("price", "account")),
            ViewSettings(only='account = "A1"', rate=2),
        ),
        sessions=3,
        subscriptions=4,
        addresses=("192.0.2.0/24",),
        monitor=True,
    )
    assert principal == Principal("alice", granted(settings), kind="plugin", expires=60.0)
    with pytest.raises(CredentialError) as caught:
        Plugged(lambda _: grant).authenticate(Credential("token", "header"), 60)
    assert caught.value.code is ErrorCode.EXPIRED_TOKEN


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"read": "price:*"}, "$.read"),
        ({"read": ["price"]}, "'price' is no topic"),
        ({"publish": "alerts"}, "$.publish"),
        ({"publish": ["two words"]}, "is no channel"),
        ({"views": View(hide=["account"])}, "$.views"),
        ({"views": [View(hide="account")]}, "$.views[0].hide"),
        ({"views": [View(topics=())]}, "names no topic"),
        ({"views": [View(only="account")]}, "expected a field"),
        ({"views": [View(rate=0)]}, "more than 0"),
        ({"sessions": 0}, "$.sessions"),
        ({"subscriptions": "9"}, "$.subscriptions"),
        ({"addresses": ["here"]}, "'here' is no network"),
        ({"monitor": "yes"}, "$.monitor"),
        ({"expires": "tomorrow"}, "$.expires"),
    ],
)
def test_a_grant_that_makes_no_sense_lets_nobody_in(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(CredentialError) as caught:
        Plugged(lambda _: Grant(name="alice", **wrong)).authenticate(Credential("token", "header"), 0)
    assert caught.value.code is ErrorCode.INVALID_TOKEN
    assert "a plugin grants 'alice' what is nothing" in caught.value.why
    assert told in caught.value.why
    assert told not in caught.value.message


def test_who_no_plugin_knows_is_refused() -> None:
    with pytest.raises(CredentialError) as caught:
        Plugged(lambda _: None).authenticate(Credential("token", "header"), 0)
    assert caught.value.code is ErrorCode.INVALID_TOKEN


def test_what_a_plugin_has_granted_stays_granted() -> None:
    plugged = Plugged(lambda _: None)
    somebody = Principal("carl", kind="plugin")
    assert plugged.review(somebody, 5.0) is somebody
    assert plugged.review(Principal("carl"), 5.0) is None
