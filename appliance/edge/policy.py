"""What holds for the connections of one listener: authentication, origins and limits, as the settings now say."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from appliance.access import credentials
from appliance.core.entitlements import network
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.origins import Prefixes, parse
from appliance.settings.tree import UNIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.access.gate import Gate, Peer
    from appliance.access.principals import Principal
    from appliance.settings.limits import LimitSettings, ListenLimits
    from appliance.settings.tree import Auth, ClientCertificates, Forwarded, ListenSettings, ProxyProtocol


@attrs.frozen
class Bounds:
    """The limits that a listener can set for itself, settled."""

    connections: int
    sessions: int
    connections_per_address: int
    connections_per_minute: int
    handshakes_per_minute: int
    requests_per_minute: int
    messages_per_minute: int
    subscriptions: int
    message_bytes: int


def settle(own: ListenLimits, general: LimitSettings) -> Bounds:
    """Take what a listener says, and what is said for all where it says nothing."""
    names = [field.name for field in attrs.fields(Bounds)]
    values = {name: getattr(own, name) for name in names}
    return Bounds(
        **{name: getattr(general, name) if values[name] is None else values[name] for name in names}
    )


class Policy:
    """Of one listener. `listen` and `limits` give the settings of the moment: a reload changes what they give."""

    def __init__(self, listen: Callable[[], ListenSettings], limits: Callable[[], LimitSettings]) -> None:
        self._listen = listen
        self._limits = limits
        self._settle()

    @property
    def url(self) -> str:
        return self._listen().url

    @property
    def auth(self) -> Auth:
        return self._listen().auth

    @property
    def client_certificates(self) -> ClientCertificates:
        return self._listen().client_certificates

    @property
    def limits(self) -> LimitSettings:
        return self._limits()

    @property
    def bounds(self) -> Bounds:
        self._keep_up()
        return self._bounds

    @property
    def proxy_protocol(self) -> ProxyProtocol:
        return self._listen().proxy_protocol

    @property
    def forwarded(self) -> Forwarded:
        return self._listen().forwarded

    def origin(self, address: str) -> str:
        """Give what of an address is counted: its network."""
        self._keep_up()
        return self._prefixes.origin(address)

    def trusts(self, address: str) -> bool:
        """Whether this is a proxy that is believed who a client is; `unix` is at a Unix socket."""
        self._keep_up()
        if address == UNIX:
            return UNIX in self._listen().proxies
        found = parse(address) if self._proxies else None
        return found is not None and any(found in network for network in self._proxies)

    def _keep_up(self) -> None:
        if self._listen() is not self._settled[0] or self._limits() is not self._settled[1]:
            self._settle()

    def _settle(self) -> None:
        listen, limits = self._settled = self._listen(), self._limits()
        self._bounds = settle(listen.limits, limits)
        self._prefixes = Prefixes(limits.ipv4_prefix, limits.ipv6_prefix)
        self._proxies = [network(each) for each in listen.proxies if each != UNIX]

    def admit(self, headers: Iterable[tuple[bytes, bytes]], query: str, gate: Gate, peer: Peer) -> Principal:
        """Give the principal of a request; RequestError, where one that the listener asks for is not shown or wrong.

        A credential in the request goes before the certificate of its connection.
        """
        if self.auth == "none":
            return gate.welcome(peer)
        credential = credentials.find(headers, query)
        if credential is not None:
            return gate.admit(credential, peer, time.time())
        principal = gate.recognise(peer)
        if principal is not None:
            return principal
        if self.auth == "optional":
            return gate.welcome(peer)
        raise RequestError(
            ErrorCode.UNAUTHORIZED, "show an API key: `Authorization: Bearer KEY`, or `?token=KEY`"
        )

    def check_subscriptions(self, count: int, principal: Principal | None) -> None:
        """Raise RequestError for more subscriptions of one session than the listener, or its principal, may have."""
        most, where = self.bounds.subscriptions, " (limits.subscriptions)"
        own = None if principal is None else principal.entitlements.subscriptions
        if own is not None and own < most:
            most, where = own, " of this principal"
        if count > most:
            raise RequestError(
                ErrorCode.RATE_LIMITED,
                f"At most {most} channels for one connection{where}",
                limit="subscriptions",
            )

    def allows_origin(self, origin: bytes | None, host: bytes | None) -> bytes | None:
        """Give the origin whose pages may read an answer: `*` for all, this one, or none."""
        if "*" in self._listen().origins:
            return b"*"
        return origin if self.admits_origin(origin, host) else None

    def admits_origin(self, origin: bytes | None, host: bytes | None) -> bool:
        """Whether a page of this origin may connect; who sends no origin is no page."""
        allowed = self._listen().origins
        if origin is None or "*" in allowed:
            return True
        shown = origin.decode("latin-1").lower()
        own = (host or b"").decode("latin-1").lower()
        if shown in {each.lower() for each in allowed}:
            return True
        return "self" in allowed and bool(own) and shown.partition("://")[2] == own
