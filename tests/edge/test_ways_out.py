"""Every way out, for every kind of principal: sessions end, or go on otherwise, when what has let them in does."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest

from appliance.access import secret_text
from appliance.access.entrance import Entrance
from appliance.access.kept import KeptKeys
from appliance.access.key_file import KeyFile
from appliance.access.keyring import Ring, Terms
from appliance.access.revocations import Revocation
from appliance.access.revoked import RevocationFile, Revoked
from appliance.access.views import KeptView
from appliance.edge.certificates import ensure
from appliance.edge.tls import Contexts
from appliance.settings.access import AuthSettings, CertificateSettings, KeySettings, TokenSettings
from appliance.settings.fields import Seconds, Secret
from appliance.settings.views import ViewSettings
from tests.access.certifying import Authority
from tests.access.issuing import SECRET, Issuer
from tests.edge.guests import LONG, TALKING, WARNED, WAYS, Card, Guest, Visit
from tests.edge.stage import UNTRUSTING, Stage, configuration, playing, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path
    from typing import TypeAlias

    Served: TypeAlias = tuple[Contexts, Path]
    """Contexts of the server, and the certificate that clients trust."""

KINDS = ("token", "kept key", "configuration key", "certificate")
DAY = 86_400.0
ALL = ("price:*", "predictions:*", "signals:*", "trades:*")
SOME = ("price:BTC", "predictions:BTC", "signals:*", "trades:*")
NAMES = dict(zip(KINDS, ("own/ann", "kept", "configured", "certified"), strict=True))


class House:
    """What lets in somebody of each kind, whose credentials all run out in a day."""

    def __init__(self, folder: Path, clock: Clock, pair: Path) -> None:
        self.clock = clock
        self.read: tuple[str, ...] = ALL
        self.views: tuple[ViewSettings, ...] = ()
        self.gone = False
        self.made, self.newer = secret_text.make(), secret_text.make()
        self.keys = KeyFile(folder / "keys.json")
        self.revocations = RevocationFile(folder / "revocations.json")
        self.began = time.time()
        self.ends = self.began + DAY
        expires = dt.datetime.fromtimestamp(self.ends, dt.UTC)
        now = dt.datetime.fromtimestamp(self.began, dt.UTC)
        terms = Terms(name="kept", expires=expires, read=self.read)
        kept = self.keys.change(lambda ring: ring.create(terms, now))
        self.ids = dict(zip(KINDS, ("jti-1", kept.id, self.made.id, pair.stem), strict=True))
        self.cards = {
            "token": Card(self.token(jti="jti-1")),
            "kept key": Card(kept.text),
            "configuration key": Card(self.made.text),
            "certificate": Card(certificate=pair),
        }
        self.entrance = Entrance(*self.settings(), lambda _: None)
        self.kept = KeptKeys(self.keys)
        self.entrance.follow(self.kept, Revoked(self.revocations))

    def token(self, **claims: Any) -> str:
        return Issuer().token(now=self.began, **{"iat": self.began, "exp": self.ends, **claims})

    def settings(self) -> tuple[AuthSettings, tuple[KeySettings, ...]]:
        """Give what the configuration says of them, if it says anything."""
        if self.gone:
            return AuthSettings(), ()
        expires = dt.datetime.fromtimestamp(self.ends, dt.UTC)
        granted: dict[str, Any] = {"read": self.read, "views": self.views}
        own = TokenSettings(
            name="own", algorithms=("HS256",), secret=Secret(SECRET), leeway=Seconds(0), **granted
        )
        certified = CertificateSettings(name="certified", subject={"CN": "guest"}, **granted)
        keys = (
            KeySettings(name="configured", key=Secret(self.made.text), expires=expires, **granted),
            KeySettings(name="configured", key=Secret(self.newer.text), **granted),
            KeySettings(name="stranger", key=Secret("sk_stranger")),
        )
        return AuthSettings(tokens=(own,), certificates=(certified,)), keys

    def allow(self, read: tuple[str, ...], *, hide: tuple[str, ...] = ()) -> None:
        """Let all of them read something else from now on, without some fields."""
        self.read = read
        self.views = (ViewSettings(hide=hide),) if hide else ()
        granted = {"read": read, "views": (KeptView(hide=hide),) if hide else ()}

        def change(ring: Ring) -> tuple[Ring, None]:
            return Ring(keys=tuple(msgspec.structs.replace(key, **granted) for key in ring.keys)), None

        self.keys.change(change)
        self.entrance.use(*self.settings())

    def take_back(self, *entries: dict[str, Any]) -> None:
        now = dt.datetime.now(dt.UTC)
        for entry in entries:
            revocation = Revocation(made=now, **entry)
            self.revocations.change(lambda before: (before.add(revocation), None))  # noqa: B023 - called at once


@attrs.define
class Clock:
    """The system's clock, which may be ahead of the time."""

    ahead: float = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found, real = Clock(), time.time
    monkeypatch.setattr("time.time", lambda: real() + found.ahead)
    return found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Path:
    return authority.pair(("CN", "guest"))


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> tuple[Contexts, Path]:
    own = ensure(tmp_path_factory.mktemp("own"), names=(), valid=30 * DAY, renew_before=DAY, now=time.time())
    return Contexts(own.certificate, own.key, authority.file), own.certificate


