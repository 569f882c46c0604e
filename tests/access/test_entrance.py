"""All that lets clients in, put together as settings say."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from appliance.access.entrance import Entrance
from appliance.access.gate import Peer
from appliance.access.kept import KeptKeys
from appliance.access.key_file import KeyFile
from appliance.access.keyring import Terms
from appliance.access.principals import Credential, CredentialError
from appliance.access.revocations import Revocation
from appliance.access.revoked import RevocationFile, Revoked
from appliance.api import Grant
from appliance.core.errors import SettingsError
from appliance.settings.access import AuthSettings, KeySettings, ReaderSettings, TokenSettings
from appliance.settings.fields import Seconds, Secret
from tests.access.issuing import SECRET, Issuer, published
from tests.access.publisher import publishing
from tests.edge.stage import PATIENCE, until

if TYPE_CHECKING:
    from pathlib import Path

KEY = KeySettings(name="ann", key=Secret("sk_of-ann"))
OWN = TokenSettings(name="own", algorithms=("HS256",), secret=Secret(SECRET))
HERE = Peer("127.0.0.1")


def entrance(*keys: KeySettings, grants: dict[str, Grant] | None = None, **auth: Any) -> Entrance:
    return Entrance(AuthSettings(**auth), keys, (grants or {}).get)


def name_of(guarded: Entrance, text: str) -> str | None:
    """Say who shows this, if it is somebody."""
    try:
        return guarded.gate.admit(Credential(text, "header"), HERE, time.time()).name
    except CredentialError:
        return None


def test_everybody_who_is_known_comes_in(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    made = file.change(lambda ring: ring.create(Terms(name="bob"), dt.datetime.now(dt.UTC)))
    guarded = entrance(KEY, tokens=(OWN,), grants={"plugged": Grant(name="carl")})
    guarded.follow(KeptKeys(file))
    token = Issuer().token(now=time.time())
    shown = ["sk_of-ann", made.text, token, "plugged", "unknown"]
    assert [name_of(guarded, text) for text in shown] == ["ann", "bob", "own/ann", "carl", None]


def test_anonymous_is_as_the_settings_say() -> None:
    assert entrance().gate.welcome(HERE).entitlements.scope.covers("trades:all")
    narrow = entrance(anonymous=ReaderSettings(read=("price:*",))).gate.welcome(HERE)
    assert (
        narrow.entitlements.scope.covers("price:BTC"),
        narrow.entitlements.scope.covers("trades:all"),
    ) == (True, False)


def test_other_settings_let_others_in() -> None:
    guarded = entrance(KEY)
    guarded.use(AuthSettings(tokens=(OWN,)), [])
    assert name_of(guarded, "sk_of-ann") is None
    assert name_of(guarded, Issuer().token(now=time.time())) == "own/ann"


@pytest.mark.parametrize(
    ("auth", "keys"),
    [
        (AuthSettings(), [KeySettings(name="nobody")]),
        (AuthSettings(tokens=(TokenSettings(name="x", algorithms=("RS256",), secret=Secret(SECRET)),)), []),
    ],
)
def test_settings_with_a_mistake_change_nothing(auth: AuthSettings, keys: list[KeySettings]) -> None:
    guarded = entrance(KEY)
    with pytest.raises(SettingsError):
        guarded.use(auth, keys)
    assert name_of(guarded, "sk_of-ann") == "ann"


async def test_published_keys_are_there_once_it_runs_and_stay_over_a_reload() -> None:
    async with publishing(published("rsa", kid="a")) as publisher:
        acme = TokenSettings(
            name="acme",
            algorithms=("RS256",),
            jwks_url=publisher.url,
            issuer="https://acme",
            audience=("appliance",),
            jwks_timeout=Seconds(PATIENCE),
        )
        guarded = entrance(tokens=(acme,))
        token = Issuer("RS256", "rsa", "a").token(now=time.time(), iss="https://acme", aud="appliance")
        assert name_of(guarded, token) is None
        async with trio.open_nursery() as nursery:  # ends with the test
            await nursery.start(guarded.run)
            assert name_of(guarded, token) == "acme/ann"
            guarded.use(AuthSettings(tokens=(acme, OWN)), [])
            assert name_of(guarded, token) == "acme/ann"
            assert len(publisher.heads) == 1
            nursery.cancel_scope.cancel()


async def test_kept_keys_are_followed_while_it_runs(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    guarded = entrance()
    guarded.follow(KeptKeys(file))
    async with trio.open_nursery() as nursery:  # ends with the test
        await nursery.start(guarded.run)
        made = file.change(lambda ring: ring.create(Terms(name="bob"), dt.datetime.now(dt.UTC)))
        await until(lambda: name_of(guarded, made.text) == "bob")
        nursery.cancel_scope.cancel()
    assert file.uses().keys() == {made.id}


async def test_who_is_there_is_looked_at_anew_whenever_that_may_change(tmp_path: Path) -> None:
    file, revocations = KeyFile(tmp_path / "keys.json"), RevocationFile(tmp_path / "revocations.json")
    guarded = entrance(KEY)
    guarded.follow(KeptKeys(file), Revoked(revocations))
    told: list[str | None] = []
    guarded.tell(lambda: told.append(name_of(guarded, "sk_of-ann")))
    async with trio.open_nursery() as nursery:  # ends with the test
        await nursery.start(guarded.run)
        file.change(lambda ring: ring.create(Terms(name="bob"), dt.datetime.now(dt.UTC)))
        await until(lambda: told == ["ann"])
        now = dt.datetime.now(dt.UTC)
        entry = Revocation(made=now, principal="ann", issued_before=now)
        revocations.change(lambda before: (before.add(entry), None))
        await until(lambda: told == ["ann", None])
        guarded.use(AuthSettings(), [KEY])
        assert told == ["ann", None, None]
        nursery.cancel_scope.cancel()


async def test_files_that_cannot_be_used_are_problems(tmp_path: Path) -> None:
    file, revocations = KeyFile(tmp_path / "keys.json"), RevocationFile(tmp_path / "revocations.json")
    guarded = entrance(KEY)
    assert [*guarded.problems()] == []
    guarded.follow(KeptKeys(file), Revoked(revocations))
    async with trio.open_nursery() as nursery:  # ends with the test
        await nursery.start(guarded.run)
        for broken in (file, revocations):
            broken.path.write_text("{")
        await until(lambda: len([*guarded.problems()]) == 2)
        for broken in (file, revocations):
            broken.path.unlink()
        await until(lambda: not [*guarded.problems()])
        nursery.cancel_scope.cancel()
