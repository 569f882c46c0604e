"""`GET /api/v1/topics/{topic}/events` and `/latest`: the messages of the own protocol, for who asks again and again.

A poll that waits reads no stream: the topic's next event wakes it, and what it answers stands in the history.
Must not know what parameters and answers look like: that is the dialect's.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio
from starlette.responses import Response

from appliance.core import places, topics
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.events import Mode
from appliance.core.history import Position
from appliance.dialects import pages
from appliance.edge.http import denial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.requests import Request

    from appliance.access.principals import Principal
    from appliance.core.events import Entry
    from appliance.core.history import Resumption, Topic
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Ending, Notice, Surroundings

EVENTS: Final = "/api/v1/topics/{topic:path}/events"
LATEST: Final = "/api/v1/topics/{topic:path}/latest"
_KIND = "application/json"
_HEADERS = {"cache-control": "no-store"}


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
    details: Final[Mapping[str, Any]] = MappingProxyType({"channel": "polling"})
    received: Final = 0
    sent: Final = 0

    def __init__(self, around: Surroundings, policy: Policy) -> None:
        self._around = around
        self._policy = policy
        self._scope = trio.CancelScope()
        self.retry_after: float | None = None

    def offer(self, _topic: Topic, _offset: int, _frame: bytes) -> None:
        """From the hub: there is an event."""
        self._scope.cancel()

    def notice(self, notice: Notice) -> None:
        """Say nothing: a poll answers with events."""

    def end(self, ending: Ending) -> None:
        self.retry_after = ending.retry_after
        self._scope.cancel()

    async def event(self, topic: Topic, request: Request, seconds: float) -> None:
        """Return with the next event, or without: the time is over, the session is ended, the client has left."""
        self._scope.deadline = trio.current_time() + seconds
        with self._session(), self._reading(topic), self._scope:
            while (await request.receive())["type"] != "http.disconnect":
                continue  # the request may have a body, which says nothing

    @contextlib.contextmanager
    def _session(self) -> Iterator[None]:
        around = self._around
        denial.check(around.traffic, around.admission.open(self._policy))
        around.sessions.add(self)
        around.traffic.opened += 1
        try:
            yield
        finally:
            around.sessions.discard(self)
            around.traffic.closed += 1
            around.admission.close(self._policy)

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
    hub, limits, wait = around.hub, policy.limits, _Wait(around, policy)
    with denial.telling(around.traffic):
        query = pages.read(request.query_params, epoch=hub.epoch, longest=limits.wait, most=limits.page)
        with _topic(around, principal, request) as (topic, label):
            shown = query.after or _beginning(topic)
            resumption = places.resume(shown, topic, newest=hub.serial)
            if resumption.after == topic.last and query.wait and request.method != "HEAD":
                await wait.event(topic, request, query.wait)
                resumption = places.resume(shown, topic, newest=hub.serial)
            content = pages.page(
                topic,
                label,
                after=resumption.after,
                # Who has shown nothing cannot miss anything, unless it was lost while the poll waited.
                resumption=None if query.after is None and resumption.recovered else resumption,
                entries=_entries(topic, resumption, limit=query.limit, size=limits.burst),
            )
    return _answer(around, content, wait.retry_after)


async def latest(around: Surroundings, policy: Policy, principal: Principal, request: Request) -> Response:
    """Answer with a topic's newest event."""
    _check_rate(around, policy, principal, request)
    with denial.telling(around.traffic), _topic(around, principal, request) as (topic, label):
        content = pages.latest(topic, label)
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
    if topics.is_pattern(name) or not principal.may_read(name):
        raise RequestError(ErrorCode.INVALID_CHANNEL, f"Channel {name!r} does not exist")
    topic = around.hub.topic(name)
    try:
        yield topic, written
    finally:
        around.hub.release(topic)


def _beginning(topic: Topic) -> Position:
    """Give where a new subscriber begins: with the newest value of a state, with what comes of a log."""
    begun = topic.mode is Mode.STATE and topic.last
    return Position(topic.epoch, topic.last - 1 if begun else topic.last)


def _entries(topic: Topic, resumption: Resumption, *, limit: int, size: int) -> Iterator[Entry]:
    """Give what fits a page, one entry at the least."""
    kept, newest = topic.after(resumption.after), topic.latest
    if newest is not None and resumption.after < topic.last < topic.first:
        kept = iter([newest])  # of a state topic, whose history has let go of it
    for entry in itertools.islice(kept, limit):
        yield entry
        size -= len(entry.body)
        if size <= 0:
            return


def _answer(around: Surroundings, content: bytes, retry_after: float | None = None) -> Response:
    around.traffic.sent_bytes += len(content)
    headers = dict(_HEADERS)
    if retry_after is not None:
        headers["retry-after"] = f"{math.ceil(retry_after)}"
    return Response(content, media_type=_KIND, headers=headers)
