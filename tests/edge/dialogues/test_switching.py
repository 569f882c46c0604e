"""Two dialects on one path: real clients that say anything of either, against the rules in plain words.

The model knows what was published and what each client has said. From that it tells, message by message, what a
client must hear next: each event in the words of the dialect that is its own by then, once, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs
import trio
import trio.testing
import trio_websocket
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from appliance.settings.fields import Seconds
from appliance.settings.tree import HeartbeatSettings, Settings, TradingSettings
from tests.edge.stage import KEY, PATIENCE, Stage, configuration, playing
from tests.stepwise import Stepwise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

Heard: TypeAlias = tuple[Any, ...]
"""A message as far as it counts: whose words it is in, and of what it tells."""
Choice: TypeAlias = tuple[bool, frozenset[str]]
"""All symbols but these, or (False) these."""
Auth: TypeAlias = Literal["required", "optional", "none"]

SYMBOLS = ("AAPL", "MSFT", "BTC")
NAMES = ("price:AAPL", "price:MSFT", "signals:all", "trades:all")
TRADING_CHANNELS = ("price_updates", "signals", "trades", "portfolio")
ALL: Choice = (True, frozenset())
INTERVAL = 4.0
FOR_EVER = Seconds(1e9)
MOST_CLIENTS = 4


# What happens.


@attrs.frozen
class Published:
    """A row of a channel, which its number tells from all others."""

    channel: Literal["price", "signals", "trades", "portfolio"]
    symbol: str


@attrs.frozen
class Said:
    """What a client says, and whose clients say such a thing."""

    whose: Literal["trading", "cryptointel", "both"]
    message: Any

    @property
    def text(self) -> str:
        return self.message if isinstance(self.message, str) else json.dumps(self.message)


def of_trading(kind: str, channel: str, symbols: list[str] | None) -> Said:
    # A portfolio is chosen as a whole here: what of it is told is the dialect's own test's matter.
    named = {} if symbols is None or channel == "portfolio" else {"symbols": symbols}
    return Said("trading", {"type": kind, "channel": channel, **named})


def of_cryptointel(kind: str, names: list[str]) -> Said:
    return Said("cryptointel", {"type": kind, "channels": names})


kinds = st.sampled_from(["subscribe", "subscribe", "unsubscribe"])
rows = st.builds(
    Published, st.sampled_from(["price", "price", "signals", "trades", "portfolio"]), st.sampled_from(SYMBOLS)
)
some_symbols = st.one_of(
    st.none(), st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=2, unique=True).map(sorted)
)
trading_words = st.builds(of_trading, kinds, st.sampled_from(TRADING_CHANNELS), some_symbols)
cryptointel_words = st.one_of(
    st.builds(
        of_cryptointel,
        kinds,
        st.lists(st.sampled_from([*NAMES, "nowhere:x"]), min_size=1, max_size=3, unique=True),
    ),
    st.builds(lambda kind: Said("cryptointel", {"type": kind, "channel": "signals", "params": {}}), kinds),
    st.sampled_from([KEY, KEY, "sk_wrong"]).map(
        lambda token: Said("cryptointel", {"type": "auth", "token": token})
    ),
    st.sampled_from([Said("cryptointel", {"type": "subscribe", "channels": []})]),
)
words_of_both = st.sampled_from(
    [Said("both", {"type": "ping"}), Said("both", {"type": "dance"}), Said("both", "hello")]
)
several_of_trading = st.lists(st.one_of(rows, rows, trading_words, trading_words, words_of_both), max_size=4)
several_of_all = st.lists(st.one_of(rows, trading_words, cryptointel_words, words_of_both), max_size=3)
some_client = st.integers(0, MOST_CLIENTS)
ways = st.sampled_from(["header", "query", "nothing", "nothing", "wrong"])


# What a client must hear.


class Rules:
    """Of one client, by what the spec says of those that share a path."""

    def __init__(self, auth: Auth, way: str, newest: dict[str, int]) -> None:
        self._auth = auth
        self._newest = newest
        self.hears: list[Heard] = []
        self.ended = False
        self.dialect: Literal["trading", "cryptointel"] | None = None
        self._automatic = True
        self._chosen: dict[str, Choice] = {}
        self._names: dict[str, str | None] = {}
        self._untold: dict[str, int] = {}
        if auth != "none" and way == "wrong":
            self.hears.append(("cryptointel", "error"))
            self.ended = True
        elif auth != "required" or way in {"header", "query"}:
            self.dialect = "trading"
            self._choose(dict.fromkeys(TRADING_CHANNELS, ALL))

    # Events.

    def published(self, row: Published, number: int) -> None:
        if self.ended:
            return
        if self.dialect == "cryptointel":
            name = f"price:{row.symbol}" if row.channel == "price" else f"{row.channel}:all"
            if name in self._names:
                self._hear_event(name, number)
        elif self.dialect == "trading":
            channel = "price_updates" if row.channel == "price" else row.channel
            choice = self._chosen.get(channel)
            if choice is None or not admits(choice, row.symbol):
                return
            if channel in {"price_updates", "portfolio"}:
                self._untold[_topic(row)] = number
            else:
                kind = {"signals": "signal", "trades": "trade_executed"}[channel]
                self.hears.append(("trading", kind, row.symbol, number))

    def beat(self) -> None:
        """An interval has passed: those of the trading dialect hear what has changed in it."""
        if self.ended or self.dialect != "trading":
            return
        changed = {topic.removeprefix("price:"): n for topic, n in self._untold.items() if ":" in topic}
        if changed:
            self.hears.append(("trading", "price_update", changed))
        if "portfolio" in self._untold:
            self.hears.append(("trading", "portfolio_update", self._untold["portfolio"]))
        self._untold.clear()

    def _hear_event(self, name: str, number: int) -> None:
        label = self._names[name]
        kinds = {"price": "price_update", "signals": "signal_alert", "trades": "trade"}
        kind = kinds[name.partition(":")[0]] if label is None else "signal_notification"
        self.hears.append(("cryptointel", kind, label or name, number))

    # Messages.

    def said(self, said: Said) -> None:
        message = said.message
        if said.whose == "cryptointel" and self.dialect == "trading":
            self.dialect = "cryptointel"
            self._choose({})
        if isinstance(message, dict) and message["type"] == "auth":
            self._authenticate(message["token"])
        elif self.dialect is None or said.message in ("hello", {"type": "dance"}):
            self.hears.append((self.dialect or "cryptointel", "error"))
        elif message["type"] == "ping":
            self.hears.append(("both", "pong"))
        elif self.dialect == "trading":
            self._select(message["type"], message["channel"], message.get("symbols"))
        elif "channels" in message:
            getattr(self, f"_{message['type']}")(message["channels"])
        else:
            self._speak_as_the_library(message["type"], message["channel"])

    def _authenticate(self, token: str) -> None:
        if self._auth != "none" and token != KEY:
            self.hears.append(("cryptointel", "error"))
            self.ended = True
        else:
            self.dialect = "cryptointel"
            self.hears.append(("cryptointel", "authenticated"))

    def _select(self, kind: str, channel: str, symbols: list[str] | None) -> None:
        chosen = dict(self._chosen)
        if kind == "subscribe":
            if self._automatic:
                chosen.clear()
            self._automatic = False
            chosen[channel] = added(chosen.get(channel), symbols)
        elif channel in chosen:
            left = removed(chosen.pop(channel), symbols)
            if left is not None:
                chosen[channel] = left
        self._choose(chosen)

    def _choose(self, chosen: dict[str, Choice]) -> None:
        """Who reads prices anew is told all of them at the next interval; of what it leaves, nothing more."""
        before, self._chosen = self._chosen, chosen
        for channel, stem in (("price_updates", "price:"), ("portfolio", "portfolio")):
            choice = chosen.get(channel)
            if choice == before.get(channel):
                continue
            for topic in [topic for topic in self._untold if topic.startswith(stem)]:
                del self._untold[topic]
            self._untold |= {
                topic: number
                for topic, number in self._newest.items()
                if choice is not None and topic.startswith(stem) and admits(choice, topic.partition(":")[2])
            }

    def _subscribe(self, names: list[str]) -> None:
        known = [name for name in names if name in NAMES]
        self.hears += [("cryptointel", "error")] * (len(names) - len(known) or not names)
        if known:
            self.hears.append(("cryptointel", "subscribed", *known))
        fresh = [name for name in known if name not in self._names]
        self._names |= dict.fromkeys(known)
        for name in fresh:
            if name in self._newest:
                self._hear_event(name, self._newest[name])

    def _unsubscribe(self, names: list[str]) -> None:
        left = [name for name in names if name in self._names]
        self.hears += [("cryptointel", "error")] * (len(names) - len(left))
        if left:
            self.hears.append(("cryptointel", "unsubscribed", *left))
        for name in left:
            del self._names[name]

    def _speak_as_the_library(self, kind: str, channel: str) -> None:
        """Also what a trading client would mean: whoever has turned is not spoken to as one again."""
        if channel != "signals" or (kind == "unsubscribe" and self._names.get("signals:all") is None):
            self.hears.append(("cryptointel", "error"))
        elif kind == "subscribe":
            self._names["signals:all"] = "signals"
            self.hears.append(("cryptointel", "subscription_success"))
        else:
            del self._names["signals:all"]
            self.hears.append(("cryptointel", "unsubscription_success"))


def admits(choice: Choice, symbol: str) -> bool:
    others, symbols = choice
    return (symbol in symbols) is not others


def added(choice: Choice | None, symbols: list[str] | None) -> Choice:
    if symbols is None:
        return ALL
    if choice is None:
        return False, frozenset(symbols)
    others, named = choice
    return (True, named - {*symbols}) if others else (False, named | {*symbols})


def removed(choice: Choice, symbols: list[str] | None) -> Choice | None:
    others, named = choice
    if symbols is None:
        return None
    if others:
        return True, named | {*symbols}
    left = named - {*symbols}
    return (False, left) if left else None


def _topic(row: Published) -> str:
    return f"price:{row.symbol}" if row.channel == "price" else row.channel


def read(message: dict[str, Any]) -> Heard:
    """Say what a message is, by nothing but itself."""
    match message:
        case {"type": "pong"}:
            return "both", "pong"
        case {"type": "error" | "subscription_error"}:
            return "trading" if isinstance(message.get("error"), str) else "cryptointel", "error"
        case {"type": "price_update", "symbols": symbols}:
            return "trading", "price_update", {symbol: told["price"] for symbol, told in symbols.items()}
        case {"type": "portfolio_update", "data": data}:
            return "trading", "portfolio_update", data["total_pnl"]
        case {"type": "signal" | "trade_executed" as kind, "symbol": symbol, "price": number}:
            return "trading", kind, symbol, number
    return "cryptointel", *read_cryptointel(message)


def read_cryptointel(message: dict[str, Any]) -> Heard:
    match message:
        case {"type": kind, "channel": str(label), "offset": int(), "data": {"price": number}}:
            return kind, label, number
        case {"type": "subscribed", "channels": channels}:
            return "subscribed", *(at["channel"] for at in channels)
        case {"type": "unsubscribed", "channels": names}:
            return "unsubscribed", *names
        case {"type": "authenticated" | "subscription_success" | "unsubscription_success" as kind}:
            return (kind,)
    raise AssertionError(message)


# How it is done.


class Client:
    """A real one, and what it has heard."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.heard: list[Heard] = []
        self.closed: int | None = None
        self._reading = trio.CancelScope()
        self._gone = trio.Event()
        self._socket: trio_websocket.WebSocketConnection

    async def live(
        self, stage: Stage, way: str, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        key = {"header": KEY, "wrong": "sk_wrong"}.get(way)
        target = f"/shared?client_id=x&token={KEY}" if way == "query" else "/shared"
        async with stage.client(key, target=target) as client:
            self._socket = client.socket
            task_status.started()
            with contextlib.suppress(trio_websocket.ConnectionClosed), self._reading:
                while True:
                    self.heard.append(read(json.loads(await self._socket.get_message())))
            if self._socket.closed is not None:
                self.closed = int(self._socket.closed.code)
        self._gone.set()

    async def say(self, text: str) -> None:
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            await self._socket.send_message(text)

    async def go(self) -> None:
        self._reading.cancel()
        await self._gone.wait()

    async def ask(self) -> None:
        """Ask for an answer of its own, which comes behind all that came before; who has ended hears its end."""
        if not self.rules.ended:
            ping = Said("both", {"type": "ping"})
            self.rules.said(ping)
            await self.say(ping.text)

    async def settled(self) -> None:
        """Let it hear all that it must."""
        rules = self.rules
        patience = time.monotonic() + PATIENCE
        while self.closed is None and (rules.ended or answers(self.heard) < answers(rules.hears)):
            assert time.monotonic() < patience, (self.heard, rules.hears)
            await trio.testing.wait_all_tasks_blocked(0.0005)


def answers(heard: list[Heard]) -> int:
    """Count what is told to no one but who asked."""
    return sum(each[1] in {"pong", "error"} for each in heard)


@attrs.frozen
class House:
    """The server, and where its clients live."""

    stage: Stage
    nursery: trio.Nursery

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncIterator[House]:
        async with playing(settings) as stage, trio.open_nursery() as nursery:  # ends with the block
            yield cls(stage, nursery)
            nursery.cancel_scope.cancel()


def shared(auth: Auth) -> Settings:
    return attrs.evolve(
        configuration(
            auth=auth,
            auth_timeout=FOR_EVER,
            heartbeat=HeartbeatSettings(interval=FOR_EVER),
            limits={"messages_per_minute": 10**9, "connections_per_minute": 10**9},
        ),
        trading=TradingSettings(price_interval=Seconds(INTERVAL), portfolio_interval=Seconds(INTERVAL)),
    )


class Switching(RuleBasedStateMachine):
    @initialize(auth=st.sampled_from(["required", "optional", "none"]), way=ways)
    def begin(self, auth: Auth, way: str) -> None:
        self.auth = auth
        self.steps = Stepwise(House.opened(shared(auth)))
        self.house = self.steps.entered
        self.clients: list[Client] = []
        self.newest: dict[str, int] = {}
        self.numbers = iter(range(1, 1_000_000))
        self._come(way)

    @precondition(lambda self: len(self.clients) < MOST_CLIENTS)
    @rule(way=ways)
    def come(self, way: str) -> None:
        self._come(way)

    @precondition(lambda self: self._of_trading())
    @rule(which=some_client, what=several_of_trading)
    def speak_trading(self, which: int, what: list[Published | Said]) -> None:
        clients = self._of_trading()
        self._happen(clients[which % len(clients)], what)

    @precondition(lambda self: self._of_trading())
    @rule(which=some_client, what=st.lists(trading_words, min_size=1, max_size=3), after=rows)
    def choose(self, which: int, what: list[Published | Said], after: Published) -> None:
        clients = self._of_trading()
        self._happen(clients[which % len(clients)], [*what, after])

    @rule(which=some_client, before=st.lists(rows, max_size=1), said=cryptointel_words, after=several_of_all)
    def speak_cryptointel(
        self, which: int, before: list[Published], said: Said, after: list[Published | Said]
    ) -> None:
        self._happen(self.clients[which % len(self.clients)], [*before, said, *after])

    @rule(what=st.lists(rows, min_size=1, max_size=4))
    def publish(self, what: list[Published]) -> None:
        async def act() -> None:
            for each in what:
                self._publish(each)
            await self._settle(self.clients)

        self.steps.do(act)
        self._compare()

    @rule()
    def beat(self) -> None:
        self.steps.jump(INTERVAL)
        for client in self.clients:
            client.rules.beat()

        async def act() -> None:
            await trio.testing.wait_all_tasks_blocked(0.0005)
            await self._settle(self.clients)

        self.steps.do(act)
        for (
            client
        ) in self.clients:  # which of two intervals that end together is told first is nobody's business
            client.heard.sort(key=str)
            client.rules.hears.sort(key=str)
        self._compare()

    @precondition(lambda self: len(self.clients) > 1)
    @rule(which=some_client)
    def go(self, which: int) -> None:
        self.steps.do(self.clients.pop(which % len(self.clients)).go)

    def teardown(self) -> None:
        if not hasattr(self, "steps"):
            return
        try:
            if self.clients:
                self.beat()  # nothing is left over from before a switch
            while self.clients:
                self.steps.do(self.clients.pop().go)
            self.steps.do(self._all_is_let_go)
        finally:
            self.steps.stop()

    def _of_trading(self) -> list[Client]:
        return [client for client in self.clients if client.rules.dialect == "trading"]

    def _come(self, way: str) -> None:
        client = Client(Rules(self.auth, way, self.newest))
        self.clients.append(client)

        async def act() -> None:
            await self.house.nursery.start(client.live, self.house.stage, way)
            await self._settle([client])

        self.steps.do(act)
        self._compare()

    def _happen(self, client: Client, what: list[Published | Said]) -> None:
        """Let things happen one after the other, with nobody waiting for what comes of them."""

        async def act() -> None:
            for each in what:
                if isinstance(each, Published):
                    # What the client has said before is done by then: else who is first would be a matter of luck.
                    await self._settle([client])
                    self._publish(each)
                elif not client.rules.ended and self._is_plain(client, each):
                    client.rules.said(each)
                    await client.say(each.text)
            await self._settle(self.clients)

        self.steps.do(act)
        self._compare()

    def _publish(self, row: Published) -> None:
        number = next(self.numbers)
        stage = self.house.stage
        match row.channel:
            case "price":
                stage.publish("price", row.symbol, price=number)
            case "portfolio":
                stage.publish("portfolio", "paper", positions={}, total_pnl=number)
            case "signals":
                stage.publish("signals", "all", symbol=row.symbol, price=number)
            case "trades":
                stage.publish("trades", "all", symbol=row.symbol, side="BUY", quantity=1, price=number)
        if row.channel in {"price", "portfolio"}:
            self.newest[_topic(row)] = number
        for client in self.clients:
            client.rules.published(row, number)

    def _is_plain(self, client: Client, said: Said) -> bool:
        """Whether what a trading client says has one meaning in the dialect that it has turned from."""
        turned = client.rules.dialect == "cryptointel" and said.whose == "trading"
        return not turned or said.message["channel"] in {"signals", "price_updates"}

    async def _settle(self, clients: Collection[Client]) -> None:
        for client in clients:
            await client.ask()
        for client in clients:
            await client.settled()

    def _compare(self) -> None:
        for client in self.clients:
            assert client.heard == client.rules.hears
            assert client.closed == (1008 if client.rules.ended else None)
            client.heard.clear()
            client.rules.hears.clear()

    async def _all_is_let_go(self) -> None:
        around = self.house.stage.around
        patience = time.monotonic() + PATIENCE
        while around.sessions or len(around.digests):
            assert time.monotonic() < patience
            await trio.testing.wait_all_tasks_blocked(0.0005)


TestSwitching = Switching.TestCase
TestSwitching.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
