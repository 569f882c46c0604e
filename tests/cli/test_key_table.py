"""Kept keys as they are shown."""

from __future__ import annotations

import datetime as dt
import json

from appliance.access.keyring import KeptKey
from appliance.cli import key_table

MADE = dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)
NOW = MADE.timestamp() + 3_600
KEY = KeptKey(
    id="abcdefghjk",
    name="ann",
    digest="00" * 32,
    created=MADE,
    expires=MADE + dt.timedelta(days=1),
    read=("price:*",),
    publish=("alerts",),
    sessions=2,
    subscriptions=3,
    addresses=("10.0.0.0/8",),
)
PLAIN = KeptKey(id="mnpqrstuvw", name="bob", digest="11" * 32, created=MADE, revoked=MADE, read=())


def test_a_table_has_a_line_for_each() -> None:
    head, *lines = key_table.as_table([KEY, PLAIN], {KEY.id: NOW}, NOW)
    assert [*map(str.split, lines)] == [
        [
            *("abcdefghjk", "ann", "active", "2030-01-31", "2030-02-01T12:00"),
            *("2030-01-31T13:00", "price:*", "alerts"),
        ],
        ["mnpqrstuvw", "bob", "revoked", "2030-01-31", "-", "-", "-", "-"],
    ]
    assert head.index("NAME") == lines[0].index("ann") == lines[1].index("bob")


def test_in_full_says_all() -> None:
    text = "\n".join(key_table.in_full(KEY, {KEY.id: NOW - 60}, NOW))
    for part in (
        "ann, key abcdefghjk: active",
        "(1 hour ago)",
        "(in 23 hours)",
        "(1 minute ago)",
        "price:*",
        "alerts",
        "most sessions     2",
        "3 of a session",
        "10.0.0.0/8",
    ):
        assert part in text
    text = "\n".join(key_table.in_full(PLAIN, {}, NOW))
    assert "revoked" in text
    assert "never, as far as is known" in text
    assert "may read          nothing" in text


def test_json_has_all_but_the_digest() -> None:
    text = key_table.as_json([KEY, PLAIN], {KEY.id: NOW}, NOW)
    first, second = json.loads(text)
    assert (first["state"], first["last_used"], first["sessions"]) == (
        "active",
        "2030-01-31T13:00:00.000Z",
        2,
    )
    assert (second["state"], second["last_used"], second["expires"]) == ("revoked", None, None)
    assert "digest" not in text
    assert KEY.digest not in text + "\n".join(key_table.in_full(KEY, {}, NOW))
