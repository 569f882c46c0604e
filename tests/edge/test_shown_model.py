"""What readers get who are shown a part: exactly that part, in order and counted without holes, in every dialect.

Whatever comes in, and whoever comes, goes and comes back in which order. Nothing of what is hidden, and nothing of an
event that is withheld, is in a single byte that they are sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.api import Channel, Event, Mode
from appliance.core import chain, places
from appliance.core.conditions import parse
from appliance.core.errors import RequestError
from appliance.core.history import Position, Retention
from appliance.core.outbox import Outbox
from appliance.core.scope import EVERYTHING, Scope
from appliance.core.subscriptions import Joined, Terms
from appliance.core.topics import matches
from appliance.core.views import Filter, Mask
from appliance.dialects import ara, cryptointel, data_ws, eventstream, trading
from appliance.runtime.hub import Hub
from appliance.runtime.sight import Sight
from appliance.runtime.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from appliance.core.events import Entry
    from appliance.core.history import Resumption, Topic
    from appliance.core.places import Place

KEYS = ("a", "b")
NAMES = ("fills:a", "fills:*", "accounts:*", "accounts:a", "price:*", "price:a", "*")
SCOPES = {
    "everything": EVERYTHING,
    "masked": Scope(masks=frozenset({Mask(pattern="*", hide={"note"})})),
    "filtered": Scope(filters=frozenset({Filter("*", parse('account = "A1"'))})),
    "both": Scope(
        masks=frozenset({Mask(pattern="*", keep={"id", "symbol", "size"})}),
        filters=frozenset({Filter("*", parse("size >= 2"))}),
    ),
    "narrow": Scope(
        read=("fills:*",),
        masks=frozenset({Mask(pattern="fills:b", hide={"note"})}),
        filters=frozenset({Filter("fills:a", parse('account = "A2"'))}),
    ),
    "nothing": Scope(filters=frozenset({Filter("*", parse("size > 9"))})),
}
END = b"\n\x00"


@attrs.frozen
class Told:
    """A dialect's way of telling entries, each to be found again in what is sent."""

    teller: Callable[..., Callable[[Entry], bytes]]
    terms: tuple[Hashable, ...] = ()
    of_topic: bool = False

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:
        told = (*self.terms, topic, label) if self.of_topic else self.terms
        tell = self.teller(*told)

        def render(entry: Entry) -> bytes:
            text = tell(entry)
            return text + END if text else b""

        return render

    def gap(self, _topic: Topic, _label: str) -> Callable[[int, int], bytes]:
        return lambda first, last: b"gap %d %d" % (first, last) + END


def _event(form: cryptointel.Form, topic: Topic, label: str) -> Callable[[Entry], bytes]:
    text = cryptointel.update(form, topic, label)
    return lambda entry: eventstream.event(text(entry), "e-1")


DIALECTS = {
    "document": Told(cryptointel.update, (cryptointel.Form.DOCUMENT,), of_topic=True),
    "library": Told(cryptointel.update, (cryptointel.Form.LIBRARY,), of_topic=True),
    "events": Told(_event, (cryptointel.Form.DOCUMENT,), of_topic=True),
    "ara": Told(ara.update, (ara.Kind.PREDICTIONS, "A")),
    "alerts": Told(ara.alert, (ara.AlertConfig(symbols=("A",)),)),
    "trading": Told(trading.update, ("trade", trading.EVERYTHING)),
    "data-ws": Told(lambda: data_ws.row),
}


