"""What was found in a store, in words."""

from __future__ import annotations

import json
import math
from pathlib import Path

from appliance.cli.stocktaking import as_json, as_table
from appliance.store.flaws import MOST, Flaws
from appliance.store.inspection import Contents, Findings

FILE = Path("/var/lib/appliance/store.db")
PRICE = Contents(
    topics=20,
    events=12_345,
    size=2_469_000,
    oldest=1_766_000_000.0,
    newest=1_766_000_060.5,
    notes={"where": 1, "seen": 1_234},
)
EMPTY = Contents(topics=1)


def findings(*flaws: str) -> Findings:
    noted = Flaws()
    for flaw in flaws:
        noted.add(flaw)
    return Findings(
        file=FILE,
        size=3_600_000,
        free=4_096,
        version=1,
        channels={"price": PRICE, "signals": EMPTY},
        flaws=noted,
    )


def test_a_good_one_is_a_verdict_and_a_table() -> None:
    assert list(as_table(findings())) == [
        "/var/lib/appliance/store.db: good",
        "version 1, 3.6 MB, of which 4.1 kB are free",
        "",
        "CHANNEL  TOPICS  EVENTS    BYTES  OLDEST                    NEWEST                    NOTED",
        "price        20  12,345   2.5 MB  2025-12-17T19:33:20.000Z  2025-12-17T19:34:20.500Z  where, seen (1,234)",
        "signals       1       0  0 bytes  -                         -                         -",
    ]


def test_a_damaged_one_tells_what_is_wrong_and_what_to_do() -> None:
    lines = list(
        as_table(findings("event 2 of price:A is missing", "topic 'a\x1b[2J' is not as it was written"))
    )
    assert lines[:4] == [
        "/var/lib/appliance/store.db: damaged",
        "  event 2 of price:A is missing",
        "  topic 'a\ufffd[2J' is not as it was written",
        "What to do: keep what can be read with `appliance store export`, then",
    ]
    assert lines[4].startswith(
        "stop the appliance, move the file away with those beside it (`cd /var/lib/appliance "
    )


def test_flaws_beyond_the_bound_are_counted() -> None:
    lines = list(as_table(findings(*("flaw" for _ in range(MOST + 1_500)))))
    assert lines.count("  flaw") == MOST
    assert "  … and 1,500 more" in lines


def test_one_of_which_nothing_can_be_read_has_no_table() -> None:
    flaws = Flaws()
    flaws.add("file is not a database")
    found = Findings(file=FILE, size=100, flaws=flaws)
    assert len(list(as_table(found))) == 4
    told = json.loads(as_json(found))
    assert (told["good"], told["version"], told["channels"]) == (False, None, [])


def test_programs_get_the_same_as_json() -> None:
    told = json.loads(as_json(findings("event 2 of price:A is missing")))
    assert told == {
        "file": str(FILE),
        "good": False,
        "version": 1,
        "bytes": 3_600_000,
        "free_bytes": 4_096,
        "channels": [
            {
                "channel": "price",
                "topics": 20,
                "events": 12_345,
                "bytes": 2_469_000,
                "oldest": "2025-12-17T19:33:20.000Z",
                "newest": "2025-12-17T19:34:20.500Z",
                "noted": {"where": 1, "seen": 1_234},
            },
            {
                "channel": "signals",
                "topics": 1,
                "events": 0,
                "bytes": 0,
                "oldest": None,
                "newest": None,
                "noted": {},
            },
        ],
        "flaws": ["event 2 of price:A is missing"],
        "more_flaws": 0,
    }
    assert json.loads(as_json(findings()))["good"] is True


def test_a_time_beyond_all_years_is_told_as_one() -> None:
    odd = Findings(
        file=FILE,
        size=1,
        version=1,
        channels={"price": Contents(oldest=-math.inf, newest=1e300)},
        flaws=Flaws(),
    )
    (channel,) = json.loads(as_json(odd))["channels"]
    assert (channel["oldest"], channel["newest"]) == (None, "9999-12-31T23:59:59.000Z")
