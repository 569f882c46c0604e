"""Every way in, for every kind of principal: let in or refused alike, whichever way it is."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from appliance.access.entrance import Entrance
from appliance.access.kept import KeptKeys
from appliance.access.key_file import KeyFile
from appliance.access.keyring import Ring, Terms
from appliance.access.views import KeptView
from appliance.api import Channel, Grant, Mode, Page, PageQuery, Row, View
from appliance.edge.certificates import ensure
from appliance.edge.tls import Contexts
from appliance.settings.access import (
    AuthSettings,
    CertificateSettings,
    KeySettings,
    ReaderSettings,
    TokenSettings,
)
from appliance.settings.fields import Seconds, Secret
from appliance.settings.views import ViewSettings
from tests.access.certifying import Authority
from tests.access.issuing import SECRET, Issuer, written
from tests.edge import arrivals
from tests.edge.arrivals import ASKING, DATA, NOTHING, READING, TOLD, TURNED_AWAY, Card, Visit
from tests.edge.stage import PATIENCE, UNTRUSTING, configuration, playing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.edge.stage import Stage

INVALID, EXPIRED, UNSHOWN = "INVALID_TOKEN", "EXPIRED_TOKEN", "UNAUTHORIZED"
SEEN: dict[str, Any] = {"read": ("price:*", "predictions:*"), "publish": ("price",)}
"""What a principal may do that gets what it comes for."""
UNSEEN: dict[str, Any] = {"read": ("trades:*",), "publish": ("trades",)}
MASK: dict[str, Any] = {"hide": ("note", "volume", "model_version")}
FILTER: dict[str, Any] = {"topics": ("price:*", "predictions:*"), "only": 'account = "mine"'}
HIDDEN = (arrivals.HIDDEN, str(arrivals.HIDDEN_NUMBER))
WITHHELD = (arrivals.WITHHELD, str(arrivals.WITHHELD_NUMBER))
LIMITED: dict[str, tuple[tuple[dict[str, Any], ...], tuple[str, ...]]] = {
    "masked": ((MASK,), HIDDEN),
    "filtered": ((FILTER,), WITHHELD),
    "masked and filtered": ((MASK, FILTER), HIDDEN + WITHHELD),
}
"""Who is shown a part: its views, and what it never gets."""
SECURED = ("key of the configuration", "certificate", "nobody")
"""Who comes over TLS: what a text lets in does not depend on that."""
ELSEWHERE = ("203.0.113.0/24",)
PAST, FUTURE = (dt.datetime.now(dt.UTC) + dt.timedelta(days=days) for days in (-1, 1))
ISSUERS = {
    "hs": ("HS256", SECRET),
    "rs": ("RS256", "rsa"),
    "es": ("ES256", "p256"),
    "ed": ("EdDSA", "ed25519"),
}
GRANTS = {
    "plugin-good": Grant(name="plugged", **SEEN),
    "plugin-other": Grant(name="plugged", **UNSEEN),
    "plugin-past": Grant(name="plugged", expires=PAST.timestamp(), **SEEN),
    "plugin-far": Grant(name="plugged", addresses=ELSEWHERE, **SEEN),
    "plugin-operator": Grant(name="operator", monitor=True, **SEEN),
    **{
        f"plugin-{name.replace(' ', '-')}": Grant(name=name, views=[View(**view) for view in views], **SEEN)
        for name, (views, _) in LIMITED.items()
    },
}


@attrs.frozen
class Cast:
    """Everybody who comes: for each kind of principal, what it shows and what is to become of that."""

    entrance: Entrance
    contexts: Contexts
    authority: Path
    cards: dict[str, dict[str, tuple[Card, str]]]


def configured() -> tuple[tuple[KeySettings, ...], dict[str, tuple[Card, str]]]:
    entries = (
        KeySettings(name="good", key=Secret("sk_configured-good"), expires=FUTURE, **SEEN),
        KeySettings(name="other", key=Secret("sk_configured-other"), **UNSEEN),
        KeySettings(name="past", key=Secret("sk_configured-past"), expires=PAST, **SEEN),
        KeySettings(name="far", key=Secret("sk_configured-far"), addresses=ELSEWHERE, **SEEN),
        KeySettings(name="operator", key=Secret("sk_configured-operator"), monitor=True, **SEEN),
        *(
            KeySettings(
                name=name,
                key=Secret(f"sk_configured-{name.replace(' ', '-')}"),
                views=tuple(ViewSettings(**view) for view in views),
                **SEEN,
            )
            for name, (views, _) in LIMITED.items()
        ),
    )
    return entries, {
        "monitors": (Card("sk_configured-operator", monitors=True), DATA),
        **{
            name: (Card(f"sk_configured-{name.replace(' ', '-')}", unseen=unseen), DATA)
            for name, (_, unseen) in LIMITED.items()
        },
        "allowed": (Card("sk_configured-good"), DATA),
        "other topic": (Card("sk_configured-other"), NOTHING),
        "expired": (Card("sk_configured-past"), EXPIRED),
        "forbidden address": (Card("sk_configured-far"), INVALID),
        "unknown": (Card("sk_configured-goo"), INVALID),
    }


def kept(folder: Path) -> tuple[KeptKeys, dict[str, tuple[Card, str]]]:
    file = KeyFile(folder / "keys.json")
    wanted: dict[str, dict[str, Any]] = {
        "good": SEEN,
        "other": UNSEEN,
        "past": {"expires": PAST, **SEEN},
        "far": {"addresses": ELSEWHERE, **SEEN},
        "gone": SEEN,
        "operator": {"monitor": True, **SEEN},
        **{
            name: {"views": tuple(KeptView(**view) for view in views), **SEEN}
            for name, (views, _) in LIMITED.items()
        },
    }
    texts = {
        name: file.change(partial(Ring.create, terms=Terms(name=name, **terms), now=PAST)).text
        for name, terms in wanted.items()
    }
    file.change(lambda ring: ring.revoke("gone", PAST))
    return KeptKeys(file), {
        "monitors": (Card(texts["operator"], monitors=True), DATA),
        **{name: (Card(texts[name], unseen=unseen), DATA) for name, (_, unseen) in LIMITED.items()},
        "allowed": (Card(texts["good"]), DATA),
        "other topic": (Card(texts["other"]), NOTHING),
        "expired": (Card(texts["past"]), EXPIRED),
        "forbidden address": (Card(texts["far"]), INVALID),
        "revoked": (Card(texts["gone"]), INVALID),
        "half a key": (Card(texts["good"][:-1] + "?"), INVALID),
    }


def signed(algorithm: str, key: str) -> dict[str, tuple[Card, str]]:
    now = time.time()

    def card(*, unseen: tuple[str, ...] = (), monitors: bool = False, **more: Any) -> Card:
        claims = {"read": ["price:*", "predictions:*"], "publish": ["price"], "aud": "appliance", **more}
        renamed = {
            f"appliance:{name}" if name in _GRANTING else name: value for name, value in claims.items()
        }
        return Card(Issuer(algorithm, key).token(now=now, **renamed), unseen=unseen, monitors=monitors)

    good = card().text or ""
    head, claims, signature = good.split(".")
    return {
        "monitors": (card(monitors=True, monitor=True), DATA),
        **{
            name: (card(unseen=unseen, views=[dict(view) for view in views]), DATA)
            for name, (views, unseen) in LIMITED.items()
            if algorithm == "HS256" or len(views) > 1
        },
        "allowed": (Card(good), DATA),
        "other topic": (card(read="trades:*", publish="trades"), NOTHING),
        "expired": (card(exp=now - 3600), EXPIRED),
        "not yet valid": (card(nbf=now + 3600), INVALID),
        "another audience": (card(aud="other"), INVALID),
        "forbidden address": (card(addresses=list(ELSEWHERE)), INVALID),
        "another's signature": (Card(f"{head}.{claims}.{signature[::-1]}"), INVALID),
        "no signature": (Card(f"eyJhbGciOiJub25lIn0.{claims}.{signature}"), INVALID),
    }


_GRANTING = ("read", "publish", "addresses", "monitor", "views")


def certified(folder: Path) -> tuple[Path, tuple[CertificateSettings, ...], dict[str, tuple[Card, str]]]:
    (folder / "other").mkdir()
    authority, stranger = Authority(folder), Authority(folder / "other")
    entries = (
        CertificateSettings(name="good", subject={"CN": "good-*"}, names=("dns:*.feeds.example",), **SEEN),
        CertificateSettings(name="other", subject={"CN": "other"}, **UNSEEN),
        CertificateSettings(name="far", subject={"CN": "far"}, addresses=ELSEWHERE, **SEEN),
        CertificateSettings(name="operator", subject={"CN": "operator"}, monitor=True, **SEEN),
        *(
            CertificateSettings(
                name=name,
                subject={"CN": name},
                views=tuple(ViewSettings(**view) for view in views),
                **SEEN,
            )
            for name, (views, _) in LIMITED.items()
        ),
    )
    good = (("CN", "good-1"),)
    names = ("dns:one.feeds.example",)
    return (
        authority.file,
        entries,
        {
            "monitors": (Card(certificate=authority.pair(("CN", "operator")), monitors=True), DATA),
            **{
                name: (Card(certificate=authority.pair(("CN", name)), unseen=unseen), DATA)
                for name, (_, unseen) in LIMITED.items()
            },
            "allowed": (Card(certificate=authority.pair(*good, names=names)), DATA),
            "other topic": (Card(certificate=authority.pair(("CN", "other"))), NOTHING),
            "expired": (Card(certificate=authority.pair(*good, names=names, expired=True)), TURNED_AWAY),
            "another authority": (Card(certificate=stranger.pair(*good, names=names)), TURNED_AWAY),
            "forbidden address": (Card(certificate=authority.pair(("CN", "far"))), INVALID),
            "another name": (Card(certificate=authority.pair(*good)), UNSHOWN),
        },
    )


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Cast:
    folder = tmp_path_factory.mktemp("cast")
    keys, of_configuration = configured()
    followed, of_file = kept(folder)
    client_ca, certificates, of_authority = certified(folder)
    tokens = tuple(
        TokenSettings(
            name=name,
            algorithms=(algorithm,),  # type: ignore[arg-type]
            audience=("appliance",),
            publish=("price", "trades"),
            **({"secret": Secret(key)} if name == "hs" else {"public_key_file": written(folder, key)}),
        )
        for name, (algorithm, key) in ISSUERS.items()
    )
    entrance = Entrance(AuthSettings(tokens=tokens, certificates=certificates), keys, GRANTS.get)
    entrance.follow(followed)
    pair = ensure(folder, names=(), valid=86_400.0 * 30, renew_before=86_400.0, now=time.time())
    return Cast(
        entrance,
        Contexts(pair.certificate, pair.key, client_ca),
        pair.certificate,
        {
            "key of the configuration": of_configuration,
            "kept key": of_file,
            **{f"{algorithm} token": signed(algorithm, key) for algorithm, key in ISSUERS.values()},
            "certificate": of_authority,
            "plugin": {
                "allowed": (Card("plugin-good"), DATA),
                "other topic": (Card("plugin-other"), NOTHING),
                "expired": (Card("plugin-past"), EXPIRED),
                "forbidden address": (Card("plugin-far"), INVALID),
                "unknown": (Card("plugin-none"), INVALID),
                "monitors": (Card("plugin-operator", monitors=True), DATA),
                **{
                    name: (Card(f"plugin-{name.replace(' ', '-')}", unseen=unseen), DATA)
                    for name, (_, unseen) in LIMITED.items()
                },
            },
            "nobody": {"nothing shown": (Card(), UNSHOWN)},
        },
    )


PRICES: tuple[dict[str, Any], ...] = (
    {"price": arrivals.WITHHELD_NUMBER, "account": arrivals.WITHHELD},
    {"price": 5, **arrivals.SHOWN},
)
PREDICTIONS: tuple[dict[str, Any], ...] = (
    {"current_price": arrivals.WITHHELD_NUMBER, "account": arrivals.WITHHELD},
    {"current_price": 5.0, "model_version": arrivals.HIDDEN, **arrivals.SHOWN},
)


async def page(_query: PageQuery) -> Page:
    return Page([Row("BTC", dict(price), 5.0) for price in reversed(PRICES)], None)


@contextlib.asynccontextmanager
async def opened(
    cast: Cast, entrance: Entrance, *, secured: bool = True, **listen: Any
) -> AsyncIterator[Stage]:
    """Serve, with a price and a prediction that are there, and trades that go on."""
    asking = cast.contexts.current.context_for("optional")
    # All come at once, and on a busy machine, some wait long for their turn.
    limits = {"messages_per_minute": 60_000, "handshake": Seconds(PATIENCE)}
    settings = configuration(limits=limits, **listen)
    async with playing(settings, tls=(asking, UNTRUSTING) if secured else None, entrance=entrance) as stage:
        for price in PRICES:
            stage.publish("price", "BTC", **price)
        for prediction in PREDICTIONS:
            stage.publish("predictions", "BTC", **prediction, time="2030-01-31T12:00:00Z")
        stage.around.pages.add(Channel(name="price", mode=Mode.STATE, message="price"), page)

        async def trade() -> None:
            while True:
                stage.publish("trades", "all", symbol="BTC", side="BUY", quantity=1, price=5)
                await trio.sleep(0.05)

        stage.nursery.start_soon(trade)
        yield stage


async def outcome(look: Callable[[Visit], Awaitable[str]], visit: Visit) -> str:
    found = ""
    try:
        found = await look(visit)
    except* arrivals.TURNED:
        found = TURNED_AWAY
    return found


async def outcomes(
    cast: Cast, look: Callable[[Visit], Awaitable[str]], translate: Callable[[str, Card], str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Let everybody come this way: what became of each, and what was to become of it."""
    found = dict[str, str]()
    expected = dict[str, str]()

    async def visit(name: str, visit: Visit) -> None:
        expected[name] = visit.expected
        found[name] = await outcome(look, visit)

    async with (
        opened(cast, cast.entrance) as secured,
        opened(cast, cast.entrance, secured=False) as plain,
        trio.open_nursery() as nursery,  # ends with the last of them
    ):
        for kind, cards in cast.cards.items():
            stage = secured if kind in SECURED else plain
            for case, (card, wanted) in cards.items():
                come = Visit(stage, cast.authority, card, translate(wanted, card))
                nursery.start_soon(visit, f"{kind}: {case}", come)
    return found, expected


