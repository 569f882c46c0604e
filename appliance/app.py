"""The composition root: builds the parts, owns the nurseries, and says in which order things start and stop.

connections ⊃ flow (listeners, heartbeat, timers, flusher, producers)
"""

from __future__ import annotations

import random
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from appliance import broadcast
from appliance.access.keys import Keys
from appliance.access.plugged import Plugged
from appliance.access.principals import Chain
from appliance.api import Channel, Feed, Mode, NoSettings
from appliance.core.errors import ErrorCode
from appliance.core.history import Retention
from appliance.core.topics import Aliases
from appliance.edge import listener
from appliance.edge.admission import Admission
from appliance.edge.connection import Arrival, Reception
from appliance.edge.connection import serve as serve_connection
from appliance.edge.dialogues.cryptointel import STATUS_TOPIC
from appliance.edge.http import app as http_app
from appliance.edge.http.publish import Publishing
from appliance.edge.http.server import Server
from appliance.edge.policy import Policy
from appliance.edge.session import RESTART
from appliance.edge.surroundings import Ending, Notice, Surroundings
from appliance.edge.tls import Contexts, Refused, Swapped
from appliance.edge.ways import Ways
from appliance.loading.configured import Configured
from appliance.loading.importer import is_plugin
from appliance.runtime.answers import Answers
from appliance.runtime.digest import Digests
from appliance.runtime.feed import Workshop
from appliance.runtime.flusher import Flusher
from appliance.runtime.heartbeat import Heartbeat
from appliance.runtime.hooks import Hooks
from appliance.runtime.hub import Hub
from appliance.runtime.intake import Intake
from appliance.runtime.report import Report
from appliance.runtime.roster import Roster
from appliance.runtime.status import Sample, Status
from appliance.runtime.timers import Timers
from appliance.runtime.watchman import Watchman
from appliance.runtime.within import Within
from appliance.web.assets import assets

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterable

    from appliance.access.principals import Authenticator
    from appliance.runtime.turnover import Turnover
    from appliance.settings.address import Address
    from appliance.settings.tree import KeySettings, LimitSettings, ListenSettings, Settings

_log = structlog.get_logger()

_PULSE = 1.0
"""Seconds between two looks at health, rates and the age of histories."""
_DRAINED_BY = 0.6
"""Share of the stop's deadline after which sessions are closed even though some are owed events."""
_EPOCH_BYTES = 6
_LOOK_AGAIN = 0.02
"""Seconds between two looks at whether the last session has gone, while stopping."""