@attrs.define(eq=False)
class Reader:
    """A session without a socket."""

    scope: Scope
    dialect: str
    hub: Hub
    hasty: bool
    outbox: Outbox = attrs.field(init=False)
    subscriber: Subscriber = attrs.field(init=False)
    starts: dict[Topic, int] = attrs.field(factory=dict)
    got: bytes = b""

    def __attrs_post_init__(self) -> None:
        self.outbox = Outbox(lambda _: None, chain.root(), burst=1_000_000, ordered=self.dialect == "events")
        self.subscriber = Subscriber(
            lambda: Sight(self.hub, self.scope),
            self.outbox,
            clock=lambda: 0.0,
            call_at=lambda _when, _call: None,
            newcomer=lambda joined, _: self._join(joined),
        )

    def subscribe(self, name: str, recover: Callable[[Topic], Resumption | None]) -> list[Joined]:
        joined = self.subscriber.subscribe(name, Terms(DIALECTS[self.dialect]), recover)
        for each in joined:
            self._join(each)
        self.subscriber.catch_up()
        return joined

    def _join(self, joined: Joined) -> None:
        self.starts.setdefault(joined.topic, joined.after)

    def drain(self) -> None:
        self.got += self.outbox.collect()
        while not self.outbox.open:
            self.got += self.outbox.take(200)

    def gone(self) -> tuple[dict[str, Position], Place]:
        self.drain()
        positions = {name: Position(*place) for name, place in self.outbox.positions().items()}
        self.subscriber.leave()
        return positions, self.hub.newest


