"""The composition root: builds the parts, owns the nurseries, and says in which order things start and stop.

connections ⊃ flow (listeners, heartbeat, timers, flusher, producers)
"""

from __future__ import annotations

import secrets
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from appliance import broadcast
from appliance.access.entrance import Entrance
from appliance.access.seals import Seal
from appliance.core.errors import StoreError
from appliance.core.topics import Aliases
from appliance.edge import listener
from appliance.edge.admission import Admission
from appliance.edge.connection import Arrival, Reception
from appliance.edge.connection import serve as serve_connection
from appliance.edge.dialogues.cryptointel import STATUS_TOPIC
from appliance.edge.farewell import say_goodbye
from appliance.edge.http import app as http_app
from appliance.edge.http.proxied import Proxied
from appliance.edge.http.publish import Publishing
from appliance.edge.http.server import Server
from appliance.edge.policy import Policy
from appliance.edge.surroundings import Notice, Surroundings
from appliance.edge.tls import Contexts, Refused, Swapped
from appliance.edge.ways import Ways
from appliance.loading.importer import is_plugin
from appliance.ops import memory
from appliance.ops.metrics.exposition import Exposition
from appliance.ops.metrics.instruments import Instruments
from appliance.runtime import census
from appliance.runtime.answers import Answers
from appliance.runtime.digest import Digests
from appliance.runtime.feed import Workshop
from appliance.runtime.flusher import Flusher
from appliance.runtime.heartbeat import Heartbeat
from appliance.runtime.hooks import Hooks
from appliance.runtime.hub import Hub
from appliance.runtime.intake import Intake
from appliance.runtime.journal import Journal
from appliance.runtime.pages import Pages
from appliance.runtime.readiness import Bearings, Phase
from appliance.runtime.relief import Relief
from appliance.runtime.report import Report
from appliance.runtime.roster import Roster
from appliance.runtime.status import Status
from appliance.runtime.timers import Timers
from appliance.runtime.watchman import Watchman
from appliance.runtime.within import Within
from appliance.web.assets import assets

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterable, Iterator

    from appliance.edge.listener import Bound
    from appliance.loading.configured import Configured
    from appliance.runtime.census import Usage
    from appliance.runtime.journal import Store
    from appliance.runtime.readiness import Readiness
    from appliance.runtime.status import Sample
    from appliance.runtime.turnover import Turnover
    from appliance.settings.access import KeySettings
    from appliance.settings.limits import LimitSettings
    from appliance.settings.tree import Settings

_log = structlog.get_logger()

_PULSE = 1.0
"""Seconds between two looks at health, rates and the age of histories."""
_EPOCH_BYTES = 6


