"""The conversation in the appliance's own protocol: what its commands do to a session's subscriptions."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from appliance.access.principals import ANONYMOUS
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.instants import timestamp
from appliance.core.places import by_topic
from appliance.core.subscriptions import Joined, Terms
from appliance.core.topics import check as check_name
from appliance.core.topics import is_pattern
from appliance.dialects import cryptointel, framing
from appliance.dialects.commands import Authenticate, Subscribe, Unsubscribe
from appliance.edge.words import Wording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.dialects.complaint import Complaint
    from appliance.edge.line import Line
    from appliance.edge.surroundings import Notice
    from appliance.runtime.subscriber import Recover

STATUS_TOPIC = "system:status"
"""What every client of the document's form is told of, without asking."""


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
        else:
            self._line.tell(cryptointel.pong(self._form, timestamp(time.time())))

    def joined_newcomer(self, joined: Joined, terms: Terms) -> None:
        wording = terms.form
        assert isinstance(wording, Wording)  # noqa: S101 - as it was subscribed
        self._line.tell(cryptointel.subscribed(wording.form, joined.label, [joined], []))

    def notice(self, notice: Notice) -> None:
        for reading in self._line.subscriber.readings(notice.channel):
            wording = reading.terms.form
            assert isinstance(wording, Wording)  # noqa: S101 - as it was subscribed
            self._line.tell(
                cryptointel.notice(
                    wording.form, reading.label, stale=notice.stale, since=timestamp(notice.since)
                )
            )

    def complaint(self, error: RequestError, complaint: Complaint) -> bytes:
        return cryptointel.error(self._form, error.code, error.message, complaint)

    def _authenticate(self, command: Authenticate) -> None:
        if self._line.policy.auth != "none":
            self._line.authenticate(command.token)
        self._line.tell(cryptointel.authenticated((self._line.principal or ANONYMOUS).name))
        self._tell_status()

    def _subscribe(self, command: Subscribe) -> None:
        form = self._form = _form(command.form)
        canonical = self._line.around.aliases.canonical
        recover = by_topic({canonical(name): position for name, position in command.recover.items()})
        joined: list[Joined] = []
        patterns: list[str] = []
        for written in command.names:
            try:
                joined += self._subscribe_one(command, written, canonical(check_name(written)), recover)
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
        most = self._line.policy.bounds.subscriptions
        taken = len(subscriber) - (STATUS_TOPIC in subscriber)
        if name not in subscriber and taken >= most:
            raise RequestError(
                ErrorCode.RATE_LIMITED, f"At most {most} channels for one connection (limits.subscriptions)"
            )
        label = command.label or (None if is_pattern(name) or written == name else written)
        terms = Terms(Wording(_form(command.form), framing.text), label, command.limit)
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

    def _tell_status(self) -> None:
        """Read the status too, the first time that a client shows that it speaks the document's form."""
        if self._told_status or self._line.principal is None or not self._line.may_read(STATUS_TOPIC):
            return
        self._told_status = True
        if STATUS_TOPIC not in self._line.subscriber:
            terms = Terms(Wording(cryptointel.Form.DOCUMENT, framing.text))
            self._line.subscriber.subscribe(STATUS_TOPIC, terms)
            self._line.subscriber.catch_up()


def _form(form: object) -> cryptointel.Form:
    assert isinstance(form, cryptointel.Form)  # noqa: S101 - only this dialect's commands come here
    return form
