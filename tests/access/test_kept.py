"""Kept keys: who they let in, how changes of their file are taken up, and that their use is noted."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from appliance.access.kept import LOOK_EVERY, NOTE_EVERY, KeptKeys
from appliance.access.key_file import KeyFile
from appliance.access.keyring import Terms
from appliance.access.principals import Credential, CredentialError, Principal
from appliance.core.errors import ErrorCode, StartError

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from appliance.access.secret_text import Made

START = dt.datetime.now(dt.UTC).replace(microsecond=0)
NOW = START.timestamp()
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def make(file: KeyFile, name: str = "ann", *, expires: dt.datetime | None = None) -> Made:
    return file.change(lambda ring: ring.create(Terms(name=name, expires=expires), START))


def revoke(file: KeyFile, name: str) -> None:
    file.change(lambda ring: ring.revoke(name, START))


def name_of(kept: KeptKeys, text: str, now: float = NOW) -> str:
    return kept.authenticate(Credential(text, "header"), now).name


def refusal(kept: KeptKeys, text: str, now: float = NOW) -> ErrorCode:
    with pytest.raises(CredentialError) as caught:
        name_of(kept, text, now)
    assert text not in caught.value.why
    return caught.value.code


def test_a_key_is_its_owners_and_no_other_text_opens(file: KeyFile) -> None:
    ann, bob = make(file), make(file, "bob")
    kept = KeptKeys(file)
    assert len(kept) == 2
    assert (name_of(kept, ann.text), name_of(kept, bob.text)) == ("ann", "bob")
    mixed = f"sk_{ann.id}_{bob.text.removeprefix(f'sk_{bob.id}_')}"
    for text in (mixed, ann.text[:-1] + "?", ann.text.lower() + "x", "sk_other", f"sk_{ann.id}_"):
        assert refusal(kept, text) is ErrorCode.INVALID_TOKEN


def test_a_key_ends(file: KeyFile) -> None:
    ann, bob = make(file, expires=START + HOUR), make(file, "bob")
    revoke(file, "bob")
    kept = KeptKeys(file)
    assert name_of(kept, ann.text, NOW + 3599) == "ann"
    assert refusal(kept, ann.text, NOW + 3600) is ErrorCode.EXPIRED_TOKEN
    assert refusal(kept, bob.text) is ErrorCode.INVALID_TOKEN


def test_a_change_is_taken_up_and_told(file: KeyFile) -> None:
    ann = make(file)
    kept = KeptKeys(file)
    bob = make(file, "bob")
    revoke(file, "ann")
    assert name_of(kept, ann.text) == "ann"
    with capture_logs() as log:
        kept.look()
        kept.look()
    assert name_of(kept, bob.text) == "bob"
    assert refusal(kept, ann.text) is ErrorCode.INVALID_TOKEN
    assert log == [
        {
            "event": "keys changed",
            "log_level": "info",
            "made": [f"bob ({bob.id})"],
            "ended": [f"ann ({ann.id})"],
        }
    ]


def test_a_file_that_cannot_be_used_leaves_the_keys_as_they_were(file: KeyFile) -> None:
    ann = make(file)
    kept = KeptKeys(file)
    good = file.path.read_bytes()
    file.path.write_text("{")
    with capture_logs() as log:
        kept.look()
        kept.look()
    assert [(line["event"], line["log_level"]) for line in log] == [
        ("keys refused, those before stay", "error")
    ]
    assert name_of(kept, ann.text) == "ann"
    file.path.write_bytes(good)
    kept.look()
    assert name_of(kept, ann.text) == "ann"
    file.path.unlink()
    kept.look()
    assert refusal(kept, ann.text) is ErrorCode.INVALID_TOKEN


def test_a_start_with_a_file_that_cannot_be_used_fails(file: KeyFile) -> None:
    file.path.write_text("{")
    file.path.chmod(0o600)
    with pytest.raises(StartError):
        KeptKeys(file)


async def test_a_change_is_taken_up_by_itself(file: KeyFile, autojump_clock: MockClock) -> None:
    del autojump_clock  # time jumps
    kept = KeptKeys(file)
    async with trio.open_nursery() as nursery:  # ends with the test
        await nursery.start(kept.run)
        ann = make(file)
        await trio.sleep(2 * LOOK_EVERY)
        assert name_of(kept, ann.text) == "ann"
        revoke(file, "ann")
        await trio.sleep(2 * LOOK_EVERY)
        assert refusal(kept, ann.text) is ErrorCode.INVALID_TOKEN
        nursery.cancel_scope.cancel()


async def test_the_last_use_is_noted_once_a_minute_and_at_the_end(
    file: KeyFile, autojump_clock: MockClock
) -> None:
    del autojump_clock  # time jumps
    ann, bob = make(file), make(file, "bob")
    kept = KeptKeys(file)
    async with trio.open_nursery() as nursery:  # ends with the test
        await nursery.start(kept.run)
        name_of(kept, ann.text, NOW + 1)
        name_of(kept, ann.text, NOW + 2)
        await trio.sleep(NOTE_EVERY / 2)
        assert file.uses() == {}
        await trio.sleep(NOTE_EVERY)
        assert file.uses() == {ann.id: NOW + 2}
        written = file.path.with_name("keys.uses.json").stat()
        await trio.sleep(3 * NOTE_EVERY)
        assert file.path.with_name("keys.uses.json").stat() == written
        name_of(kept, bob.text, NOW + 5)
        nursery.cancel_scope.cancel()
    assert file.uses() == {ann.id: NOW + 2, bob.id: NOW + 5}
    assert name_of(KeptKeys(file), ann.text) == "ann"


def test_a_note_that_cannot_be_written_refuses_nobody(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = make(file)
    kept = KeptKeys(file)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with capture_logs() as log, monkeypatch.context() as patch:
        patch.setattr(KeyFile, "keep_uses", full)
        for moment in (1, 2):
            assert name_of(kept, ann.text, NOW + moment) == "ann"
            kept.note()
    assert [line["event"] for line in log] == ["when keys were last used cannot be noted"]
    kept.note()
    assert file.uses() == {ann.id: NOW + 2}


def test_who_was_let_in_is_known_again_by_another_file(file: KeyFile) -> None:
    ann, bob = make(file, expires=START + HOUR), make(file, "bob")
    kept = KeptKeys(file)
    shown = [kept.authenticate(Credential(made.text, "header"), NOW) for made in (ann, bob)]
    changes = []
    kept.tell(lambda: changes.append(len(kept)))
    assert [kept.review(each, NOW) for each in shown] == shown
    revoke(file, "bob")
    kept.look()
    assert changes == [2]
    assert kept.review(shown[0], NOW) == shown[0]
    for gone, now, code in (
        (shown[0], NOW + 3600, ErrorCode.EXPIRED_TOKEN),
        (shown[1], NOW, ErrorCode.REVOKED_TOKEN),
    ):
        with pytest.raises(CredentialError) as caught:
            kept.review(gone, now)
        assert caught.value.code is code
    assert kept.review(Principal("ann"), NOW) is None


def test_a_file_that_cannot_be_used_is_a_problem_until_it_can(file: KeyFile) -> None:
    make(file)
    kept = KeptKeys(file)
    good = file.path.read_bytes()
    file.path.write_text("{")
    kept.look()
    assert kept.problem is not None
    assert str(file.path) in kept.problem
    file.path.write_bytes(good)
    kept.look()
    assert kept.problem is None