class Appliance:
    """Everything that serves, in one process. `run` until `stop`; `reload` in between."""

    def __init__(
        self,
        settings: Settings,
        channels: Iterable[Configured],
        *,
        keys: Iterable[KeySettings],
        sockets: Iterable[Bound],
        contexts: Contexts | None,
        store: Store | StoreError | None = None,
        turnover: Turnover | None = None,
    ) -> None:
        """`store` keeps what is durable, or is why nothing is; without one, nothing outlives the process.

        `turnover` keeps up with plugins that come, change and go; without one, what there is at the start stays.
        """
        store, unusable = (None, str(store)) if isinstance(store, StoreError) else (store, None)
        self._settings = settings
        self._turnover = turnover
        self._bound = tuple(sockets)
        self._policies = tuple(
            Policy(partial(lambda place: self._settings.listen[place], place), self._limits)
            for place in range(len(self._bound))
        )
        self._contexts = contexts
        self._stopping = trio.Event()
        self.hooks = Hooks()
        self.seal = Seal()
        self.entrance = Entrance(settings.auth, keys, self.hooks.authenticate, self._limits)
        self._flusher = Flusher(stalled=lambda: self._settings.limits.stalled)
        self._timers = Timers()
        self._heartbeat = Heartbeat(interval=settings.heartbeat.interval, timeout=settings.heartbeat.timeout)
        self._admission = Admission()
        self._status = Status(self._sample)
        self._hub = Hub(
            epoch=secrets.token_hex(_EPOCH_BYTES),
            most_topics=settings.limits.topics,
            most_views=settings.limits.views,
            later=self._timers.call_in,
            most_bytes=settings.limits.event_bytes,
            store=None if store is None else store.identity,
            number=0 if store is None else store.number,
        )
        aliases = Aliases(settings.aliases)
        self._answers = Answers(self._hub, within=lambda: self._settings.limits.answer)
        self._journal = Journal(
            self._hub, store, most_waiting=lambda: self._settings.store.waiting, unusable=unusable
        )
        self._pages = Pages(
            self._hub, transform=self.hooks.transform, within=lambda: self._settings.limits.answer
        )
        self._workshop = Workshop(
            hub=self._hub,
            journal=self._journal,
            threads=trio.CapacityLimiter(settings.producers.threads),
            most_watched=settings.producers.watch,
            transform=self.hooks.transform,
            most_events=lambda: self._settings.producers.events_per_second,
            settled=self._settled,
        )
        self._watchman = Watchman(
            patience=lambda: self._settings.producers.blocked,
            is_plugin=is_plugin,
        )
        self._roster = Roster(
            self._workshop,
            self._status,
            self._answers,
            self._pages,
            restart=lambda: self._settings.restart,
            producers=lambda: self._settings.producers,
        )
        self._around = Surroundings(
            hub=self._hub,
            flusher=self._flusher,
            timers=self._timers,
            heartbeat=self._heartbeat,
            traffic=self._status.traffic,
            aliases=aliases,
            admission=self._admission,
            digests=Digests(self._hub, clock=trio.current_time, call_at=self._timers.call_at, now=time.time),
            answers=self._answers,
            pages=self._pages,
            gate=lambda: self.entrance.gate,
            settings=lambda: self._settings,
            hooks=self.hooks,
            seal=self.seal,
        )
        self._report = Report(
            status=self._status,
            latency=self._flusher.latency,
            sessions=lambda: self._around.sessions,
            connections=lambda: self._admission.connections,
            settings=lambda: self._settings,
            plugins=lambda: () if turnover is None else turnover.states,
            store=self._journal.statistics,
        )
        own = self._report.channel(STATUS_TOPIC, every=lambda: self._settings.status.every)
        self._configured = (*channels, own)
        self._relief = Relief(
            lambda: (*self._around.sessions, *self._http.exchanges),
            limits=self._limits,
            memory=lambda: memory.look(self._limits().memory),
            trim=memory.trim,
            press=self._admission.press,
        )
        self._bearings = Bearings(
            health=self._status.health,
            store=self._journal.statistics,
            settings=lambda: self._settings,
            pressure=lambda: self._relief.problem,
        )
        self.concerns = self._bearings.concerns
        self.concerns.append(self.entrance.problems)
        self.entrance.tell(self._around.tenures.review)
        self._intake = Intake(
            self._roster.channels,
            hub=self._hub,
            journal=self._journal,
            health=self._status.health,
            aliases=aliases,
            transform=self.hooks.transform,
            settings=lambda: self._settings.publish,
        )
        publishing = Publishing(
            intake=self._intake,
            settings=lambda: self._settings.publish,
            gate=lambda: self.entrance.gate,
            traffic=self._status.traffic,
            admission=self._admission,
        )
        desk = http_app.Desk(
            around=self._around,
            statistics=self._report.statistics,
            socket_status=self._report.socket_status,
            readiness=self.readiness,
            metrics=Exposition(self._instruments(store)).text,
            publishing=publishing,
            assets=assets(),
        )
        self._http = Server(
            Proxied(http_app.make(desk), admission=self._admission, traffic=self._status.traffic),
            keep_alive=settings.limits.keep_alive,
            head_bytes=settings.limits.head_bytes,
            refused=self._status.traffic.refused,
        )
        ways = Ways(settings.paths, trading=settings.trading.enabled)
        self._reception = Reception(around=self._around, http=self._http, ways=ways)

    def quarantined(self, channel: str) -> str | None:
        """Say why a channel's producer was ended for its conduct, if it was."""
        health = self._status.health.get(channel)
        return None if health is None else health.quarantined

    def readiness(self) -> Readiness:
        """Say whether new clients are well served here, and what is wrong."""
        return self._bearings.readiness()

    def stuck(self) -> Iterator[str]:
        """Name the listeners that let nobody in any more, though they should."""
        for bound in () if self._stopping.is_set() else self._bound:
            if reason := bound.pulse.stuck(bound.sock):
                yield f"{bound.address}: {reason}"

    def summary(self) -> str:
        """Say in a line how things are."""
        return self._report.summary()

    def stop(self) -> None:
        """Ask for an orderly end: `run` returns within the deadline."""
        self._bearings.phase = Phase.STOPPING
        self._stopping.set()

    def reload(self, settings: Settings, keys: Iterable[KeySettings]) -> None:
        """Go on with other settings, those that only a start can change being as before."""
        self.entrance.use(settings.auth, keys)
        self._settings = settings
        self._refresh_certificate()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        # `connections` ends when the last has gone, or at the stop's deadline; `flow` when `stop` was asked for and
        # the outboxes are drained.
        async with trio.open_nursery() as connections, trio.open_nursery() as flow:
            doors, sources = trio.CancelScope(), trio.CancelScope()
            await flow.start(self._flusher.run)
            await flow.start(self._timers.run)
            await flow.start(self._watchman.run)
            await flow.start(self._heartbeat.run)
            await flow.start(self._relief.run)
            await flow.start(self._journal.run)
            await flow.start(self.entrance.run)
            await flow.start(self._around.tenures.run)
            await self._intake.take_up()
            await flow.start(self._produce, sources)
            flow.start_soon(self._watch)
            await flow.start(self._listen, doors, connections)
            if not self._stopping.is_set():
                self._bearings.phase = Phase.SERVING
            task_status.started()
            await self._stopping.wait()
            deadline = trio.current_time() + self._settings.stop.deadline
            connections.cancel_scope.deadline = deadline
            doors.cancel()
            sources.cancel()
            await say_goodbye(
                self._reception, self._http, self._settled, stop=self._settings.stop, deadline=deadline
            )
            flow.cancel_scope.cancel()

    async def _listen(
        self,
        scope: trio.CancelScope,
        connections: trio.Nursery,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        try:
            with scope:
                async with trio.open_nursery() as listeners:  # ends when `scope` is cancelled
                    for bound, policy in zip(self._bound, self._policies, strict=True):
                        context = partial(self._context, policy) if bound.address.kind == "tls" else None
                        serve = partial(self._serve, partial(Arrival, policy=policy, context=context))
                        listen = partial(listener.listen, bound.sock, serve, pulse=bound.pulse)
                        await listeners.start(partial(listen, connections=connections))
                    task_status.started()
        finally:
            for bound in self._bound:
                listener.unbind(bound.sock, bound.address, kept=bound.kept)

    async def _serve(self, arrival: Callable[..., Arrival], sock: socket.socket, address: str) -> None:
        await serve_connection(arrival(sock=sock, address=address), self._reception)

    async def _produce(
        self, scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        within = Within(self._intake, self._report.sessions_by_channel)
        with scope, broadcast.inside(within):
            async with trio.open_nursery() as nursery:  # ends when `scope` is cancelled
                await nursery.start(self._roster.run)
                for configured in self._configured:
                    await self._roster.put(configured)
                if self._turnover is not None:
                    await nursery.start(self._turnover.run, self._roster)
                task_status.started()

    async def _settled(self) -> None:
        """Wait until all that was published is told, and handed over."""
        await self._journal.settled()
        await self._flusher.settled()

    async def _watch(self) -> None:
        """Look after what time alone changes: rates, health, old entries, the certificate."""
        checked = looked = trio.current_time()
        self._status.look()
        while True:
            await trio.sleep(_PULSE)
            self._status.look()
            self._hub.expire(time.time())
            elapsed, looked = trio.current_time() - looked, trio.current_time()
            self._notice(self._roster.look(time.time(), elapsed))
            if trio.current_time() - checked >= self._settings.tls.check_every:
                checked = trio.current_time()
                self._refresh_certificate()

    def _notice(self, channels: Iterable[str]) -> None:
        """Tell sessions of channels that have gone stale, or are fresh again."""
        for name in channels:
            health = self._status.health[name]
            notice = Notice(name, stale=health.stale, since=health.last_update or health.opened)
            for session in list(self._around.sessions):
                session.notice(notice)

    def _refresh_certificate(self) -> None:
        if self._contexts is None:
            return
        match self._contexts.refresh():
            case Swapped(fingerprint):
                _log.info("certificate changed", fingerprint=fingerprint)
            case Refused(reason):
                _log.error("certificate refused, the one before stays", reason=reason)

    def _instruments(self, store: Store | None) -> Instruments:
        contexts, turnover = self._contexts, self._turnover
        return Instruments(
            status=self._status,
            flusher=self._flusher,
            relief=self._relief,
            watchman=self._watchman,
            hub=self._hub,
            journal=self._journal,
            intake=self._intake,
            threads=self._workshop.threads,
            sessions=lambda: self._around.sessions,
            listeners=self._usage,
            addresses=lambda: (self._admission.origins, self._admission.most_of_an_origin),
            settings=lambda: self._settings,
            plugins=lambda: () if turnover is None else turnover.states,
            readiness=self.readiness,
            certificate=lambda: None if contexts is None else contexts.current.not_after,
            files=lambda: None if store is None else store.sizes,
        )

    def _usage(self) -> dict[str, Usage]:
        listeners = zip(self._bound, self._policies, strict=True)
        return {str(bound.address): self._admission.usage(policy) for bound, policy in listeners}

    def _context(self, policy: Policy, hello: bytes) -> ssl.SSLContext:
        assert self._contexts is not None  # noqa: S101 - made when any listener speaks TLS
        return self._contexts.current.context_for(policy.client_certificates, hello)

    def _limits(self) -> LimitSettings:
        return self._settings.limits

    def _sample(self) -> Sample:
        return census.sample(self._around.sessions, self._status.traffic, deliveries=self._flusher.deliveries)
