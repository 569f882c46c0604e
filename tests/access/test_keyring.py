"""The ring of kept keys, change by change."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from appliance.access.keyring import KeptKey, Ring, Terms
from appliance.access.secret_text import digest
from appliance.core.entitlements import Entitlements, network

NOW = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def states(ring: Ring, at: dt.datetime = NOW) -> list[str]:
    return [key.state(at.timestamp()) for key in ring.keys]


def test_a_made_key_is_kept_as_its_digest() -> None:
    ring, made = Ring().create(Terms(name="ann"), NOW)
    (key,) = ring.keys
    assert (key.id, key.name, key.created, key.expires) == (made.id, "ann", NOW, None)
    assert bytes.fromhex(key.digest) == digest(made.text)
    assert made.text not in msgspec.json.encode(ring).decode()


def test_a_key_is_a_principal_with_what_it_was_made_for() -> None:
    terms = Terms(
        name="ann",
        expires=NOW + DAY,
        read=("price:*",),
        publish=("alerts",),
        sessions=3,
        subscriptions=4,
        addresses=("10.0.0.0/8",),
    )
    ring, made = Ring().create(terms, NOW)
    principal = ring.keys[0].principal()
    assert principal.entitlements == Entitlements(
        read=("price:*",), publish=("alerts",), sessions=3, subscriptions=4, networks=[network("10.0.0.0/8")]
    )
    assert (principal.name, principal.kind, principal.credential) == ("ann", "key", made.id)
    assert (principal.issued, principal.expires) == (NOW.timestamp(), (NOW + DAY).timestamp())


def test_a_name_has_one_key_until_that_is_good_no_more() -> None:
    ring, _ = Ring().create(Terms(name="ann", expires=NOW + HOUR), NOW)
    with pytest.raises(ValueError, match="'ann' has a key"):
        ring.create(Terms(name="ann"), NOW)
    ring, _ = ring.create(Terms(name="bob"), NOW)
    later, _ = ring.create(Terms(name="ann"), NOW + HOUR)
    assert states(later, NOW + HOUR) == ["expired", "active", "active"]
    revoked, _ = ring.revoke("ann", NOW)
    assert states(revoked.create(Terms(name="ann"), NOW)[0]) == ["revoked", "active", "active"]


def test_a_rotated_key_works_on_for_a_while() -> None:
    ring, first = Ring().create(Terms(name="ann", read=("price:*",), sessions=2), NOW)
    ring, second = ring.rotate("ann", NOW + DAY, overlap=HOUR, expires=None)
    assert first.id != second.id
    assert states(ring, NOW + DAY) == ["active", "active"]
    assert states(ring, NOW + DAY + HOUR) == ["expired", "active"]
    before, after = ring.keys
    assert (after.name, after.read, after.sessions, after.expires) == (before.name, before.read, 2, None)


def test_a_rotated_key_is_good_for_as_long_as_the_one_before() -> None:
    ring, _ = Ring().create(Terms(name="ann", expires=NOW + 30 * DAY), NOW)
    ring, made = ring.rotate("ann", NOW + 29 * DAY, overlap=2 * DAY, expires=None)
    assert [key.expires for key in ring.keys] == [NOW + 30 * DAY, NOW + 59 * DAY]
    ring, _ = ring.rotate(made.id, NOW + 30 * DAY, overlap=dt.timedelta(), expires=NOW + 40 * DAY)
    assert [key.expires for key in ring.keys] == [NOW + 30 * DAY, NOW + 30 * DAY, NOW + 40 * DAY]


def test_only_what_is_good_can_be_rotated() -> None:
    ring, _ = Ring().create(Terms(name="ann", expires=NOW + HOUR), NOW)
    for name, at in (("bob", NOW), ("ann", NOW + HOUR)):
        with pytest.raises(ValueError, match="no key that is good"):
            ring.rotate(name, at, overlap=HOUR, expires=None)


def test_a_name_or_an_id_is_revoked() -> None:
    ring, first = Ring().create(Terms(name="ann"), NOW)
    ring, _ = ring.rotate("ann", NOW, overlap=HOUR, expires=None)
    ring, _ = ring.create(Terms(name="bob"), NOW)
    one, gone = ring.revoke(first.id, NOW)
    assert (states(one), [key.id for key in gone]) == (["revoked", "active", "active"], [first.id])
    both, gone = ring.revoke("ann", NOW)
    assert (states(both), len(gone)) == (["revoked", "revoked", "active"], 2)
    assert both.keys[0].revoked == NOW
    with pytest.raises(ValueError, match="'ann' has no key"):
        both.revoke("ann", NOW)
    with pytest.raises(ValueError, match="'carl' has no key"):
        ring.revoke("carl", NOW)


def test_keys_are_found_by_name_before_id() -> None:
    ring, made = Ring().create(Terms(name="ann"), NOW)
    odd, _ = ring.create(Terms(name=made.id), NOW)
    assert [key.name for key in ring.named(made.id)] == ["ann"]
    assert [key.name for key in odd.named(made.id)] == [made.id]
    assert ring.named("nobody") == ()


def test_a_ring_is_read_back_as_it_was() -> None:
    ring, _ = Ring().create(Terms(name="ann", expires=NOW + DAY, read=("price:*",)), NOW)
    ring, _ = ring.revoke("ann", NOW)
    assert msgspec.json.decode(msgspec.json.encode(ring), type=Ring) == ring


def test_what_is_not_known_in_a_ring_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"version": 2, "keys": []}', type=Ring)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(
            b'{"id": "a", "name": "b", "digest": "", "created": "2030-01-01T00:00:00Z", "hide": []}',
            type=KeptKey,
        )
