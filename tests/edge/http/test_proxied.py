"""Requests through a proxy, as the application behind it sees them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from appliance.access.gate import Peer
from appliance.edge.admission import Admission
from appliance.edge.http.proxied import Proxied
from appliance.edge.policy import Policy
from appliance.runtime.status import Traffic
from appliance.settings.limits import LimitSettings
from appliance.settings.tree import ListenSettings

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from appliance.settings.tree import Forwarded


class Behind:
    """The application, and what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, str, str]] = []
        self.at_once = 0
        self.failing = False
        self.admission = Admission()
        self.traffic = Traffic()
        self.sent: list[Message] = []
        self.proxied = Proxied(self, admission=self.admission, traffic=self.traffic)

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        self.at_once = self.admission.most_of_an_origin
        self.asked.append((scope["client"], scope["scheme"], scope["state"]["peer"].address))
        if self.failing:
            raise ZeroDivisionError

    async def ask(
        self, policy: Policy, address: str, client: tuple[str, int] | None, **headers: str
    ) -> tuple[Any, str, str]:
        lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        state = {"policy": policy, "peer": Peer(address)}
        scope = {"type": "http", "client": client, "scheme": "http", "headers": lines, "state": state}

        async def send(message: Message) -> None:
            self.sent.append(message)

        async def receive() -> Message:
            raise AssertionError

        await self.proxied(scope, receive, send)
        return self.asked[-1]


def policy(*proxies: str, header: Forwarded = "x-forwarded-for", **limits: Any) -> Policy:
    listen = ListenSettings(url="tcp://127.0.0.1:0", proxies=proxies, forwarded=header)
    bounds = LimitSettings(**limits)
    return Policy(lambda: listen, lambda: bounds)


async def test_who_comes_by_itself_is_let_through() -> None:
    asked = await Behind().ask(policy(), "192.0.2.7", ("192.0.2.7", 5), x_forwarded_for="203.0.113.9")
    assert asked == (("192.0.2.7", 5), "http", "192.0.2.7")


async def test_who_a_balancer_has_told_of_is_known_to_the_application() -> None:
    assert await Behind().ask(policy("10.0.0.0/8"), "192.0.2.7", ("10.0.0.1", 5)) == (
        ("192.0.2.7", 0),
        "http",
        "192.0.2.7",
    )


async def test_a_proxy_tells_of_its_client_and_of_how_that_came() -> None:
    asked = await Behind().ask(
        policy("10.0.0.0/8"),
        "10.0.0.1",
        ("10.0.0.1", 5),
        x_forwarded_for="192.0.2.7",
        x_forwarded_proto="https",
    )
    assert asked == (("192.0.2.7", 0), "https", "192.0.2.7")


@pytest.mark.parametrize(("trusted", "address"), [(("unix",), "192.0.2.7"), ((), "unix")])
async def test_a_proxy_may_come_by_a_unix_socket(trusted: tuple[str, ...], address: str) -> None:
    client, _, seen = await Behind().ask(policy(*trusted), "unix", None, x_forwarded_for="192.0.2.7")
    assert seen == address
    assert client == (None if address == "unix" else (address, 0))


async def test_a_request_counts_while_it_lasts_however_it_ends() -> None:
    behind, gate = Behind(), policy("10.0.0.0/8")
    behind.failing = True
    with pytest.raises(ZeroDivisionError):
        await behind.ask(gate, "10.0.0.1", None, x_forwarded_for="192.0.2.7")
    assert (behind.at_once, behind.admission.most_of_an_origin) == (1, 0)


async def test_a_client_with_too_many_of_them_is_told() -> None:
    behind, gate = Behind(), policy("10.0.0.0/8", connections_per_address=1)
    assert behind.admission.visit(gate, "192.0.2.7") is None
    behind.asked.append((None, "", ""))
    await behind.ask(gate, "10.0.0.1", None, x_forwarded_for="192.0.2.7")
    assert len(behind.asked) == 1
    start, body = behind.sent
    assert start["status"] == 503
    assert (b"retry-after", b"5") in start["headers"]
    assert "limits.connections_per_address" in json.loads(body["body"])["error"]
    assert behind.traffic.limits == {"connections_per_address": 1}
    await behind.ask(gate, "10.0.0.1", None, x_forwarded_for="192.0.2.8")
    assert len(behind.asked) == 2


async def test_what_cannot_be_read_is_counted_and_the_proxy_is_the_client() -> None:
    behind = Behind()
    asked = await behind.ask(policy("10.0.0.0/8"), "10.0.0.1", ("10.0.0.1", 5), x_forwarded_for="nobody")
    assert asked[2] == "10.0.0.1"
    assert behind.traffic.errors == {"bad_forwarded": 1}