@pytest.fixture
def house(tmp_path: Path, clock: Clock, pair: Path) -> House:
    return House(tmp_path, clock, pair)


@attrs.frozen
class Party:
    """Guests of each kind on each way."""

    stage: Stage
    house: House
    guests: dict[tuple[str, str], Guest]

    def all(self, kinds: Iterable[str] = KINDS, ways: Iterable[str] = WAYS) -> list[Guest]:
        return [self.guests[kind, way] for kind in kinds for way in ways]

    async def until_ended(self, guests: Iterable[Guest]) -> None:
        waited = list(guests)
        await until(lambda: all(guest.ended is not None for guest in waited))

    @property
    def reads(self) -> set[tuple[str, ...]]:
        """What those who are there may read, as the server knows it."""
        sessions: set[Any] = {*self.stage.around.sessions}
        return {session.principal.entitlements.read for session in sessions}

    def price(self, symbol: str, price: float) -> None:
        self.stage.publish("price", symbol, price=price)


@contextlib.asynccontextmanager
async def party(house: House, contexts: Served, ways: Iterable[str] = WAYS) -> AsyncIterator[Party]:
    settings = configuration(limits={"wait": Seconds(LONG), "messages_per_minute": 60_000})
    made, own = contexts
    asking = made.current.context_for("optional")
    async with playing(settings, tls=(asking, UNTRUSTING), entrance=house.entrance) as stage:
        for symbol in ("BTC", "ETH"):
            stage.publish("price", symbol, price=5)
            stage.publish("predictions", symbol, current_price=5.0, time="2030-01-31T12:00:00Z")
        guests = {
            (kind, way): Guest(Visit(stage, own, house.cards[kind], ""), way)
            for kind in KINDS
            for way in ways
        }
        await stage.nursery.start(house.entrance.run)
        for guest in guests.values():
            stage.nursery.start_soon(guest.stay)
        await until(lambda: all(guest.ready for guest in guests.values()))
        await until(lambda: len(stage.around.sessions) == len(guests))
        yield Party(stage, house, guests)
    assert len(stage.around.tenures) == 0


def parting(code: str, words: str) -> dict[str, tuple[str | None, str]]:
    """Say for each way what its guests are told at the end, and how that is."""
    closed, status = f"1008 {code}", f"401 Unauthorized: {words}"
    return {
        **dict.fromkeys(("document", "shared", "library"), (code, closed)),
        **dict.fromkeys(("trading", "ara"), (words, closed)),
        "data-ws": (None, closed),
        "SSE": (code, "end"),
        "poll": (None, status),
    }


def last_words(guest: Guest) -> tuple[str | None, str | None]:
    errors = guest.of("error")
    if not errors:
        return None, guest.ended
    said = errors[-1].get("error") or errors[-1].get("data") or errors[-1]["message"]
    return said["code"] if isinstance(said, dict) else said, guest.ended


EXPIRED = parting("EXPIRED_TOKEN", "the credential has expired")
REVOKED = parting("REVOKED_TOKEN", "the credential has been taken back")


def check_partings(guests: Iterable[Guest], expected: dict[str, tuple[str | None, str]]) -> None:
    assert [(guest.way, *last_words(guest)) for guest in guests] == [
        (guest.way, *expected[guest.way]) for guest in guests
    ]


