"""`GET /api/v1/topics/{topic}/events` and `/latest`: the messages of the own protocol, for who asks again and again.

A poll that waits reads no stream: the topic's next event wakes it, and what it answers stands in the history.
Must not know what parameters and answers look like: that is the dialect's.
"""

from __future__ import annotations

import contextlib
import math
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio
from starlette.responses import Response

from appliance.core import places, topics
from appliance.core.events import Mode
from appliance.core.history import Position
from appliance.dialects import pages
from appliance.edge.description import operation
from appliance.edge.description.operation import Audience, Given, Operation
from appliance.edge.http import bodies, denial
from appliance.runtime.hub import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request

    from appliance.access.gate import Peer
    from appliance.access.principals import Principal
    from appliance.core.errors import RequestError
    from appliance.core.events import Entry
    from appliance.core.history import Topic
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Ending, Notice, Surroundings

EVENTS: Final = "/api/v1/topics/{topic:path}/events"
LATEST: Final = "/api/v1/topics/{topic:path}/latest"
_KIND = "application/json"
_HEADERS = {"cache-control": "no-store"}


def _named(audience: Audience) -> Given:
    return Given(
        name="topic",
        where="path",
        about="The name of one topic, `channel:key`, or an alias",
        required=True,
        examples=audience.topics,
    )


_REFUSALS = {
    HTTPStatus.BAD_REQUEST: "a parameter is not right",
    HTTPStatus.NOT_FOUND: operation.NO_TOPIC,
    HTTPStatus.TOO_MANY_REQUESTS: operation.TOO_MANY,
}


def describe_events(audience: Audience) -> Operation:
    limits = audience.settings.limits
    asked = (pages.AFTER, pages.TO, pages.SINCE, pages.UNTIL, pages.wait(limits.wait))
    return Operation(
        name="pollEvents",
        summary="Ask for what a topic holds behind a position",
        about="Without `after`, that is what a new subscriber gets. Send `position` as `after`, and go on so with each"
        " answer.",
        tag="polling",
        given=(_named(audience), *operation.asked((*asked, pages.limit(limits.page), pages.TIMES))),
        answers=operation.answered("Events, oldest first", bodies.PageAnswer),
        refusals={**_REFUSALS, HTTPStatus.SERVICE_UNAVAILABLE: operation.FULL},
    )


def describe_latest(audience: Audience) -> Operation:
    return Operation(
        name="latestEvent",
        summary="Ask for the newest event of a topic",
        tag="polling",
        given=(_named(audience), *operation.asked((pages.TIMES,))),
        answers=operation.answered("The event, or null", bodies.LatestAnswer),
        refusals=_REFUSALS,
    )


@attrs.frozen
class _Bell:
    """All that a waiting poll is told of an event: that there is one."""

    def update(self, _topic: Topic, _label: str) -> Callable[[Entry], bytes]:
        return _ring

    def gap(self, _topic: Topic, _label: str) -> Callable[[int, int], bytes]:
        return _ring


def _ring(*_: object) -> bytes:
    return b"!"