def as_it_is(wanted: str, _card: Card) -> str:
    return wanted


def as_status(wanted: str, _card: Card) -> str:
    return "401" if wanted in (INVALID, EXPIRED, UNSHOWN) else wanted


@pytest.mark.parametrize("way", READING)
async def test_ways_that_end_with_a_code(cast: Cast, way: str) -> None:
    # Where a client says who it is by a message, one that says nothing is told to; where it cannot, that is the end.
    found, expected = await outcomes(cast, READING[way], as_it_is)
    assert found == expected


@pytest.mark.parametrize("way", ASKING)
async def test_ways_that_answer_with_a_status(cast: Cast, way: str) -> None:
    found, expected = await outcomes(cast, ASKING[way], as_status)
    assert found == expected


@pytest.mark.parametrize("way", TOLD)
async def test_ways_that_tell_whoever_is_let_in(cast: Cast, way: str) -> None:
    def translate(wanted: str, card: Card) -> str:
        if wanted not in (DATA, NOTHING):
            return as_status(wanted, card)
        return "403" if way == "metrics" and not card.monitors else DATA

    found, expected = await outcomes(cast, TOLD[way], translate)
    assert found == expected


async def test_readiness_is_for_all_and_its_reasons_for_who_monitors(cast: Cast) -> None:
    def translate(wanted: str, card: Card) -> str:
        if wanted == TURNED_AWAY:
            return TURNED_AWAY
        return DATA if card.monitors else NOTHING

    found, expected = await outcomes(cast, arrivals.readiness, translate)
    assert found == expected


