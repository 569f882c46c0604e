from __future__ import annotations

from appliance.runtime.census import Usage
from appliance.runtime.status import Status
from appliance.settings.limits import LimitSettings
from appliance.settings.tree import Settings
from tests.ops.metrics.panel import NO_SAMPLE, Session, panel


async def test_a_reading_is_of_the_moment() -> None:
    status = Status(lambda: NO_SAMPLE)
    sessions = [Session(status.traffic, unaccounted=3)]
    usage = {"tcp://127.0.0.1:1": Usage(1, 1, 2, 2)}
    most = [5]
    instruments = panel(
        status=status,
        sessions=lambda: sessions,
        listeners=lambda: dict(usage),
        settings=lambda: Settings(limits=LimitSettings(sessions=most[0])),
        files=lambda: (most[0], 0),
    )
    before = await instruments.read()
    sessions.clear()
    usage["tcp://127.0.0.1:1"] = Usage(0, 0, 2, 2)
    most[0] = 6
    after = await instruments.read()
    assert (before.census.sessions.total(), after.census.sessions.total()) == (1, 0)
    assert [reading.listeners["tcp://127.0.0.1:1"].connections for reading in (before, after)] == [1, 0]
    assert [reading.settings.limits.sessions for reading in (before, after)] == [5, 6]
    assert [reading.files for reading in (before, after)] == [(5, 0), (6, 0)]
    assert before.store == after.store == instruments.journal.statistics()
    assert before.instruments is instruments


async def test_to_read_has_sessions_account_for_themselves() -> None:
    status = Status(lambda: NO_SAMPLE)
    session = Session(status.traffic, unaccounted=3)
    await panel(status=status, sessions=lambda: [session]).read()
    assert (status.traffic.sent_bytes, session.unaccounted) == (3, 0)
