"""How long sessions stay."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
from structlog.testing import capture_logs

from appliance.access.certificates import Certificates
from appliance.access.gate import Gate, Peer
from appliance.access.principals import CredentialError, Principal
from appliance.core.entitlements import EVERYTHING, Entitlements
from appliance.core.errors import ErrorCode
from appliance.edge.tenure import Tenures

if TYPE_CHECKING:
    from trio.testing import MockClock

    from appliance.access.principals import Credential

START = 1e9
WARNING = 60.0
NARROW = Entitlements(read=("price:*",))


@attrs.define(eq=False)
class Tenant:
    """A session that notes what is done to it, and when."""

    principal: Principal | None
    peer: Peer = attrs.field(factory=lambda: Peer("192.0.2.1"))
    dialect: str = "cryptointel"
    transport: str = "websocket"
    noted: list[tuple[str, float]] = attrs.field(factory=list)
    ended: trio.Event = attrs.field(factory=trio.Event)
    silent: bool = False

    def _note(self, what: str) -> None:
        self.noted.append((what, int(time.time() - START)))

    def expiring(self, at: float) -> None:
        assert self.principal is not None
        assert at == self.principal.expires
        self._note("expiring")

    def renew(self, principal: Principal) -> None:
        self.principal = principal
        self._note("renewed")

    def silence(self) -> None:
        self.silent = True

    def expel(self, error: CredentialError) -> None:
        assert self.silent
        self._note(error.code)
        self.ended.set()


@attrs.define
class Register:
    """Says what has become of who was let in: by name, else what it was."""

    verdicts: dict[str, Principal | CredentialError] = attrs.field(factory=dict)
    asked: int = 0

    def authenticate(self, credential: Credential, now: float) -> Principal:
        raise NotImplementedError

    def review(self, principal: Principal, now: float) -> Principal | None:
        del now
        self.asked += 1
        found = self.verdicts.get(principal.name, principal)
        if isinstance(found, CredentialError):
            raise found
        return found


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.fixture
async def tenures(
    register: Register, nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> Tenures:
    """Give tenures that are looked after, in a time that jumps."""
    begun = autojump_clock.current_time()
    monkeypatch.setattr("time.time", lambda: START + autojump_clock.current_time() - begun)
    gate = Gate(register, Certificates(()), EVERYTHING)
    made = Tenures(gate=lambda: gate, warning=lambda: WARNING)
    await nursery.start(made.run)
    return made


def tenant(
    tenures: Tenures, *, expires: float | None = None, issued: float | None = None, name: str = "ann"
) -> Tenant:
    principal = Principal(
        name,
        issued=None if issued is None else START + issued,
        expires=None if expires is None else START + expires,
    )
    made = Tenant(principal)
    tenures.begin(made)
    return made


async def test_who_runs_out_is_warned_and_ended(tenures: Tenures, autojump_clock: MockClock) -> None:
    del autojump_clock  # time jumps
    ann, bob = tenant(tenures, expires=100.0), tenant(tenures)
    await trio.sleep(200)
    assert ann.noted == [("expiring", 40), ("EXPIRED_TOKEN", 100)]
    assert bob.noted == []
    assert len(tenures) == 1


async def test_of_a_short_life_a_tenth_is_left_at_the_warning(
    tenures: Tenures, autojump_clock: MockClock
) -> None:
    del autojump_clock  # time jumps
    ann = tenant(tenures, issued=0.0, expires=100.0)
    late = tenant(tenures, expires=10.0)
    await trio.sleep(200)
    assert ann.noted == [("expiring", 90), ("EXPIRED_TOKEN", 100)]
    assert late.noted == [("expiring", 0), ("EXPIRED_TOKEN", 10)]


async def test_who_shows_something_newer_or_leaves_is_not_ended(
    tenures: Tenures, autojump_clock: MockClock
) -> None:
    del autojump_clock  # time jumps
    ann, bob = tenant(tenures, expires=100.0), tenant(tenures, expires=100.0)
    await trio.sleep(50)
    ann.principal = Principal("ann", expires=START + 500)
    tenures.begin(ann)
    tenures.end(bob)
    await trio.sleep(1000)
    assert ann.noted == [("expiring", 40), ("expiring", 440), ("EXPIRED_TOKEN", 500)]
    assert bob.noted == [("expiring", 40)]


async def test_a_review_ends_who_would_not_be_let_in_and_leaves_the_rest(
    tenures: Tenures, autojump_clock: MockClock, register: Register
) -> None:
    del autojump_clock  # time jumps
    ann, bob, carl = (tenant(tenures, name=name) for name in ("ann", "bob", "carl"))
    register.verdicts["ann"] = CredentialError("it is revoked", code=ErrorCode.REVOKED_TOKEN)
    register.verdicts["bob"] = Principal("bob", NARROW, expires=START + 100)
    await trio.sleep(10)
    assert register.asked == 0
    with capture_logs() as log:
        tenures.review()
        await trio.sleep(1)
    assert ann.noted == [("REVOKED_TOKEN", 10)]
    assert [what for what, _ in bob.noted] == ["renewed"]
    assert carl.noted == []
    assert log == [
        {
            "event": "session expelled",
            "log_level": "info",
            "client": "192.0.2.1",
            "principal": "ann",
            "kind": "key",
            "dialect": "cryptointel",
            "transport": "websocket",
            "code": "REVOKED_TOKEN",
            "why": "it is revoked",
        }
    ]
    await trio.sleep(200)
    assert [what for what, _ in bob.noted] == ["renewed", "expiring", "EXPIRED_TOKEN"]


async def test_sessions_of_one_principal_are_asked_about_once(
    tenures: Tenures, autojump_clock: MockClock, register: Register
) -> None:
    del autojump_clock  # time jumps
    shared = Principal("ann")
    tenants = [Tenant(shared) for _ in range(100)]
    for each in tenants:
        tenures.begin(each)
    register.verdicts["ann"] = Principal("ann", NARROW)
    tenures.review()
    await trio.sleep(1)
    assert register.asked == 1
    assert {each.principal for each in tenants} == {Principal("ann", NARROW)}


async def test_a_crowd_that_runs_out_at_once_lets_others_run(
    tenures: Tenures, autojump_clock: MockClock
) -> None:
    del autojump_clock  # time jumps
    crowd = [tenant(tenures, expires=100.0) for _ in range(1000)]
    ended = [0]
    await crowd[0].ended.wait()
    while ended[-1] < len(crowd):  # whenever others have their turn
        ended.append(sum(each.ended.is_set() for each in crowd))
        await trio.lowlevel.checkpoint()
    assert max(after - before for before, after in itertools.pairwise(ended)) <= 50


@pytest.mark.parametrize("runs_out", [False, True])
async def test_all_of_a_crowd_are_silenced_before_the_first_is_ended(
    tenures: Tenures, autojump_clock: MockClock, register: Register, *, runs_out: bool
) -> None:
    del autojump_clock  # time jumps
    crowd = [tenant(tenures, expires=100.0 if runs_out else None) for _ in range(1000)]
    stays = tenant(tenures, name="bob")
    if not runs_out:
        register.verdicts["ann"] = CredentialError("taken back", code=ErrorCode.REVOKED_TOKEN)
        tenures.review()
    await crowd[0].ended.wait()
    assert all(each.silent for each in crowd)
    assert not crowd[-1].ended.is_set()
    tenures.end(crowd[-1])  # it has left by itself
    await crowd[-2].ended.wait()
    await trio.sleep(1)
    assert not crowd[-1].ended.is_set()
    assert not stays.silent


async def test_a_clock_that_is_set_ahead_ends_who_has_run_out(
    tenures: Tenures, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    del autojump_clock  # time jumps
    ann = tenant(tenures, expires=1e6)
    monkeypatch.setattr("time.time", lambda: START + 2e6)
    await trio.sleep(1)
    assert ann.noted == [("EXPIRED_TOKEN", 2_000_000)]