@pytest.mark.parametrize("auth", ["optional", "none"])
@pytest.mark.parametrize("way", [*READING, *ASKING])
async def test_who_shows_nothing_may_do_what_anonymous_may(cast: Cast, way: str, auth: str) -> None:
    look = (READING | ASKING)[way]
    found = []
    for read in (SEEN["read"], UNSEEN["read"]):
        auth_settings = AuthSettings(anonymous=ReaderSettings(read=read))
        async with opened(cast, Entrance(auth_settings, (), GRANTS.get), auth=auth) as stage:
            expected = DATA if read == SEEN["read"] else NOTHING
            found.append(await outcome(look, Visit(stage, cast.authority, Card(), expected)))
    # Whoever publishes shows who it is, wherever that is.
    assert found == (["401", "401"] if way == "publish" else [DATA, NOTHING])


@pytest.mark.parametrize("way", [*READING, *ASKING])
async def test_who_shows_nothing_is_shown_what_anonymous_is(cast: Cast, way: str) -> None:
    look = (READING | ASKING)[way]
    found = []
    for views, unseen in LIMITED.values():
        shown = tuple(ViewSettings(**view) for view in views)
        auth_settings = AuthSettings(anonymous=ReaderSettings(read=SEEN["read"], views=shown))
        async with opened(cast, Entrance(auth_settings, (), GRANTS.get), auth="optional") as stage:
            found.append(await outcome(look, Visit(stage, cast.authority, Card(unseen=unseen), DATA)))
    assert found == ["401" if way == "publish" else DATA] * len(LIMITED)


@pytest.mark.parametrize("way", [*READING, *ASKING])
async def test_who_shows_what_is_wrong_is_refused_where_nothing_need_be_shown(cast: Cast, way: str) -> None:
    look = (READING | ASKING)[way]
    async with opened(cast, cast.entrance, auth="optional") as stage:
        wanted = INVALID if way in READING else "401"
        found = await outcome(look, Visit(stage, cast.authority, Card("sk_wrong"), wanted))
    assert found == wanted
