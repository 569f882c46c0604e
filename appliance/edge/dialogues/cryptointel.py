"""The conversation in the appliance's own protocol: what its commands do to a session's subscriptions."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.instants import timestamp
from appliance.core.places import by_topic
from appliance.core.subscriptions import Joined, Terms
from appliance.core.topics import check as check_name
from appliance.core.topics import is_pattern
from appliance.dialects import cryptointel, framing
from appliance.dialects.commands import Authenticate, History, Subscribe, Unsubscribe
from appliance.edge.words import Wording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from appliance.core.events import Entry
    from appliance.core.history import Topic
    from appliance.dialects.complaint import Complaint
    from appliance.edge.line import Line
    from appliance.edge.surroundings import Notice
    from appliance.runtime.subscriber import Lost, Recover

STATUS_TOPIC = "system:status"
"""What every client of the document's form is told of, without asking."""


@attrs.frozen
class Timed(Wording):
    """Words in which each event says when it happened and when it came."""

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:
        text, wrap = cryptointel.update(self.form, topic, label, times=True), self.wrap

        def render(entry: Entry) -> bytes:
            return wrap(text(entry))

        return render


class Cryptointel:
    """Answers each subscription in the form that it was made in."""

    name: Final = "cryptointel"
    takes_credentials: Final = True
    details: Final[Mapping[str, Any]] = MappingProxyType({})
    ping: Final = framing.PING

    def __init__(self, line: Line) -> None:
        self._line = line
        self._form: cryptointel.Form | None = None
        self._told_status = False
        self._unanswered: History | None = None

    def begin(self) -> None:
        """Wait for what the client asks for."""

    def leave(self) -> None:
        """Hold nothing that the session does not end itself."""

    async def hear(self, message: str | bytes) -> None:
        command = cryptointel.parse(message)
        if isinstance(command, Authenticate):
            self._authenticate(command)
        elif self._line.principal is None:
            raise RequestError(
                ErrorCode.UNAUTHORIZED, 'Authenticate first: send {"type": "auth", "token": "…"}'
            )
        elif isinstance(command, Subscribe):
            self._subscribe(command)
        elif isinstance(command, Unsubscribe):
            self._unsubscribe(command)
        elif isinstance(command, History):
            self._look_back(command)
        else:
            self._line.tell(cryptointel.pong(self._form, timestamp(time.time())))

    def joined_newcomer(self, joined: Joined, terms: Terms) -> None:
        self._line.tell(cryptointel.subscribed(_wording(terms).form, joined.label, [joined], []))

    def notice(self, notice: Notice) -> None:
        for reading in self._line.subscriber.readings(notice.channel):
            form, since = _wording(reading.terms).form, timestamp(notice.since)
            self._line.tell(cryptointel.notice(form, reading.label, stale=notice.stale, since=since))

    def expiring(self, at: float) -> None:
        now = time.time()
        self._line.tell(cryptointel.expiring(self._form, timestamp(at), max(0.0, at - now)))

    def renewed(self, lost: Sequence[Lost]) -> None:
        reason = ErrorCode.UNAUTHORIZED
        document = []
        for each in lost:
            form, label = _wording(each.terms).form, each.terms.label
            if form is cryptointel.Form.DOCUMENT:
                document.append(label or each.name)
            else:
                self._line.tell(cryptointel.unsubscribed(form, label, [each.name], reason=reason))
        if document:
            form = cryptointel.Form.DOCUMENT
            self._line.tell(cryptointel.unsubscribed(form, None, document, reason=reason))

    def complaint(self, error: RequestError, complaint: Complaint) -> bytes:
        form, tag = self._form, None
        if self._unanswered is not None:
            form, tag = cryptointel.Form.DOCUMENT, self._unanswered.tag
        return cryptointel.error(form, error.code, error.message, complaint, tag=tag)

    def _authenticate(self, command: Authenticate) -> None:
        principal = self._line.principal
        if principal is None or self._line.policy.auth != "none":
            principal = self._line.authenticate(command.token)
        expires = None if principal.expires is None else timestamp(principal.expires)
        self._line.tell(cryptointel.authenticated(principal.name, expires))
        self._tell_status()

    def _subscribe(self, command: Subscribe) -> None:
        form = self._form = _form(command.form)
        canonical = self._line.around.aliases.canonical
        marks = {canonical(name): mark for name, mark in command.recover.items()}
        joined: list[Joined] = []
        patterns: list[str] = []
        for written in command.names:
            try:
                name = canonical(check_name(written))
                joined += self._subscribe_one(command, written, name, by_topic(marks, name))
            except RequestError as error:
                self._line.complain(error, label=command.label or written)
            else:
                patterns += [written] if is_pattern(written) else []
        if joined or patterns:
            self._line.tell(cryptointel.subscribed(form, command.label, joined, patterns))
            self._line.subscriber.catch_up()
        if form is cryptointel.Form.DOCUMENT:
            self._tell_status()

    def _subscribe_one(self, command: Subscribe, written: str, name: str, recover: Recover) -> list[Joined]:
        subscriber = self._line.subscriber
        taken = len(subscriber) - (STATUS_TOPIC in subscriber)
        if name not in subscriber:
            self._line.policy.check_subscriptions(taken + 1, self._line.principal)
        label = command.label or (None if is_pattern(name) or written == name else written)
        wording = (Timed if command.times else Wording)(_form(command.form), framing.text)
        terms = Terms(wording, label, command.limit)
        return subscriber.subscribe(name, terms, recover)

    def _unsubscribe(self, command: Unsubscribe) -> None:
        form = self._form = _form(command.form)
        canonical, subscriber = self._line.around.aliases.canonical, self._line.subscriber
        names = command.names or subscriber.labelled(command.label or "")
        if not names:
            error = RequestError(ErrorCode.INVALID_CHANNEL, f"Not subscribed to {command.label!r}")
            self._line.complain(error, label=command.label)
        left = [name for name in names if subscriber.unsubscribe(canonical(name))]
        for name in names:
            if name not in left:
                error = RequestError(ErrorCode.INVALID_CHANNEL, f"Not subscribed to {name!r}")
                self._line.complain(error, label=command.label or name)
        if left:
            self._line.tell(cryptointel.unsubscribed(form, command.label, left))

    def _look_back(self, command: History) -> None:
        """Answer with what a topic keeps, or say why not: in the document's form, for the other has no words for it."""
        try:
            self._line.tell(self._kept(command))
        except RequestError as error:
            self._unanswered = command
            self._line.complain(error, label=command.name)
            self._unanswered = None

    def _kept(self, command: History) -> bytes:
        hub, limits = self._line.around.hub, self._line.policy.limits
        name = self._line.around.aliases.canonical(check_name(command.name))
        topic = self._line.sight.topic(name)
        try:
            count = limits.page if command.limit is None else min(command.limit, limits.page)
            found, resumption = command.asked.find(topic, newest=hub.newest, count=count, size=limits.burst)
            return cryptointel.history(topic, command.name, found, resumption, command.tag)
        finally:
            hub.release(topic)

    def _tell_status(self) -> None:
        """Read the status too, the first time that a client shows that it speaks the document's form."""
        if (
            self._told_status
            or self._line.principal is None
            or not self._line.sight.scope.covers(STATUS_TOPIC)
        ):
            return
        self._told_status = True
        if STATUS_TOPIC not in self._line.subscriber:
            terms = Terms(Wording(cryptointel.Form.DOCUMENT, framing.text))
            self._line.subscriber.subscribe(STATUS_TOPIC, terms)
            self._line.subscriber.catch_up()


def _wording(terms: Terms) -> Wording:
    assert isinstance(terms.form, Wording)  # noqa: S101 - as it was subscribed
    return terms.form


def _form(form: object) -> cryptointel.Form:
    assert isinstance(form, cryptointel.Form)  # noqa: S101 - only this dialect's commands come here
    return form