class Shown(RuleBasedStateMachine):
    """Readers of a hub, and a list of all that was published, from which follows what each of them gets."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.hub = Hub(epoch="e", most_topics=50, most_bytes=1000, most_views=3)
        keep = Retention(count=10_000, age=None, size=10_000_000)
        self.hub.open(Channel(name="fills", mode=Mode.LOG, message="fill", open=True), None, keep)
        self.hub.open(Channel(name="accounts", mode=Mode.LOG, message="m"), None, keep)
        self.hub.open(Channel(name="price", mode=Mode.STATE, message="m", topics=("a",)), None, keep)
        self.events: dict[str, list[Entry]] = {}
        self.readers: list[Reader] = []
        self.left: list[tuple[str, str, str, dict[str, Position], Place]] = []
        self.count = 0

    @rule(
        channel=st.sampled_from(("fills", "accounts", "price")),
        key=st.sampled_from(KEYS),
        account=st.sampled_from(("A1", "A2")),
        times=st.integers(1, 3),
    )
    def publish(self, channel: str, key: str, account: str, times: int) -> None:
        for _ in range(times):
            self.count += 1
            data = {
                "id": f"id-{self.count}-",
                "symbol": "A",
                "account": account,
                "size": self.count % 5,
                "note": f"note-{self.count}-",
                "side": "BUY",
                "quantity": 1,
                "price": 0.1,
            }
            (topic,) = self.hub.publish(Event(channel, key, data, float(self.count)), self.now)
            assert topic.latest is not None
            self.events.setdefault(topic.name, []).append(topic.latest)

    @rule(
        name=st.sampled_from(NAMES),
        scope=st.sampled_from(sorted(SCOPES)),
        dialect=st.sampled_from(sorted(DIALECTS)),
        hasty=st.booleans(),
    )
    def join(self, name: str, scope: str, dialect: str, hasty: bool) -> None:  # noqa: FBT001 - drawn
        self._come(name, scope, dialect, hasty=hasty)

    def _come(
        self,
        name: str,
        scope: str,
        dialect: str,
        *,
        hasty: bool,
        recover: Callable[[Topic], Resumption | None] = lambda _: None,
    ) -> list[Joined] | None:
        reader = Reader(SCOPES[scope], dialect, self.hub, hasty)
        known = set(self.hub.matching("*"))
        try:
            joined = reader.subscribe(name, recover)
        except RequestError as error:
            refused = error.message
        else:
            refused = ""
        if refused:
            reader.subscriber.leave()
            # What is not there is told alike, and asking has brought nothing into being.
            full = [
                f"{topic!r} is read in its most ways, 3 (limits.views)"
                for topic in (*self.events, "price:a", name)
            ]
            assert refused in (f"Channel {name!r} does not exist", f"No channel matches {name!r}", *full)
            assert set(self.hub.matching("*")) == known
            return None
        self.readers.append(reader)
        there = {each.topic.name for each in joined}
        if name.endswith("*"):
            assert there == {
                topic
                for topic in {*self.events, "price:a"}
                if matches(name, topic)
                and reader.scope.covers(topic)
                and (self._shown(reader.scope, topic) or topic == "price:a")
            }
        for each in joined:
            shown = self._shown(reader.scope, each.topic.name)
            assert each.offset == (shown[-1].offset if shown else 0)
        return joined

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        self.readers.remove(reader)
        scope = next(name for name, scope in SCOPES.items() if scope is reader.scope)
        (name,) = [name for name in NAMES if name in reader.subscriber]
        positions, place = reader.gone()
        self._check(reader)
        self.left.append((name, scope, reader.dialect, positions, place))

    @precondition(lambda self: self.left)
    @rule(data=st.data(), by_place=st.booleans())
    def come_back(self, data: Any, by_place: bool) -> None:  # noqa: FBT001 - drawn
        """Whoever comes back misses nothing and gets nothing twice, even where its view was let go of meanwhile."""
        name, scope, dialect, positions, place = data.draw(st.sampled_from(self.left))

        def recover(topic: Topic) -> Resumption | None:
            if topic.name not in positions:
                return None
            shown = place if by_place else positions[topic.name]
            found = places.resume(shown, topic, newest=self.hub.newest)
            assert found.recovered
            assert found.after == positions[topic.name].offset
            return found

        self._come(name, scope, dialect, hasty=False, recover=recover)

    @rule()
    def let_go(self) -> None:
        """Let go of what nobody reads."""
        for _ in range(2):
            self.now += 1000
            self.hub.expire(self.now)
        read = {topic for reader in self.readers for topic in reader.starts}
        assert len(self.hub.gallery) >= len(
            [topic for topic in read if self.hub.gallery.find(topic) is not None]
        )

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def stall(self, data: Any) -> None:
        data.draw(st.sampled_from(self.readers)).outbox.shut()

    @invariant()
    def everybody_gets_its_part(self) -> None:
        for reader in self.readers:
            if reader.hasty:
                reader.drain()
            self._check(reader)

    def teardown(self) -> None:
        for reader in self.readers:
            reader.drain()
            self._check(reader, drained=True)
            reader.subscriber.leave()
        self.let_go()
        assert len(self.hub.gallery) == 0
        super().teardown()

    def _shown(self, scope: Scope, name: str) -> list[Entry]:
        """What follows from all that was published."""
        shown: list[Entry] = []
        for entry in self.events.get(name, ()):
            view = scope.view(name)
            data = view.show(json.loads(entry.body))
            if data is not None:
                body = json.dumps(data, separators=(",", ":")).encode()
                offset = len(shown) + 1 if view.withholds else entry.offset
                shown.append(attrs.evolve(entry, offset=offset, body=body))
        return shown

    def _check(self, reader: Reader, *, drained: bool = False) -> None:
        got = reader.got.split(END)[:-1]
        form = DIALECTS[reader.dialect]
        for name in {*self.events, "price:a"}:
            shown = (
                {entry.body for entry in self._shown(reader.scope, name)}
                if reader.scope.covers(name)
                else set()
            )
            for entry in self.events.get(name, ()):
                data = json.loads(entry.body)
                for field in ("id", "note"):
                    if not any(data[field].encode() in body for body in shown):
                        assert data[field].encode() not in reader.got
        for topic, after in reader.starts.items():
            render = form.update(topic, topic.name)
            texts = [
                render(e)[: -len(END)] for e in self._shown(reader.scope, topic.name) if e.offset > after
            ]
            texts = [text for text in texts if text]
            mine = [text for text in got if text in set(texts)]
            if topic.mode is Mode.LOG:
                assert mine == texts[: len(mine)]
                assert not drained or len(mine) == len(texts)
            elif drained and texts:
                assert texts[-1] in got


TestShown = Shown.TestCase
TestShown.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