class _Wait:
    """A poll that has nothing to answer yet. It counts as a session, and ends as one."""

    dialect: Final = "cryptointel"
    transport: Final = "poll"
    outbox: Final = None
    details: Final[Mapping[str, Any]] = MappingProxyType({"channel": "polling"})
    received: Final = 0
    sent: Final = 0
    owed_bytes: Final = 0

    def __init__(self, around: Surroundings, policy: Policy, principal: Principal, peer: Peer) -> None:
        self.principal = principal
        self.peer = peer
        self._around = around
        self._policy = policy
        self._scope = trio.CancelScope()
        self._expelled: RequestError | None = None
        self._topic: Topic | None = None
        self._silent = False
        self.retry_after: float | None = None

    def offer(self, _topic: Topic, _offset: int, _frame: bytes) -> None:
        """From the hub: there is an event."""
        if not self._silent:
            self._scope.cancel()

    def account(self) -> None:
        """Add nothing: what is answered is counted when it is."""

    def notice(self, notice: Notice) -> None:
        """Say nothing: a poll answers with events."""

    def end(self, ending: Ending) -> None:
        self.retry_after = ending.retry_after
        self._scope.cancel()

    def expiring(self, at: float) -> None:
        """Say nothing: each poll shows its credential."""

    def renew(self, principal: Principal) -> None:
        self.principal = principal
        topic = self._topic
        if topic is not None and self._around.sight(principal).known(topic.name) is not topic:
            self.expel(missing(topic.name))

    def silence(self) -> None:
        self._silent = True

    def expel(self, error: RequestError) -> None:
        self._expelled = error
        self._scope.cancel()

    def cut(self) -> None:
        self._scope.cancel()

    async def event(self, topic: Topic, request: Request, seconds: float) -> None:
        """Return with the next event, or without: the time is over, the session is ended, the client has left. Raise
        RequestError for who may not wait for it any more.
        """
        self._topic = topic
        self._scope.deadline = trio.current_time() + seconds
        with self._session(), self._reading(topic), self._scope:
            while (await request.receive())["type"] != "http.disconnect":
                continue  # the request may have a body, which says nothing
        if self._expelled is not None:
            raise self._expelled

    @contextlib.contextmanager
    def _session(self) -> Iterator[None]:
        around = self._around
        denial.check(around.traffic, around.admission.open(self._policy, self.principal))
        around.tenures.begin(self)
        around.sessions.add(self)
        around.traffic.opened += 1
        try:
            yield
        finally:
            around.tenures.end(self)
            around.sessions.discard(self)
            around.traffic.closed += 1
            around.admission.close(self._policy, self.principal)

    @contextlib.contextmanager
    def _reading(self, topic: Topic) -> Iterator[None]:
        hub = self._around.hub
        audience = hub.join(topic, self, self, form=_Bell(), label="", conflated=True)
        try:
            yield
        finally:
            hub.leave(audience, self)


async def events(around: Surroundings, policy: Policy, principal: Principal, request: Request) -> Response:
    """Answer with what a topic holds behind a position, waiting for it as long as the client likes."""
    _check_rate(around, policy, principal, request)
    limits, wait = policy.limits, _Wait(around, policy, principal, request.scope["state"]["peer"])
    with denial.telling(around.traffic), _topic(around, principal, request) as (topic, label):
        parameters = {name: around.seal.open(text) for name, text in request.query_params.items()}
        query = pages.read(parameters, longest=limits.wait, most=limits.page)
        asked, anew = query.asked, query.asked == places.Asked()
        if anew:
            asked = places.Asked(after=_beginning(topic))
        find = partial(asked.find, topic, count=query.limit, size=limits.burst)
        found, resumption = find(newest=around.hub.newest)
        over = asked.to is None and asked.forwards and found.end == topic.last and not found.entries
        if over and query.wait and request.method != "HEAD":
            await wait.event(topic, request, query.wait)
            found, resumption = find(newest=around.hub.newest)
        if anew and resumption is not None and resumption.recovered:
            # Who has shown nothing cannot miss anything, unless it was lost while the poll waited.
            resumption = None
        content = pages.page(topic, label, found, resumption, times=query.times)
    return _answer(around, content, wait.retry_after)


async def latest(around: Surroundings, policy: Policy, principal: Principal, request: Request) -> Response:
    """Answer with a topic's newest event."""
    _check_rate(around, policy, principal, request)
    with denial.telling(around.traffic), _topic(around, principal, request) as (topic, label):
        content = pages.latest(topic, label, times=pages.wants_times(request.query_params))
    return _answer(around, content)


def _check_rate(around: Surroundings, policy: Policy, principal: Principal, request: Request) -> None:
    # As a session has its own rate: one key may serve many.
    who = (principal.name, denial.address(request))
    denial.check(around.traffic, around.admission.ask(policy, who, trio.current_time()))


@contextlib.contextmanager
def _topic(around: Surroundings, principal: Principal, request: Request) -> Iterator[tuple[Topic, str]]:
    """Give the topic that the path names, and the name that it has there."""
    written = request.path_params["topic"]
    name = around.aliases.canonical(topics.check(written))
    topic = around.sight(principal).topic(name)
    try:
        yield topic, written
    finally:
        around.hub.release(topic)


def _beginning(topic: Topic) -> Position:
    """Give where a new subscriber begins: with the newest value of a state, with what comes of a log."""
    begun = topic.mode is Mode.STATE and topic.last
    return Position(topic.epoch, topic.last - 1 if begun else topic.last)


def _answer(around: Surroundings, content: bytes, retry_after: float | None = None) -> Response:
    around.traffic.sent_bytes += len(content)
    headers = dict(_HEADERS)
    if retry_after is not None:
        headers["retry-after"] = f"{math.ceil(retry_after)}"
    return Response(content, media_type=_KIND, headers=headers)