async def test_who_runs_out_is_warned_and_then_ended(house: House, contexts: Served) -> None:
    async with party(house, contexts) as held:
        house.clock.ahead = house.ends - time.time() - 30
        await until(lambda: all(guest.of("expiring") for guest in held.all(ways=WARNED)))
        for guest in held.all():
            warnings = guest.of("expiring")
            assert len(warnings) == (guest.way in WARNED)
            for told in warnings:
                content = told.get("data", told)
                assert 0 < content["seconds"] <= 30
                assert content["expires"].endswith("Z")
        assert all(guest.ended is None for guest in held.all())
        house.clock.ahead += 31
        await held.until_ended(held.all())
        check_partings(held.all(), EXPIRED)


async def test_who_shows_a_newer_credential_stays(house: House, contexts: Served) -> None:
    def rotate(ring: Ring) -> tuple[Ring, secret_text.Made]:
        now = dt.datetime.fromtimestamp(house.began, dt.UTC)
        return ring.rotate("kept", now, overlap=dt.timedelta(days=2), expires=now + dt.timedelta(days=3))

    newer = {
        "token": house.token(exp=house.ends + DAY),
        "kept key": house.keys.change(rotate).text,
        "configuration key": house.newer.text,
    }
    house.kept.look()
    async with party(house, contexts, TALKING) as held:
        staying = held.all(newer, TALKING)
        for (kind, _), guest in held.guests.items():
            await guest.say(type="auth", token="sk_stranger")
            await until(lambda: bool(guest.of("error")))  # noqa: B023 - it is waited for here
            if kind in newer:
                await guest.say(type="auth", token=newer[kind])
        await until(lambda: all(guest.of("authenticated")[-1:] for guest in staying))
        for guest in held.all(ways=TALKING):
            said = guest.of("error")[-1]
            assert (said.get("error") or said["data"])["code"] == "UNAUTHORIZED"
        house.clock.ahead = DAY + 60
        await held.until_ended(held.all(["certificate"], TALKING))
        check_partings(held.all(["certificate"], TALKING), EXPIRED)
        held.price("BTC", 6)
        await until(lambda: all(_prices(guest)[-1:] == [6] for guest in staying))
        assert all(guest.ended is None for guest in staying)


def _prices(guest: Guest, symbol: str = "BTC") -> list[float]:
    updates = [update for update in guest.of("price_update") if "symbols" not in update]
    return [
        update["data"]["price"] for update in updates if symbol in (update.get("topic") or update["channel"])
    ]


@pytest.mark.parametrize("by", ["id", "principal", "issued before"])
async def test_who_is_revoked_is_ended_and_others_are_not(house: House, contexts: Served, by: str) -> None:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    entries: dict[str, list[dict[str, Any]]] = {
        "id": [{"id": house.ids[kind]} for kind in KINDS],
        "principal": [{"principal": name, "issued_before": moment} for name in NAMES.values()],
        "issued before": [{"issued_before": moment}],
    }
    hit = ["token"] if by == "issued before" else KINDS[:2]
    async with party(house, contexts) as held:
        house.take_back(*entries[by][: len(hit)])
        await held.until_ended(held.all(hit))
        check_partings(held.all(hit), REVOKED)
        spared = held.all([kind for kind in KINDS if kind not in hit])
        held.price("BTC", 6)
        await until(
            lambda: all(_prices(guest)[-1:] == [6] for guest in spared if guest.way in ("document", "SSE"))
        )
        assert [last_words(guest) for guest in spared] == [(None, None)] * len(spared)
        if by != "issued before":
            house.take_back(*entries[by][len(hit) :])
            await held.until_ended(held.all())
            check_partings(held.all(), REVOKED)


async def test_who_is_known_no_longer_is_ended(house: House, contexts: Served) -> None:
    async with party(house, contexts) as held:
        house.keys.path.unlink()
        house.gone = True
        house.entrance.use(*house.settings())
        await held.until_ended(held.all())
        check_partings(held.all(), REVOKED)


async def test_a_key_that_was_rotated_works_on_for_the_overlap(house: House, contexts: Served) -> None:
    def rotate(ring: Ring) -> tuple[Ring, secret_text.Made]:
        now = dt.datetime.fromtimestamp(house.began, dt.UTC)
        return ring.rotate("kept", now, overlap=dt.timedelta(hours=1), expires=None)

    async with party(house, contexts) as held:
        house.keys.change(rotate)
        held.price("BTC", 6)
        await until(lambda: _prices(held.guests["kept key", "document"])[-1:] == [6])
        assert all(guest.ended is None for guest in held.all())
        house.clock.ahead = 3601
        await held.until_ended(held.all(["kept key"]))
        check_partings(held.all(["kept key"]), EXPIRED)
        assert all(guest.ended is None for guest in held.all([kind for kind in KINDS if kind != "kept key"]))


