"""The claims of tokens: what they must be, and who they make of their owner."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.claims import check, principal
from appliance.access.principals import CredentialError, Principal
from appliance.core.conditions import parse
from appliance.core.entitlements import Entitlements, network
from appliance.core.errors import ErrorCode
from appliance.core.views import Filter, Mask, Pace
from appliance.settings.access import ClaimSettings, TokenSettings
from appliance.settings.views import ViewSettings
from tests.access.issuing import NOW

GOOD: dict[str, Any] = {"sub": "ann", "exp": NOW + 60, "iss": "https://acme", "aud": "appliance"}
MASK = Mask(pattern="*", hide={"a"})


_ODD: list[Any] = [str(NOW), True, [NOW], {}, -1, 1e300, 10**400, float("inf")]
ODD_MOMENTS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {name: odd}, f"{name} is no time") for name in ("exp", "nbf", "iat") for odd in _ODD
]


def issuer(**more: Any) -> TokenSettings:
    usual = {"name": "acme", "algorithms": ("RS256",), "issuer": "https://acme", "audience": ("appliance",)}
    return TokenSettings(**{**usual, **more})


def claims(**more: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **more}.items() if value is not ...}


def refusal(wanted: TokenSettings, shown: dict[str, Any]) -> tuple[ErrorCode, str]:
    with pytest.raises(CredentialError) as caught:
        check(shown, wanted, NOW)
    return caught.value.code, caught.value.why


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, {}),
        ({}, {"aud": ["other", "appliance"]}),
        ({"audience": ("one", "appliance")}, {}),
        ({"issuer": None, "audience": ()}, {"iss": ..., "aud": ...}),
        ({"issuer": None}, {"iss": "https://anybody"}),
        ({}, {"nbf": NOW + 30, "iat": NOW + 30}),
        ({}, {"exp": NOW - 29}),
        ({"leeway": 0.0}, {"exp": NOW + 0.5, "nbf": NOW, "iat": NOW}),
        ({"lifetime": 3600.0}, {"iat": NOW, "exp": NOW + 3600}),
        ({"require": ()}, {"exp": ...}),
        ({"require": ("jti", "tenant")}, {"jti": "1", "tenant": "x"}),
    ],
)
def test_good_claims(settings: dict[str, Any], shown: dict[str, Any]) -> None:
    check(claims(**shown), issuer(**settings), NOW)


@pytest.mark.parametrize(
    ("settings", "shown", "why"),
    [
        ({}, {"exp": ...}, "no exp"),
        ({}, {"exp": None}, "no exp"),
        ({"require": ("exp", "jti")}, {}, "no jti"),
        ({}, {"iss": ...}, "another issuer"),
        ({}, {"iss": "https://acme/"}, "another issuer"),
        ({}, {"iss": ["https://acme"]}, "another issuer"),
        ({}, {"aud": ...}, "no aud"),
        ({}, {"aud": "other"}, "another audience"),
        ({}, {"aud": []}, "another audience"),
        ({}, {"aud": ["other", 5]}, "no text"),
        ({}, {"aud": {"appliance": 1}}, "no text"),
        ({"audience": ()}, {}, "another audience"),
        ({}, {"nbf": NOW + 31}, "not valid yet"),
        ({}, {"iat": NOW + 31}, "made in the future"),
        ({"leeway": 0.0}, {"nbf": NOW + 0.5}, "not valid yet"),
        ({"lifetime": 3600.0}, {"iat": NOW, "exp": NOW + 3601}, "lives longer"),
        ({"lifetime": 3600.0}, {}, "no iat"),
        ({"lifetime": 3600.0, "require": ()}, {"iat": NOW, "exp": ...}, "no exp"),
        *ODD_MOMENTS,
        ({"require": ()}, {"exp": None}, "exp is no time"),
    ],
)
def test_bad_claims(settings: dict[str, Any], shown: dict[str, Any], why: str) -> None:
    code, said = refusal(issuer(**settings), claims(**shown))
    assert code is ErrorCode.INVALID_TOKEN
    assert why in said


def test_a_token_that_was_good_has_expired() -> None:
    assert refusal(issuer(), claims(exp=NOW - 30))[0] is ErrorCode.EXPIRED_TOKEN
    assert refusal(issuer(leeway=0.0), claims(exp=NOW))[0] is ErrorCode.EXPIRED_TOKEN


def test_a_token_that_never_was_good_is_not_told_to_have_expired() -> None:
    assert refusal(issuer(), claims(exp=NOW - 99, aud="other"))[0] is ErrorCode.INVALID_TOKEN


def test_what_a_token_does_not_say_its_issuer_says() -> None:
    wanted = issuer(read=("price:*",), publish=("alerts",), sessions=5, addresses=("10.0.0.0/8",))
    assert principal(claims(jti="t-1", iat=NOW), wanted) == Principal(
        "acme/ann",
        Entitlements(read=("price:*",), publish=("alerts",), sessions=5, networks=[network("10.0.0.0/8")]),
        kind="token",
        credential="t-1",
        issued=NOW,
        expires=NOW + 60,
    )


@pytest.mark.parametrize(
    ("settings", "shown", "expected"),
    [
        ({}, {}, Entitlements()),
        ({}, {"appliance:publish": ["alerts"]}, Entitlements()),
        ({"publish": ("*",)}, {}, Entitlements(publish=("*",))),
        (
            {"publish": ("*",)},
            {"appliance:publish": "alerts notes"},
            Entitlements(publish=("alerts", "notes")),
        ),
        ({"publish": ("al*",)}, {"appliance:publish": ["*"]}, Entitlements(publish=("al*",))),
        ({}, {"appliance:read": "price:* signals:high"}, Entitlements(read=("price:*", "signals:high"))),
        ({}, {"appliance:read": []}, Entitlements(read=())),
        ({}, {"appliance:read": ""}, Entitlements(read=())),
        ({"read": ("price:*",)}, {"appliance:read": ["*"]}, Entitlements(read=("price:*",))),
        ({"read": ("price:*",)}, {"appliance:read": ["trades:*"]}, Entitlements(read=())),
        ({"sessions": 5}, {"appliance:sessions": 9}, Entitlements(sessions=5)),
        ({"sessions": 5}, {"appliance:sessions": 2}, Entitlements(sessions=2)),
        ({}, {"appliance:subscriptions": 2}, Entitlements(subscriptions=2)),
        ({}, {"appliance:monitor": False}, Entitlements(monitor=False)),
        ({"monitor": False}, {"appliance:monitor": True}, Entitlements(monitor=False)),
        ({"monitor": True}, {"appliance:read": ["a:*"]}, Entitlements(read=("a:*",), monitor=True)),
        ({}, {"appliance:views": {"hide": ["a"]}}, Entitlements(masks=[MASK])),
        (
            {"views": (ViewSettings(hide=("a",)), ViewSettings(rate=2.0))},
            {"appliance:views": [{"only": "b = 1", "topics": ["price:*"]}, {"rate": 5}]},
            Entitlements(
                masks=[MASK],
                filters=[Filter("price:*", parse("b = 1"))],
                paces=[Pace(pattern="*", rate=2.0), Pace(pattern="*", rate=5.0)],
            ),
        ),
        ({}, {"appliance:addresses": ["10.1.2.3"]}, Entitlements(networks=[network("10.1.2.3")])),
        ({}, {"appliance:addresses": []}, Entitlements(networks=[])),
        (
            {"addresses": ("10.0.0.0/8",)},
            {"appliance:addresses": "10.1.0.0/16 192.0.2.1"},
            Entitlements(networks=[network("10.1.0.0/16")]),
        ),
        ({"claims": ClaimSettings(read="topics")}, {"topics": ["price:*"]}, Entitlements(read=("price:*",))),
        (
            {"claims": ClaimSettings(scope="scope"), "publish": ("*",)},
            {"scope": "openid read:price:* read:signals:high publish:alerts email"},
            Entitlements(read=("price:*", "signals:high"), publish=("alerts",)),
        ),
        ({"claims": ClaimSettings(scope="scope")}, {"scope": "openid"}, Entitlements(read=())),
        ({"claims": ClaimSettings(scope="scope")}, {}, Entitlements(read=())),
        (
            {"claims": ClaimSettings(scope="scp")},
            {"scp": ["read:price:*"], "appliance:read": "alerts:all"},
            Entitlements(read=("price:*", "alerts:all")),
        ),
    ],
)
def test_what_a_token_allows(settings: dict[str, Any], shown: dict[str, Any], expected: Entitlements) -> None:
    assert principal(claims(**shown), issuer(**settings)).entitlements == expected


@pytest.mark.parametrize(
    "shown",
    [
        {"sub": ...},
        {"sub": ""},
        {"sub": 5},
        {"sub": ["ann"]},
        {"sub": "a" * 201},
        {"sub": "two\nlines"},
        {"jti": 5},
        {"jti": ""},
        {"jti": "j" * 201},
        {"appliance:read": 5},
        {"appliance:read": None},
        {"appliance:read": ["price:*", 5]},
        {"appliance:read": ["no topic"]},
        {"appliance:read": {"price:*": True}},
        {"appliance:publish": ["alerts:x"]},
        {"appliance:publish": True},
        {"appliance:sessions": 0},
        {"appliance:sessions": True},
        {"appliance:sessions": "5"},
        {"appliance:sessions": None},
        {"appliance:subscriptions": 1.5},
        {"appliance:addresses": "localhost"},
        {"appliance:addresses": 5},
        {"appliance:monitor": "yes"},
        {"appliance:monitor": None},
        {"appliance:views": "hide"},
        {"appliance:views": None},
        {"appliance:views": [{"hide": ["a.b"]}]},
        {"appliance:views": [{"only": "b"}]},
        {"appliance:views": [{"mask": ["a"]}]},
    ],
)
def test_a_token_that_says_what_is_nothing_lets_nobody_in(shown: dict[str, Any]) -> None:
    with pytest.raises(CredentialError) as caught:
        principal(claims(**shown), issuer(publish=("*",)))
    assert caught.value.code is ErrorCode.INVALID_TOKEN


def test_the_principal_may_be_another_claim() -> None:
    found = principal(claims(email="ann@acme.example"), issuer(claims=ClaimSettings(principal="email")))
    assert found.name == "acme/ann@acme.example"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
NAMES = [
    "appliance:views",
    "appliance:monitor",
    "sub",
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "appliance:read",
    "appliance:sessions",
    "scope",
]


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_claims_are_somebodys_or_refused(shown: dict[str, Any]) -> None:
    wanted = issuer(claims=ClaimSettings(scope="scope"), read=("price:*",))
    try:
        check({**GOOD, **shown}, wanted, NOW)
        found = principal({**GOOD, **shown}, wanted)
    except CredentialError:
        return
    assert not found.entitlements.scope.covers("trades:all")
    assert not found.may_publish("alerts")
