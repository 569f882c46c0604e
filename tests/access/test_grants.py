"""Entitlements out of settings."""

from __future__ import annotations

from appliance.access.grants import entitlements, granted
from appliance.core.conditions import parse
from appliance.core.entitlements import EVERYTHING, Entitlements, network
from appliance.core.views import Filter, Mask, Pace
from appliance.settings.access import GrantSettings, ReaderSettings
from appliance.settings.views import ViewSettings


def test_settings_that_say_nothing_let_everything_be_read() -> None:
    assert entitlements(ReaderSettings()) == granted(GrantSettings()) == EVERYTHING


def test_all_that_settings_say_is_taken_over() -> None:
    settings = GrantSettings(
        read=("price:*",), publish=("alerts",), sessions=3, subscriptions=4, addresses=("10.0.0.0/8", "::1")
    )
    expected = Entitlements(
        read=("price:*",),
        publish=("alerts",),
        sessions=3,
        subscriptions=4,
        networks=[network("10.0.0.0/8"), network("::1")],
    )
    assert granted(settings) == expected


def test_what_is_shown_is_taken_over() -> None:
    views = (ViewSettings(topics=("price:*",), hide=("a",)), ViewSettings(only="b = 1", rate=2.0))
    expected = Entitlements(
        masks=[Mask(pattern="price:*", hide={"a"})],
        filters=[Filter("*", parse("b = 1"))],
        paces=[Pace(pattern="*", rate=2.0)],
        monitor=False,
    )
    assert entitlements(ReaderSettings(views=views, monitor=False)) == expected
    assert granted(GrantSettings(views=views, monitor=False)) == expected


def test_a_reader_publishes_nothing() -> None:
    assert not entitlements(ReaderSettings(read=("alerts:*",))).may_publish("alerts")