async def test_who_may_read_less_is_told_and_goes_on_with_the_rest(house: House, contexts: Served) -> None:
    async with party(house, contexts) as held:
        house.allow(("price:ETH", "trades:*"))
        ended = held.all(ways=("data-ws", "poll"))
        await held.until_ended(ended)
        assert {guest.ended for guest in ended} == {
            "1008 Channel 'predictions:BTC' does not exist",
            "404 Channel 'signals:all' does not exist",
        }
        telling = held.all(ways=("document", "shared", "library", "SSE"))
        await until(lambda: all(_lost(guest) for guest in telling))
        for guest in telling:
            assert _lost(guest)[0] == "price:BTC" or _lost(guest) == ["signals:all", "price:BTC"]
        for guest in held.all(ways=["ara"]):
            await until(lambda: bool(guest.of("error")))  # noqa: B023 - it is waited for here
            assert guest.of("error")[-1]["message"] == "Unknown symbol: BTC"
        await until(lambda: held.reads == {("price:ETH", "trades:*")})
        held.price("BTC", 6)
        held.price("ETH", 7)
        await until(lambda: all(_prices(guest, "ETH")[-1:] == [7] for guest in telling))
        trading = held.all(ways=["trading"])
        await until(lambda: all(_symbols(guest).get("ETH") == 7 for guest in trading))
        assert {_symbols(guest)["BTC"] for guest in trading} == {5}
        assert {price for guest in telling for price in _prices(guest)} == {5}


def _lost(guest: Guest) -> list[str]:
    told = [*guest.of("unsubscribed"), *guest.of("unsubscription_success")]
    contents = [message.get("data", message) for message in told]
    assert all(content["reason"] == "UNAUTHORIZED" for content in contents)
    return [name for content in contents for name in content["channels"]]


def _symbols(guest: Guest) -> dict[str, float]:
    """Give the newest price of each symbol, as a trading client was told it."""
    found: dict[str, float] = {}
    for update in guest.of("price_update"):
        found |= {symbol: told["price"] for symbol, told in update["symbols"].items()}
    return found


async def test_who_may_read_more_has_it_under_its_patterns(house: House, contexts: Served) -> None:
    house.allow(SOME)
    house.kept.look()
    ways = ("document", "library", "shared", "trading", "SSE")
    async with party(house, contexts, ways) as held:
        assert all(_prices(guest, "ETH") == [] for guest in held.all(ways=WARNED))
        house.allow(ALL)
        await until(lambda: all(_prices(guest, "ETH") == [5] for guest in held.all(ways=WARNED)))
        await until(lambda: all("ETH" in _symbols(guest) for guest in held.all(ways=["trading"])))
        held.price("ETH", 7)
        await until(lambda: all(_prices(guest, "ETH") == [5, 7] for guest in held.all(ways=WARNED)))
        assert all(_prices(guest) == [5] for guest in held.all(ways=WARNED))


async def test_who_is_shown_less_is_so_from_then_on(house: House, contexts: Served) -> None:
    ways = ("document", "library", "shared", "SSE")
    async with party(house, contexts, ways) as held:
        held.stage.publish("price", "BTC", price=6, note="shown")
        await until(lambda: all(_prices(guest)[-1:] == [6] for guest in held.all(ways=ways)))
        assert all(guest.of("price_update")[-1]["data"]["note"] == "shown" for guest in held.all(ways=ways))
        house.allow(ALL, hide=("note",))
        heard = {guest: len(guest.told) for guest in held.all(ways=ways)}
        await until(lambda: all(len(guest.told) > count for guest, count in heard.items()))
        held.stage.publish("price", "BTC", price=7, note="hidden")
        await until(lambda: all(_prices(guest)[-1:] == [7] for guest in held.all(ways=ways)))
        assert all("hidden" not in str(guest.told) for guest in held.all(ways=ways))
        assert all(guest.ended is None for guest in held.all(ways=ways))


async def test_who_comes_back_is_refused_as_ever(house: House, contexts: Served) -> None:
    async with party(house, contexts, ["document"]) as held:
        house.take_back(*({"id": identifier} for identifier in house.ids.values()))
        await held.until_ended(held.all(ways=["document"]))
        path = "/api/v1/topics/price:BTC/latest"
        for guest in held.all(ways=["document"]):
            assert (await guest.visit.ask(path))[0] == 401