@attrs.frozen
class Bound:
    """A listener whose socket is open."""

    address: Address
    sock: socket.socket


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
        turnover: Turnover | None = None,
    ) -> None:
        """`turnover` keeps up with plugins that come, change and go; without one, what there is at the start stays."""
        self._settings = settings
        self._turnover = turnover
        self._bound = tuple(sockets)
        self._contexts = contexts
        self._stopping = trio.Event()
        self.hooks = Hooks()
        self._authenticator = self._authenticating(keys)
        self._flusher = Flusher(stalled=lambda: self._settings.limits.stalled)
        self._timers = Timers()
        self._heartbeat = Heartbeat(interval=settings.heartbeat.interval, timeout=settings.heartbeat.timeout)
        self._admission = Admission()
        self._status = Status(self._sample)
        self._hub = Hub(
            epoch=secrets.token_hex(_EPOCH_BYTES),
            most_topics=settings.limits.topics,
            most_bytes=settings.limits.event_bytes,
        )
        aliases = Aliases(settings.aliases)
        self._answers = Answers(self._hub, within=lambda: self._settings.limits.answer)
        self._workshop = Workshop(
            hub=self._hub,
            threads=trio.CapacityLimiter(settings.producers.threads),
            most_watched=settings.producers.watch,
            transform=self.hooks.transform,
            most_events=lambda: self._settings.producers.events_per_second,
        )
        self._watchman = Watchman(
            patience=lambda: self._settings.producers.blocked,
            is_plugin=is_plugin,
        )
        self._roster = Roster(
            self._workshop,
            self._status,
            self._answers,
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
            authenticator=lambda: self._authenticator,
            settings=lambda: self._settings,
            hooks=self.hooks,
        )
        self._report = Report(
            status=self._status,
            latency=self._flusher.latency,
            sessions=lambda: self._around.sessions,
            connections=lambda: self._admission.connections,
            settings=lambda: self._settings,
            plugins=lambda: () if turnover is None else turnover.states,
        )
        self._configured = (*channels, self._system())
        self._intake = Intake(
            self._roster.channels,
            hub=self._hub,
            health=self._status.health,
            aliases=aliases,
            transform=self.hooks.transform,
            settings=lambda: self._settings.publish,
        )
        publishing = Publishing(
            intake=self._intake,
            settings=lambda: self._settings.publish,
            authenticator=lambda: self._authenticator,
            traffic=self._status.traffic,
            admission=self._admission,
        )
        desk = http_app.Desk(
            around=self._around,
            statistics=self._report.statistics,
            socket_status=self._report.socket_status,
            publishing=publishing,
            assets=assets(),
        )
        self._http = Server(
            http_app.make(desk),
            keep_alive=settings.limits.keep_alive,
            head_bytes=settings.limits.head_bytes,
        )
        ways = Ways(settings.paths, trading=settings.trading.enabled)
        self._reception = Reception(around=self._around, http=self._http, ways=ways)

    def quarantined(self, channel: str) -> str | None:
        """Say why a channel's producer was ended for its conduct, if it was."""
        health = self._status.health.get(channel)
        return None if health is None else health.quarantined

    def stop(self) -> None:
        """Ask for an orderly end: `run` returns within the deadline."""
        self._stopping.set()

    def reload(self, settings: Settings, keys: Iterable[KeySettings]) -> None:
        """Go on with other settings, those that only a start can change being as before."""
        self._authenticator = self._authenticating(keys)
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
            await flow.start(self._produce, sources)
            flow.start_soon(self._watch)
            await flow.start(self._listen, doors, connections)
            task_status.started()
            await self._stopping.wait()
            deadline = trio.current_time() + self._settings.stop.deadline
            connections.cancel_scope.deadline = deadline
            doors.cancel()
            sources.cancel()
            await self._say_goodbye(deadline)
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
                    for place, bound in enumerate(self._bound):
                        policy = Policy(partial(self._listener_settings, place), self._limits)
                        context = self._context if bound.address.kind == "tls" else None
                        serve = partial(self._serve, policy, context)
                        await listeners.start(
                            partial(listener.listen, bound.sock, serve, connections=connections)
                        )
                    task_status.started()
        finally:
            for bound in self._bound:
                listener.unbind(bound.sock, bound.address)

    async def _serve(
        self, policy: Policy, context: Callable[[], ssl.SSLContext] | None, sock: socket.socket, address: str
    ) -> None:
        if not self._admission.connect(policy):
            self._status.traffic.errors["too_many_connections"] += 1
            return
        try:
            arrival = Arrival(sock=sock, address=address, policy=policy, context=context)
            await serve_connection(arrival, self._reception)
        finally:
            self._admission.disconnect(policy)

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

    async def _say_goodbye(self, deadline: float) -> None:
        """Hand over what clients are owed, then close each with a hint when to come back."""
        stop = self._settings.stop
        with trio.move_on_after(stop.deadline * _DRAINED_BY):
            await self._flusher.settled()
        for session in list(self._around.sessions):
            wait = random.random() * stop.retry  # noqa: S311 - to spread clients, no secret
            session.end(Ending(RESTART, ErrorCode.SERVER_RESTART, wait))
        await self._http.stop()
        for scope in list(self._reception.arriving):
            scope.cancel()
        with trio.move_on_at(deadline):
            while self._around.sessions:  # noqa: ASYNC110 - once in the process's life
                await trio.sleep(_LOOK_AGAIN)

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

    def _system(self) -> Configured:
        """Make the channel that tells of the appliance itself."""
        name, _, key = STATUS_TOPIC.partition(":")

        async def produce(feed: Feed, _settings: object) -> None:
            async for _ in feed.every(self._settings.status.every):
                await feed.publish(self._report.system_status(), key=key)

        channel = Channel(name=name, mode=Mode.STATE, message="system_status", produce=produce, topics=(key,))
        return Configured(channel, NoSettings(), Retention(count=100, age=None, size=65_536), None)

    def _authenticating(self, keys: Iterable[KeySettings]) -> Authenticator:
        """Know the keys of the configuration, and what plugins know."""
        return Chain((Keys(keys), Plugged(self.hooks.authenticate)))

    def _context(self) -> ssl.SSLContext:
        assert self._contexts is not None  # noqa: S101 - made when any listener speaks TLS
        return self._contexts.current.context

    def _listener_settings(self, place: int) -> ListenSettings:
        return self._settings.listen[place]

    def _limits(self) -> LimitSettings:
        return self._settings.limits

    def _sample(self) -> Sample:
        traffic, sessions = self._status.traffic, self._around.sessions
        return Sample(
            at=time.monotonic(),
            deliveries=self._flusher.deliveries,
            sent_bytes=traffic.sent_bytes + sum(session.sent for session in sessions),
            received_bytes=traffic.received_bytes + sum(session.received for session in sessions),
            opened=traffic.opened,
            closed=traffic.closed,
            errors=dict(traffic.errors),
        )
