"""The commands for signed tokens as somebody types them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import jwt
import pytest
from click.testing import CliRunner

from appliance.cli.main import cli
from tests.access.issuing import SECRET, private_pem, public, written
from tests.authoring import Done
from tests.cli.test_serving import write

if TYPE_CHECKING:
    from pathlib import Path


def ran(*arguments: str, shown: str = "") -> Done:
    done = CliRunner().invoke(cli, ["token", *arguments], input=shown, prog_name="appliance")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def configured(tmp_path: Path, secret: Path) -> Path:
    return write(
        tmp_path,
        f"""
[[auth.tokens]]
name = "own"
algorithms = ["HS512"]
secret_file = "{secret}"
issuer = "https://own"
audience = ["appliance", "other"]
publish = ["alerts"]
lifetime = "1d"
claims = {{ read = "topics" }}

[[auth.tokens]]
name = "file"
algorithms = ["ES256"]
public_key_file = "{written(tmp_path, "p256")}"
""",
    )


def made(*arguments: str) -> str:
    done = ran("create", *arguments)
    assert done.status == 0, done.errors
    token = done.output.removesuffix("\n")
    assert token.count(".") == 2
    assert token not in done.errors
    return token


def test_a_token_is_made_with_a_secret(secret: Path) -> None:
    token = made(
        *("--secret-file", str(secret), "--sub", "ann", "--expires", "1h", "--read", "price:*"),
        *("--publish", "alerts", "--sessions", "2", "--address", "10.0.0.0/8", "--iss", "me", "--aud", "you"),
    )
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], issuer="me", audience="you")
    assert claims.pop("exp") - claims.pop("iat") in range(3590, 3601)
    assert claims.pop("jti")
    assert claims == {
        "sub": "ann",
        "iss": "me",
        "aud": "you",
        "appliance:read": ["price:*"],
        "appliance:publish": ["alerts"],
        "appliance:sessions": 2,
        "appliance:addresses": ["10.0.0.0/8"],
    }


@pytest.mark.parametrize(("kind", "algorithm"), [("rsa", "PS256"), ("p384", "ES384"), ("ed25519", "EdDSA")])
def test_a_token_is_made_with_a_private_key(tmp_path: Path, kind: str, algorithm: str) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(private_pem(kind))
    token = made("--key-file", str(file), "--sub", "ann", "--expires", "1h", "--kid", "k1")
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "kid": "k1", "typ": "JWT"}
    assert jwt.decode(token, public(kind), algorithms=[algorithm])["sub"] == "ann"


def test_a_token_for_a_configuration_says_what_that_wants(configured: Path) -> None:
    done = ran(
        "create",
        "--config",
        str(configured),
        "--issuer",
        "own",
        "--sub",
        "ann",
        "--expires",
        "1h",
        "--read",
        "price:*",
    )
    claims = jwt.decode(
        done.output.strip(), SECRET, algorithms=["HS512"], audience="appliance", issuer="https://own"
    )
    assert claims["topics"] == ["price:*"]
    assert "own/ann" in done.errors
    assert "may publish into  alerts" in done.errors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--issuer", "own", "--expires", "2d"), "lives longer"),
        (("--issuer", "own", "--expires", "1h", "--alg", "HS256"), "does not use HS256"),
        (("--issuer", "own", "--expires", "1h", "--iss", "other"), "another issuer"),
        (("--issuer", "file", "--expires", "1h"), "no key to sign with"),
        (("--issuer", "nobody", "--expires", "1h"), "there: own, file"),
        (("--expires", "1h"), "there: own, file"),
    ],
)
def test_what_the_appliance_would_refuse_is_not_made(
    configured: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = ran("create", "--config", str(configured), "--sub", "ann", *arguments)
    assert done.status != 0
    assert done.output == ""
    assert says in done.errors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--sub", "ann", "--expires", "1h"), "no key to sign with"),
        (("--sub", "ann", "--expires", "1h", "--secret-file", "/nowhere"), "cannot be read"),
        (("--sub", "ann", "--expires", "1h", "--key-file", "/nowhere"), "cannot be read"),
        (("--sub", "ann", "--expires", "1h", "--issuer", "own"), "--config"),
        (("--sub", "ann", "--expires", "yesterday"), "is no time to come"),
        (("--expires", "1h"), "--sub"),
        (("--sub", "ann"), "--expires"),
        (("--sub", "ann", "--expires", "1h", "--read", "price"), "is no topic"),
    ],
)
def test_mistakes_are_told(arguments: tuple[str, ...], says: str) -> None:
    done = ran("create", *arguments)
    assert done.status != 0
    assert done.output == ""
    assert says in done.errors


def test_a_short_secret_signs_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    done = ran("create", "--secret-file", str(tmp_path / "secret"), "--sub", "ann", "--expires", "1h")
    assert done.status != 0
    assert "at least 32" in done.errors
    assert "hunter2" not in done.errors


def test_a_token_that_would_be_too_long_is_not_made(secret: Path) -> None:
    grants = [part for number in range(400) for part in ("--read", f"price:{number}-symbol")]
    done = ran("create", "--secret-file", str(secret), "--sub", "ann", "--expires", "1h", *grants)
    assert done.status != 0
    assert "4096 is the most" in done.errors


def test_a_good_token_is_told_with_what_it_allows(configured: Path) -> None:
    token = made(
        "--config", str(configured), "--issuer", "own", "--sub", "ann", "--expires", "1h", "--sessions", "2"
    )
    for arguments, shown in ((("-",), token + "\n"), ((token,), "")):
        done = ran("inspect", "--config", str(configured), *arguments, shown=shown)
        assert done.status == 0
        assert "expires" in done.output
        assert "(in 59 minutes)" in done.output
        assert "It is good, and lets in own/ann, who" in done.output
        assert "most sessions     2" in done.output
        assert token not in done.output
        assert token.rpartition(".")[2] not in done.output
        assert SECRET not in done.output
    found = json.loads(ran("inspect", "--json", "--config", str(configured), "-", shown=token).output)
    assert (found["verified"], found["problem"], found["algorithm"]) == (True, None, "HS512")
    assert found["principal"]["name"] == "own/ann"
    assert found["principal"]["publish"] == ["alerts"]


def test_a_token_that_is_not_good_says_why(configured: Path, secret: Path) -> None:
    token = made("--secret-file", str(secret), "--alg", "HS512", "--sub", "ann", "--expires", "1h")
    done = ran("inspect", "--config", str(configured), "-", shown=token)
    assert done.status == 1
    assert "It lets nobody in: no issuer signs such tokens." in done.output
    found = json.loads(ran("inspect", "--json", "--config", str(configured), "-", shown=token).output)
    assert (found["verified"], found["principal"]) == (False, None)


def test_without_a_configuration_nothing_is_verified(secret: Path) -> None:
    token = made("--secret-file", str(secret), "--sub", "ann", "--expires", "1h")
    done = ran("inspect", "-", shown=token)
    assert done.status == 0
    assert "It was not verified" in done.output
    assert ran("inspect", "no.token.here").status == 1
    assert "no token" in ran("inspect", "-", shown="").output


def test_what_a_stranger_wrote_does_not_reach_the_terminal(secret: Path) -> None:
    token = jwt.encode({"\x1b[2J": "\x1b[31m", "exp": time.time()}, SECRET, "HS256")
    assert "\x1b" not in ran("inspect", "-", shown=token).output
    assert secret.exists()


def test_a_token_says_what_its_owner_is_shown(configured: Path) -> None:
    shown = ("--hide", "note", "--only", "size > 1", "--rate", "2", "--on", "price:*", "--no-monitor")
    done = ran(
        "create", "--config", str(configured), "--issuer", "own", "--sub", "ann", "--expires", "1h", *shown
    )
    assert done.status == 0, done.errors
    for part in ("not the fields note in price:*", "events with size > 1", "at most 2 a second"):
        assert part in done.errors
    found = ran("inspect", "-", "--config", str(configured), "--json", shown=done.output)
    principal = json.loads(found.output)["principal"]
    assert principal["monitor"] is False
    assert {"topics": ["price:*"], "hide": ["note"]} in principal["views"]
    claims = jwt.decode(done.output.strip(), options={"verify_signature": False})
    assert claims["appliance:views"] == [
        {"topics": ["price:*"], "hide": ["note"], "only": "size > 1", "rate": 2.0}
    ]
