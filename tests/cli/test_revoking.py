"""What is taken back from the command line, as somebody types it."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from appliance.access.revoked import FILE_NAME, RevocationFile
from appliance.cli.main import cli
from tests.access.issuing import SECRET, Issuer
from tests.authoring import Done
from tests.cli.test_serving import write

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.access.revocations import Revocation


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def ran(state: Path, *words: str, shown: str = "") -> Done:
    done = CliRunner().invoke(
        cli, ["token", *words, "--state-dir", str(state)], input=shown, prog_name="appliance"
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def kept(state: Path) -> list[Revocation]:
    return list(RevocationFile(state / FILE_NAME).read().entries)


def revoked(state: Path, *words: str, shown: str = "") -> Revocation:
    done = ran(state, "revoke", *words, shown=shown)
    assert done.status == 0, done.errors
    return kept(state)[-1]


def test_an_id_is_taken_back(state: Path) -> None:
    entry = revoked(state, "--id", "jti-1")
    assert (entry.id, entry.principal, entry.issued_before, entry.until) == ("jti-1", None, None, None)


def test_all_that_somebody_has_is_taken_back_from_now(state: Path) -> None:
    before = dt.datetime.now(dt.UTC)
    entry = revoked(state, "--principal", "own/ann")
    assert entry.principal == "own/ann"
    assert entry.issued_before is not None
    assert before < entry.issued_before <= dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)


def test_all_tokens_before_a_moment_are_taken_back(state: Path) -> None:
    entry = revoked(state, "--all", "--issued-before", "2026-01-31T12:00:00+01:00")
    assert (entry.id, entry.principal) == (None, None)
    assert entry.issued_before == dt.datetime(2026, 1, 31, 11, tzinfo=dt.UTC)


def test_a_token_is_shown_itself_and_remembered_as_long_as_it_could_be_good(state: Path) -> None:
    token = Issuer().token(jti="jti-2", exp=2_000_000_000)
    entry = revoked(state, "-", shown=token + "\n")
    assert entry.id == "jti-2"
    assert entry.until is not None
    assert 0 <= entry.until.timestamp() - 2_000_000_000 <= 86_400
    assert token not in (state / FILE_NAME).read_text()


def test_what_issuers_give_a_longest_life_is_forgotten_in_the_end(state: Path, tmp_path: Path) -> None:
    file = write(
        tmp_path,
        f'[[auth.tokens]]\nname = "own"\nalgorithms = ["HS256"]\nsecret = "{SECRET}"\nlifetime = "1d"\n',
    )
    for words in (["--principal", "own/ann"], ["--all"]):
        entry = revoked(state, *words, "--config", str(file))
        assert entry.until is not None
        assert entry.issued_before is not None
        assert entry.until - entry.issued_before == dt.timedelta(days=1, seconds=60)
    assert revoked(state, "--principal", "desk", "--config", str(file)).until is None
    assert revoked(state, "--id", "x", "--until", "1h", "--config", str(file)).until is not None


def test_what_was_taken_back_is_listed_and_can_be_given_back(state: Path) -> None:
    revoked(state, "--id", "jti-1")
    revoked(state, "--principal", "own/ann")
    told = ran(state, "revocations").output
    assert "the credential jti-1, taken back" in told
    assert "what own/ann was given before" in told
    assert [each.get("id") for each in json.loads(ran(state, "revocations", "--json").output)] == [
        "jti-1",
        None,
    ]
    assert ran(state, "revoke", "--id", "jti-1", "--undo").output == "the credential jti-1 is good again\n"
    assert [each.id for each in kept(state)] == [None]
    done = ran(state, "revoke", "--id", "jti-1", "--undo")
    assert done.status == 1
    assert "no such thing was taken back" in done.errors


@pytest.mark.parametrize(
    ("words", "shown", "says"),
    [
        ([], "", "name one of --id, --principal and --all"),
        (["--id", "x", "--all"], "", "name one of"),
        (["--id", "x", "--issued-before", "2026-01-31"], "", "--issued-before goes with"),
        (["--all", "--issued-before", "yesterday"], "", "is no moment"),
        (["-"], "no token", "no token"),
        (["-"], Issuer().token(), "has no jti"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(state: Path, words: list[str], shown: str, says: str) -> None:
    done = ran(state, "revoke", *words, shown=shown)
    assert done.status != 0
    assert says in done.errors
    assert kept(state) == []
