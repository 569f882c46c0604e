"""The heads of upgrades that are taken, and those that are told what is wrong with them."""

from __future__ import annotations

from http import HTTPStatus

import attrs
import pytest

from appliance.edge import upgrade
from appliance.edge.head import Head, parse
from tests.edge.stage import UPGRADE


def good() -> Head:
    head = parse(UPGRADE + b"\r\n")
    assert head is not None
    return head


def more(name: bytes, value: bytes) -> Head:
    return attrs.evolve(good(), headers=(*good().headers, (name, value)))


def test_a_good_head_is_taken() -> None:
    upgrade.check(good())
    upgrade.check(more(b"sec-websocket-protocol", b"appliance.v1"))


def test_a_head_that_is_not_ascii_is_told() -> None:
    with pytest.raises(upgrade.BadUpgradeError) as caught:
        upgrade.check(attrs.evolve(good(), target="/wsé"))
    assert caught.value.status is HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("name", ["host", "sec-websocket-key", "sec-websocket-version", "upgrade"])
def test_what_can_be_there_once_is_told_by_its_name(name: str) -> None:
    value = good().get(name.encode())
    assert value is not None
    with pytest.raises(upgrade.BadUpgradeError, match=name) as caught:
        upgrade.check(more(name.encode(), value))
    assert caught.value.status is HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(("name", "value"), [(b"content-length", b"0"), (b"transfer-encoding", b"chunked")])
def test_a_body_is_told(name: bytes, value: bytes) -> None:
    with pytest.raises(upgrade.BadUpgradeError, match="no body"):
        upgrade.check(more(name, value))


def test_what_another_version_needs_is_told() -> None:
    for head in (
        attrs.evolve(good(), version=b"HTTP/1.0"),
        attrs.evolve(good(), headers=()),
        attrs.evolve(good(), headers=((b"sec-websocket-version", b"13"), (b"sec-websocket-key", b"?" * 24))),
    ):
        with pytest.raises(upgrade.BadUpgradeError) as caught:
            upgrade.check(head)
        assert caught.value.status is HTTPStatus.UPGRADE_REQUIRED
        assert caught.value.headers == {"upgrade": "websocket", "sec-websocket-version": "13"}
