"""Tokens taken apart: what is odd is refused before anything is believed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.jose import is_token, take_apart
from appliance.access.principals import CredentialError
from tests.access.issuing import encoded, signed

HEADER = {"alg": "HS256", "typ": "JWT"}
CLAIMS = {"sub": "ann"}


def refusal(text: str) -> str:
    with pytest.raises(CredentialError) as caught:
        take_apart(text)
    assert caught.value.code == "INVALID_TOKEN"
    return caught.value.why


def test_a_token_says_what_it_says() -> None:
    text = signed({**HEADER, "kid": "k1", "x5t": "…", "jku": "https://evil.example"}, CLAIMS)
    token = take_apart(text)
    assert (token.text, token.algorithm, token.key_id, token.claims) == (text, "HS256", "k1", CLAIMS)
    assert text not in repr(token)
    assert "ann" not in repr(token)


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+JWT", "application/jwt"])
def test_types_of_tokens(kind: str) -> None:
    assert take_apart(signed({"alg": "HS256", "typ": kind}, CLAIMS)).claims == CLAIMS


def test_a_token_need_not_name_a_type() -> None:
    assert take_apart(signed({"alg": "none"}, CLAIMS)).key_id is None


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({**HEADER, "crit": ["exp"]}, "crit"),
        ({**HEADER, "crit": []}, "crit"),
        ({**HEADER, "b64": False, "crit": ["b64"]}, "crit"),
        ({**HEADER, "b64": True}, "b64"),
        ({**HEADER, "zip": "DEF"}, "zip"),
        ({**HEADER, "enc": "A256GCM"}, "enc"),
        ({"typ": "JWT"}, "no algorithm"),
        ({"alg": None}, "no algorithm"),
        ({"alg": ["HS256"]}, "no algorithm"),
        ({**HEADER, "kid": 5}, "no text"),
        ({**HEADER, "kid": ""}, "no text"),
        ({**HEADER, "kid": "k" * 501}, "no text"),
        ({"alg": "HS256", "typ": "secevent+jwt"}, "another type"),
        ({"alg": "HS256", "typ": 5}, "another type"),
        ({**HEADER, "cty": "JWT"}, "another"),
        ([HEADER], "no token"),
        ('{"alg": "none"', "no JSON"),
        ('{"alg": "none", "alg": "HS256"}', "twice"),
        ('{"alg": "HS256", "x": NaN}', "no JSON"),
    ],
)
def test_odd_headers(header: Any, why: str) -> None:
    assert why in refusal(signed(header, CLAIMS))


@pytest.mark.parametrize(
    "claims",
    [
        [CLAIMS],
        "text",
        '{"sub": "ann"',
        '{"sub": "ann", "sub": "root"}',
        '{"sub": "ann", "nested": {"a": 1, "a": 2}}',
        '{"exp": Infinity}',
        '{"exp": -Infinity}',
        b"\xff\xfe",
        "[" * 1500,
        "",
    ],
)
def test_odd_claims(claims: Any) -> None:
    refusal(signed(HEADER, claims))


def test_odd_spellings() -> None:
    good = signed(HEADER, CLAIMS)
    header, claims, signature = good.split(".")
    assert take_apart(good).claims == CLAIMS
    for odd in (
        f"{header}=.{claims}.{signature}",
        f"{header}.{claims}",
        f"{header}.{claims}.",
        f".{claims}.{signature}",
        f"{header}..{signature}",
        f"{good}.x",
        f"{header}.{claims}+.{signature}",
        f" {good}",
        f"{header}.{claims}\n.{signature}",
        # The last letter has bits that mean nothing: the same token in another text.
        f"{header}.{base64.urlsafe_b64encode(b'{}').decode().rstrip('=')[:-1]}1.{signature}",
    ):
        refusal(odd)


@given(st.text(max_size=60))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    assert not is_token(text) or take_apart(text).text == text


@given(
    st.recursive(st.none() | st.text(max_size=3) | st.integers(), lambda inner: st.lists(inner, max_size=3))
)
def test_any_json_is_a_header_or_refused(header: Any) -> None:
    text = f"{encoded({'alg': header})}.{encoded(CLAIMS)}.{encoded(b'x')}"
    try:
        assert take_apart(text).algorithm == header
    except CredentialError:
        assert not isinstance(header, str)
    assert json.dumps(header)
