"""The gate: by whatever somebody comes in, and from where."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest
from structlog.testing import capture_logs

from appliance.access.certificates import Certificates, ClientCertificate
from appliance.access.gate import Gate, Peer
from appliance.access.principals import Credential, CredentialError, Principal
from appliance.access.refusals import EVERY
from appliance.access.revocations import Revocation
from appliance.core.entitlements import EVERYTHING, Entitlements, network
from appliance.core.errors import ErrorCode, RequestError
from appliance.settings.access import CertificateSettings

INSIDE = [network("10.0.0.0/8")]
PRICES = Entitlements(read=("price:*",))
SHOWN = ClientCertificate(
    subject=frozenset({("CN", "feed")}), names=frozenset(), serial="2a", issued=0.0, expires=9e9
)


class Known:
    """Knows two texts, one of them from inside alone."""

    def authenticate(self, credential: Credential, now: float) -> Principal:
        match credential.text:
            case "anywhere":
                return Principal("ann", issued=now)
            case "inside":
                return Principal("bob", Entitlements(networks=INSIDE))
            case _:
                raise CredentialError("nobody knows it")

    def review(self, principal: Principal, now: float) -> Principal | None:
        """Know whose name begins with an a, as somebody who may read prices from now on."""
        del now
        if principal.name.startswith("a"):
            return attrs.evolve(principal, entitlements=PRICES)
        return attrs.evolve(principal, name="carl") if principal.name == "bob" else None


def gate(anonymous: Entitlements = EVERYTHING, *, addresses: tuple[str, ...] = ()) -> Gate:
    entry = CertificateSettings(name="feed", subject={"CN": "feed"}, addresses=addresses)
    return Gate(Known(), Certificates([entry]), anonymous)


def admit(text: str, address: str) -> Principal:
    return gate().admit(Credential(text, "query"), Peer(address), 5.0)


def test_who_shows_a_good_credential_is_let_in() -> None:
    assert admit("anywhere", "192.0.2.1") == Principal("ann", issued=5.0)
    assert admit("anywhere", "unix").name == "ann"
    assert admit("inside", "10.1.2.3").name == "bob"


@pytest.mark.parametrize(
    ("text", "address", "why"),
    [
        ("unknown", "10.1.2.3", "nobody knows it"),
        ("inside", "192.0.2.1", "'bob' may not come from there"),
        ("inside", "unix", "'bob' may not come from there"),
    ],
)
def test_who_is_refused_learns_the_code_alone_and_the_log_the_reason(
    text: str, address: str, why: str
) -> None:
    with capture_logs() as log, pytest.raises(CredentialError) as caught:
        admit(text, address)
    assert (caught.value.code, caught.value.message) == (
        ErrorCode.INVALID_TOKEN,
        "the credential is not known",
    )
    assert log == [
        {
            "event": "refused",
            "log_level": "info",
            "client": address,
            "way": "query",
            "code": "INVALID_TOKEN",
            "why": why,
        }
    ]


def test_a_certificate_lets_in_whose_it_is() -> None:
    principal = gate().recognise(Peer("192.0.2.1", SHOWN))
    assert principal is not None
    assert principal.told == {"principal": "feed", "kind": "certificate", "credential": "2a"}
    assert gate().recognise(Peer("192.0.2.1")) is None


def test_a_certificate_is_bound_to_addresses_too() -> None:
    bound = gate(addresses=("10.0.0.0/8",))
    assert bound.recognise(Peer("10.1.2.3", SHOWN))
    with pytest.raises(CredentialError):
        bound.recognise(Peer("192.0.2.1", SHOWN))


def test_who_shows_nothing_is_anonymous_and_may_do_what_that_may() -> None:
    narrow = Entitlements(read=("price:*",), networks=INSIDE)
    principal = gate(narrow).welcome(Peer("10.1.2.3"))
    assert (principal.name, principal.kind, principal.entitlements) == ("anonymous", "anonymous", narrow)
    with pytest.raises(RequestError) as caught:
        gate(narrow).welcome(Peer("192.0.2.1"))
    assert caught.value.code is ErrorCode.UNAUTHORIZED


def test_who_guesses_does_not_flood_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    guarded = gate()
    with capture_logs() as log:
        for _ in range(100):
            with pytest.raises(CredentialError):
                guarded.admit(Credential("guess", "header"), Peer("192.0.2.1"), 0.0)
        now += EVERY
        with pytest.raises(CredentialError):
            guarded.admit(Credential("guess", "header"), Peer("192.0.2.2"), 0.0)
    assert [(line["client"], line.get("count")) for line in log] == [
        ("192.0.2.1", None),
        ("192.0.2.1", 99),
        ("192.0.2.2", None),
    ]


HERE = Peer("192.0.2.1")
TAKEN = Revocation(made=dt.datetime(2030, 1, 1, tzinfo=dt.UTC), id="2a")


def verdict(guarded: Gate, principal: Principal, peer: Peer = HERE, now: float = 5.0) -> ErrorCode:
    with pytest.raises(CredentialError) as caught:
        guarded.review(principal, peer, now)
    return caught.value.code


def test_who_may_stay_is_who_he_is_by_now() -> None:
    assert gate().review(Principal("ann", expires=9.0), HERE, 5.0).entitlements == PRICES
    anonymous = gate().welcome(HERE)
    assert gate(PRICES).review(anonymous, HERE, 5.0).entitlements == PRICES
    shown = gate().recognise(Peer("192.0.2.1", SHOWN))
    assert shown is not None
    assert gate().review(shown, HERE, 5.0) == shown


def test_who_would_not_be_let_in_may_not_stay() -> None:
    assert verdict(gate(), Principal("ann", expires=5.0)) is ErrorCode.EXPIRED_TOKEN
    for gone in (Principal("dora"), Principal("bob"), Principal("feed", kind="certificate")):
        assert verdict(gate(), gone) is ErrorCode.REVOKED_TOKEN
    shown = gate().recognise(Peer("10.1.2.3", SHOWN))
    assert shown is not None
    assert verdict(gate(addresses=("10.0.0.0/8",)), shown) is ErrorCode.REVOKED_TOKEN
    assert verdict(gate(Entitlements(networks=INSIDE)), gate().welcome(HERE)) is ErrorCode.REVOKED_TOKEN


def test_what_was_taken_back_opens_no_more_and_ends_what_it_has_opened() -> None:
    shown = gate().recognise(Peer("10.1.2.3", SHOWN))
    guarded = Gate(
        Known(),
        Certificates([CertificateSettings(name="feed", subject={"CN": "feed"})]),
        EVERYTHING,
        taken_back=lambda principal: TAKEN if principal.credential == "2a" else None,
    )
    assert shown is not None
    assert verdict(guarded, shown) is ErrorCode.REVOKED_TOKEN
    with capture_logs() as log, pytest.raises(CredentialError) as caught:
        guarded.recognise(Peer("10.1.2.3", SHOWN))
    assert caught.value.code is ErrorCode.INVALID_TOKEN
    assert log[0]["why"] == "the credential 2a was taken back"
    assert guarded.admit(Credential("anywhere", "query"), HERE, 5.0).name == "ann"


def test_a_certificate_that_has_expired_since_the_handshake_opens_no_more() -> None:
    with pytest.raises(CredentialError) as caught:
        gate().recognise(Peer("10.1.2.3", attrs.evolve(SHOWN, expires=1.0)))
    assert caught.value.code is ErrorCode.EXPIRED_TOKEN
