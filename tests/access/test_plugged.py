"""Credentials that plugins know."""

from __future__ import annotations

import pytest

from appliance.access.plugged import Plugged
from appliance.access.principals import Credential, Principal
from appliance.api import Grant
from appliance.core.errors import ErrorCode, RequestError


def test_who_a_plugin_knows_may_do_what_it_grants() -> None:
    grants = {"token": Grant(name="alice", read=("price:*",), publish=("alerts",))}
    principal = Plugged(grants.get).authenticate(Credential("token", "header"), 0)
    assert principal == Principal("alice", ("price:*",), ("alerts",))


def test_who_no_plugin_knows_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        Plugged(lambda _: None).authenticate(Credential("token", "header"), 0)
    assert caught.value.code is ErrorCode.INVALID_TOKEN
