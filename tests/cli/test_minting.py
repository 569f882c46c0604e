"""Tokens made here, and keys that sign them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from appliance.access.signatures import SharedSecret
from appliance.cli.minting import Order, choose, mint, signing_key
from appliance.settings.access import ClaimSettings, TokenSettings
from appliance.settings.fields import Secret
from tests.access.issuing import SECRET, private, private_pem

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
KEY = SharedSecret(SECRET.encode())


def issuer(**more: Any) -> TokenSettings:
    return TokenSettings(
        **{
            "name": "own",
            "algorithms": ("HS384",),
            "secret": Secret(SECRET),
            "audience": ("appliance",),
            **more,
        }
    )


def order(**more: Any) -> Order:
    return Order(subject="ann", expires=NOW + dt.timedelta(hours=1), **more)


def claims(wanted: Order, settings: TokenSettings | None = None) -> dict[str, Any]:
    algorithm = choose(KEY, None, settings)
    token, _ = mint(wanted, KEY, algorithm=algorithm, key_id=None, settings=settings, now=NOW.timestamp())
    found: dict[str, Any] = jwt.decode(
        token, SECRET, algorithms=[algorithm], options={"verify_aud": False, "verify_nbf": False}
    )
    return found


def test_what_is_not_said_is_not_in_it() -> None:
    assert claims(order()).keys() == {"sub", "iat", "exp", "jti"}


def test_each_token_has_an_id_of_its_own() -> None:
    assert claims(order())["jti"] != claims(order())["jti"]


def test_claims_are_called_as_the_issuer_calls_them() -> None:
    names = ClaimSettings(principal="user", read="topics", sessions="seats")
    found = claims(order(read=("price:*",), sessions=2), issuer(claims=names))
    assert (found["user"], found["topics"], found["seats"], found["aud"]) == (
        "ann",
        ["price:*"],
        2,
        "appliance",
    )


def test_several_audiences_and_a_beginning() -> None:
    begin = NOW + dt.timedelta(minutes=10)
    found = claims(order(audience=("one", "two"), not_before=begin))
    assert (found["aud"], found["nbf"]) == (["one", "two"], int(begin.timestamp()))
    assert claims(order(not_before=begin), issuer())["nbf"]


def test_the_principal_is_that_of_the_issuer() -> None:
    _, principal = mint(order(), KEY, algorithm="HS384", key_id=None, settings=issuer(), now=NOW.timestamp())
    assert principal is not None
    assert principal.name == "own/ann"


def test_an_algorithm_fits_the_key_and_the_issuer() -> None:
    assert choose(KEY, None, None) == "HS256"
    assert choose(KEY, None, issuer()) == "HS384"
    assert choose(KEY, "HS512", issuer()) == "HS512"
    assert choose(private("rsa"), None, issuer(algorithms=("ES256", "RS384"))) == "RS384"


def test_a_key_comes_from_a_file_or_the_issuer(tmp_path: Path) -> None:
    secret, key = tmp_path / "secret", tmp_path / "key.pem"
    secret.write_text(SECRET)
    key.write_bytes(private_pem("p256"))
    assert signing_key(secret, None, None) == KEY
    assert not isinstance(signing_key(None, key, issuer()), SharedSecret)
    assert signing_key(None, None, issuer()) == KEY
    with pytest.raises(ValueError, match="no key to sign with"):
        signing_key(None, None, None)
