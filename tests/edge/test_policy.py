from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.certificates import Certificates, ClientCertificate
from appliance.access.gate import Gate, Peer
from appliance.access.principals import CredentialError, Principal
from appliance.core.entitlements import EVERYTHING, Entitlements
from appliance.core.errors import ErrorCode, RequestError
from appliance.edge.policy import Bounds, Policy, settle
from appliance.settings.access import CertificateSettings
from appliance.settings.fields import Bytes
from appliance.settings.limits import LimitSettings, ListenLimits
from appliance.settings.tree import ListenSettings

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


PEER = Peer("192.0.2.1")


class Known:
    """Knows one key."""

    def authenticate(self, credential: Credential, now: float) -> Principal:
        if credential.text == "expired":
            raise CredentialError(f"over at {now}", code=ErrorCode.EXPIRED_TOKEN)
        if credential.text != "good":
            raise CredentialError("not known")
        return Principal(f"alice by {credential.way}")

    def review(self, principal: Principal, _now: float) -> Principal:
        return principal


def gate(*certificates: CertificateSettings) -> Gate:
    return Gate(Known(), Certificates(certificates), EVERYTHING)


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
    assert policy(auth=auth).admit(headers, query, gate(), PEER).name == name


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
        policy(auth=auth).admit(headers, query, gate(), PEER)
    assert raised.value.code == code


CARDS = (
    CertificateSettings(name="feed", subject={"CN": "feed-*"}),
    CertificateSettings(name="inside", subject={"CN": "desk"}, addresses=("10.0.0.0/8",)),
)


def card(name: str) -> ClientCertificate:
    return ClientCertificate(
        subject=frozenset({("CN", name)}), names=frozenset(), serial="2a", issued=0.0, expires=9e9
    )


@pytest.mark.parametrize(
    ("auth", "headers", "shown", "name"),
    [
        ("required", (), "feed-1", "feed"),
        ("optional", (), "feed-1", "feed"),
        ("none", (), "feed-1", "anonymous"),
        ("required", GOOD, "feed-1", "alice by header"),
        ("optional", (), "nobody", "anonymous"),
        ("required", GOOD, "nobody", "alice by header"),
    ],
)
def test_who_is_admitted_by_a_certificate(auth: str, headers: Headers, shown: str, name: str) -> None:
    peer = Peer("192.0.2.1", card(shown))
    assert policy(auth=auth).admit(headers, "", gate(*CARDS), peer).name == name


@pytest.mark.parametrize(
    ("auth", "headers", "shown", "code"),
    [
        ("required", (), "nobody", "UNAUTHORIZED"),
        ("required", BAD, "feed-1", "INVALID_TOKEN"),
        ("optional", BAD, "feed-1", "INVALID_TOKEN"),
        ("required", (), "desk", "INVALID_TOKEN"),
        ("optional", (), "desk", "INVALID_TOKEN"),
    ],
)
def test_who_is_not_admitted_by_a_certificate(auth: str, headers: Headers, shown: str, code: str) -> None:
    with pytest.raises(RequestError) as raised:
        policy(auth=auth).admit(headers, "", gate(*CARDS), Peer("192.0.2.1", card(shown)))
    assert raised.value.code == code


def test_an_expiry_is_judged_by_the_clock() -> None:
    before = time.time()
    with pytest.raises(CredentialError) as raised:
        policy().admit((), "token=expired", gate(), PEER)
    assert before <= float(raised.value.why.removeprefix("over at ")) <= time.time()


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


@pytest.mark.parametrize(
    ("general", "own", "most", "says"),
    [
        (5, None, 5, "At most 5 channels for one connection (limits.subscriptions)"),
        (5, 9, 5, "At most 5 channels for one connection (limits.subscriptions)"),
        (5, 2, 2, "At most 2 channels for one connection of this principal"),
    ],
)
def test_the_lower_of_two_bounds_of_subscriptions_holds(
    general: int, own: int | None, most: int, says: str
) -> None:
    narrow = policy(limits=ListenLimits(subscriptions=general))
    principal = Principal("ann", Entitlements(subscriptions=own))
    narrow.check_subscriptions(most, principal)
    with pytest.raises(RequestError) as raised:
        narrow.check_subscriptions(most + 1, principal)
    assert (raised.value.code, raised.value.message) == (ErrorCode.RATE_LIMITED, says)


def test_without_a_principal_the_listener_bounds_subscriptions() -> None:
    narrow = policy(limits=ListenLimits(subscriptions=1))
    narrow.check_subscriptions(1, None)
    with pytest.raises(RequestError):
        narrow.check_subscriptions(2, None)


def test_a_policy_says_whether_certificates_are_asked_for() -> None:
    assert policy().client_certificates == "off"
    assert policy(client_certificates="required").client_certificates == "required"


# --- Where clients come from. ---


@pytest.mark.parametrize(
    ("proxies", "address", "trusted"),
    [
        ((), "10.0.0.1", False),
        (("10.0.0.0/8",), "10.0.0.1", True),
        (("10.0.0.0/8",), "::ffff:10.0.0.1", True),
        (("10.0.0.0/8",), "192.0.2.7", False),
        (("10.0.0.0/8",), "2001:db8::1", False),
        (("2001:db8::/32", "10.0.0.1"), "2001:db8::1%eth0", True),
        (("10.0.0.0/8",), "unix", False),
        (("unix",), "unix", True),
        (("unix",), "10.0.0.1", False),
        (("10.0.0.0/8",), "nonsense", False),
    ],
)
def test_only_the_proxies_that_are_named_are_believed(
    proxies: tuple[str, ...],
    address: str,
    trusted: bool,  # noqa: FBT001 - of the table
) -> None:
    assert policy(proxies=proxies).trusts(address) == trusted


def test_other_proxies_and_prefixes_hold_at_once() -> None:
    listens = [ListenSettings(url="tcp://127.0.0.1:1", proxies=("10.0.0.0/8",))]
    limits = [LimitSettings()]
    gate = Policy(lambda: listens[-1], lambda: limits[-1])
    assert gate.trusts("10.0.0.1")
    assert gate.origin("2001:db8::1") == gate.origin("2001:db8::2")
    listens.append(ListenSettings(url="tcp://127.0.0.1:1"))
    limits.append(LimitSettings(ipv6_prefix=128))
    assert not gate.trusts("10.0.0.1")
    assert gate.origin("2001:db8::1") != gate.origin("2001:db8::2")
