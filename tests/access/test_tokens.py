"""Tokens of the issuers of a configuration, and of nobody else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from appliance.access.key_sets import KeySets
from appliance.access.principals import Credential, CredentialError, Principal
from appliance.access.tokens import Tokens, addresses
from appliance.core.errors import ErrorCode, SettingsError
from appliance.settings.access import TokenSettings
from appliance.settings.fields import Secret
from tests.access.issuing import FITTING, NOW, SECRET, Issuer, encoded, public_pem, published, signed, written

if TYPE_CHECKING:
    from pathlib import Path


def settings(name: str = "own", **more: Any) -> TokenSettings:
    usual: dict[str, Any] = {"name": name, "algorithms": ("HS256",)}
    if not more.keys() & {"public_key_file", "jwks_url"}:
        usual["secret"] = Secret(SECRET)
    return TokenSettings(**{**usual, **more})


def tokens(*entries: TokenSettings) -> Tokens:
    return Tokens(entries or (settings(),), KeySets())


def known(authenticator: Tokens, text: str, now: float = NOW) -> Principal:
    return authenticator.authenticate(Credential(text, "header"), now)


def refusal(authenticator: Tokens, text: str, now: float = NOW) -> tuple[ErrorCode, str]:
    with pytest.raises(CredentialError) as caught:
        known(authenticator, text, now)
    assert text not in caught.value.why
    return caught.value.code, caught.value.why


@pytest.mark.parametrize("algorithm", [*FITTING, "HS256", "HS384", "HS512"])
def test_a_token_of_each_algorithm(algorithm: str, tmp_path: Path) -> None:
    kind = FITTING.get(algorithm)
    source = {"secret": Secret(SECRET)} if kind is None else {"public_key_file": written(tmp_path, kind)}
    authenticator = tokens(settings(algorithms=(algorithm,), **source))
    token = Issuer(algorithm, kind or SECRET).token()
    assert known(authenticator, token).name == "own/ann"
    assert refusal(authenticator, token, NOW + 3631)[0] is ErrorCode.EXPIRED_TOKEN
    assert refusal(authenticator, f"{token[:-6]}AAAAAA")[0] is ErrorCode.INVALID_TOKEN


@pytest.mark.parametrize(
    "text",
    ["sk_no-token", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.", "eyJhbGciOiJub25lIn0.e30.e30"],
)
def test_what_is_no_token_of_these_is_refused(text: str) -> None:
    assert refusal(tokens(), text)[0] is ErrorCode.INVALID_TOKEN


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "HS256 ", "hs256"])
def test_none_is_no_algorithm(algorithm: str) -> None:
    head, claims = encoded({"alg": algorithm}), encoded({"sub": "root", "exp": NOW + 60})
    for signature in ("", "AA", signed({"alg": "HS256"}, {}).rpartition(".")[2]):
        assert refusal(tokens(), f"{head}.{claims}.{signature}")[0] is ErrorCode.INVALID_TOKEN


def test_an_algorithm_that_the_issuer_does_not_use_is_refused() -> None:
    assert known(tokens(settings(algorithms=("HS256", "HS384"))), Issuer("HS384").token()).kind == "token"
    assert refusal(tokens(), Issuer("HS384").token()) == (
        ErrorCode.INVALID_TOKEN,
        "no issuer signs such tokens",
    )


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_never_taken_for_a_secret(algorithm: str, tmp_path: Path) -> None:
    authenticator = tokens(
        settings(algorithms=("RS256",), public_key_file=written(tmp_path, "rsa")),
        settings("other", algorithms=("HS256", "HS384", "HS512")),
    )
    for secret in (public_pem("rsa"), public_pem("rsa").decode().replace("\n", "").encode()):
        text = f"{encoded({'alg': algorithm})}.{encoded({'sub': 'root', 'exp': NOW + 60})}"
        forged = hmac.digest(secret, text.encode(), getattr(hashlib, f"sha{algorithm[2:]}"))
        token = f"{text}.{base64.urlsafe_b64encode(forged).rstrip(b'=').decode()}"
        assert refusal(authenticator, token)[0] is ErrorCode.INVALID_TOKEN


def test_a_key_in_the_token_is_not_looked_at() -> None:
    header = {
        "alg": "RS256",
        "jwk": published("rsa"),
        "jku": "https://evil.example",
        "x5u": "https://evil.example",
    }
    token = signed(header, {"sub": "root", "exp": NOW + 60}, "rsa", "RS256")
    assert refusal(tokens(settings(algorithms=("HS256",))), token)[0] is ErrorCode.INVALID_TOKEN


def test_of_several_issuers_the_one_that_signed_it_says_who_it_is(tmp_path: Path) -> None:
    authenticator = tokens(
        settings("one", issuer="https://one", read=("price:*",)),
        settings("two", issuer="https://two", secret=Secret(SECRET[::-1])),
        settings("file", algorithms=("ES256",), public_key_file=written(tmp_path, "p256")),
        settings("any", secret=Secret("x" * 32)),
    )
    assert known(authenticator, Issuer().token(iss="https://one")).name == "one/ann"
    assert known(authenticator, Issuer(key=SECRET[::-1]).token(iss="https://two")).name == "two/ann"
    assert known(authenticator, Issuer("ES256", "p256").token()).name == "file/ann"
    assert known(authenticator, Issuer(key="x" * 32).token(iss="https://one")).name == "any/ann"
    assert refusal(authenticator, Issuer().token(iss="https://two"))[0] is ErrorCode.INVALID_TOKEN


def test_a_reason_is_for_the_log_alone() -> None:
    authenticator = tokens(settings(audience=("appliance",)))
    code, why = refusal(authenticator, Issuer().token(aud="other"))
    assert (code, why) == (ErrorCode.INVALID_TOKEN, "the token is for another audience")
    with pytest.raises(CredentialError) as caught:
        known(authenticator, Issuer().token(aud="other"))
    assert caught.value.message == "the credential is not known"


@pytest.mark.parametrize(
    ("entry", "path", "says"),
    [
        ({"secret": Secret("short")}, "auth.tokens[1].secret", "at least 32"),
        ({"algorithms": ("HS256", "RS256")}, "auth.tokens[1].secret", "does not fit RS256"),
        ({"public_key_file": "/nowhere/key.pem"}, "auth.tokens[1].public_key_file", "cannot be read"),
        (
            {"jwks_url": "https://acme.example/jwks", "algorithms": ("RS256", "HS256")},
            "auth.tokens[1].algorithms",
            "HS256",
        ),
    ],
)
def test_keys_and_algorithms_that_do_not_fit_are_mistakes(
    entry: dict[str, Any], path: str, says: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        tokens(settings(), settings("wrong", **entry))
    (mistake,) = caught.value.mistakes
    assert mistake.path == path
    assert says in mistake.problem


def test_all_mistakes_are_told_at_once_and_no_secret(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        tokens(
            settings(secret=Secret("hunter2")),
            settings("file", algorithms=("ES256", "EdDSA"), public_key_file=written(tmp_path, "rsa")),
        )
    assert len(caught.value.mistakes) == 3
    assert "hunter2" not in str(caught.value)


def test_the_addresses_of_published_keys() -> None:
    entries = [settings(), settings("acme", algorithms=("RS256",), jwks_url="https://acme.example/jwks")]
    assert [each.url for each in addresses(entries)] == ["https://acme.example/jwks"]


def test_without_keys_of_a_set_its_tokens_are_refused() -> None:
    authenticator = tokens(settings(algorithms=("RS256",), jwks_url="https://acme.example/jwks"))
    assert refusal(authenticator, Issuer("RS256", "rsa").token())[0] is ErrorCode.INVALID_TOKEN


def test_nothing_secret_is_told() -> None:
    assert SECRET not in repr(vars(tokens()))
    assert SECRET not in json.dumps(repr(settings()))


def test_who_was_let_in_is_known_again_by_other_settings(tmp_path: Path) -> None:
    ann = known(tokens(settings(publish=("alerts", "price"))), Issuer().token())
    assert ann.expires == NOW + 3600 + 30, "it stays for as long as it would be let in"
    narrowed = tokens(settings(read=("price:*",))).review(ann, NOW)
    assert narrowed is not None
    assert (narrowed.entitlements.read, narrowed.entitlements.publish) == (("price:*",), ())
    for now, code, *others in (
        (NOW + 3631, ErrorCode.EXPIRED_TOKEN, settings()),
        (NOW, ErrorCode.REVOKED_TOKEN),
        (NOW, ErrorCode.REVOKED_TOKEN, settings("other")),
        (NOW, ErrorCode.REVOKED_TOKEN, settings(secret=Secret(SECRET[::-1]))),
        (NOW, ErrorCode.REVOKED_TOKEN, settings(audience=("appliance",))),
        (
            NOW,
            ErrorCode.REVOKED_TOKEN,
            settings(algorithms=("ES256",), public_key_file=written(tmp_path, "p256")),
        ),
    ):
        with pytest.raises(CredentialError) as caught:
            Tokens(others, KeySets()).review(ann, now)
        assert caught.value.code is code
    assert tokens().review(Principal("own/ann", kind="token"), NOW) is None
