"""Plays the examples of docs/protocol.md against a running appliance; holds its tables against the code."""

from __future__ import annotations

import http.client
import json
import re
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from appliance.core.errors import ErrorCode
from appliance.settings.tree import Settings
from tests.dialects.protocol_page import PAGE, Step, steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.running import Running

PATIENCE = 30.0
"""Seconds that any one message of the page may take to come."""

ALIKE = {"channel", "topic", "pattern", "channels", "patterns", "code", "mode", "recovered", "status"}
"""Fields whose values the page shows as they are; of others only the type."""

_PLACES = re.compile(r"(?<=[?&]after=)[^&]+")
_TIMES = re.compile(r"(?<=[?&]since=)[^&]+")

PARTIAL = {"channels", "errors", "errors_per_minute"}
"""Objects that the page shows part of: their keys are names."""


@attrs.frozen
class Known:
    """What stands for the epochs, offsets and times of the page, and how else messages are like those shown."""

    _epochs: dict[str, str] = attrs.field(factory=dict)
    _offsets: dict[tuple[str, int], int] = attrs.field(factory=dict)
    _places: dict[str, str] = attrs.field(factory=dict)
    _times: dict[str, str] = attrs.field(factory=dict)

    def learn_place(self, shown: str, got: str) -> None:
        """Take the id of a server-sent event that is like the one shown, in the same words."""
        (shown_epoch, shown_digits), (epoch, digits) = (text.rsplit("-", 1) for text in (shown, got))
        assert self._epochs.get(shown_epoch, epoch) == epoch, f"id {got}: another epoch than before"
        assert re.fullmatch(r"\d+(\.\d+)?", shown_digits)
        assert re.fullmatch(r"\d+(\.\d+)?", digits)
        self._places[shown] = got

    def real_place(self, shown: str) -> str:
        """Give what stands for a position that the page shows as a text."""
        if shown in self._places:
            return self._places[shown]
        epoch, _, offset = shown.rpartition(":")
        return "{epoch}:{offset}".format(**self.real({"epoch": epoch, "offset": int(offset)}))

    def real_time(self, shown: str) -> str:
        """Give what stands for the time of an event that was shown; any other is as it is."""
        return self._times.get(shown, shown)

    def real(self, position: dict[str, Any]) -> dict[str, Any]:
        if "since" in position:
            return {"since": self.real_time(position["since"])}
        epoch, offset = position["epoch"], position["offset"]
        return {
            "epoch": self._epochs.get(epoch, epoch),
            "offset": self._offsets.get((epoch, offset), offset),
        }

    def learn(self, shown: Any, got: Any) -> None:
        """Take the positions and times from a message that is like the one shown."""
        if isinstance(shown, dict):
            if "at" in shown:
                self._times[shown["at"]] = got["at"]
            if {"epoch", "offset"} <= shown.keys():
                self._epochs[shown["epoch"]] = got["epoch"]
                self._offsets[shown["epoch"], shown["offset"]] = got["offset"]
            for name in shown:
                self.learn(shown[name], got[name])
        elif isinstance(shown, list):
            for element in shown:
                self.learn(element, next(other for other in got if not [*self.differences(element, other)]))

    def differences(self, shown: Any, got: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
        key, place = (path[-1] if path else ""), ".".join(path)
        if isinstance(shown, dict) and isinstance(got, dict):
            lacking, new = shown.keys() - got.keys(), got.keys() - shown.keys()
            if lacking or (new and key not in PARTIAL):
                yield f"{place}: lacks {sorted(lacking)}, has {sorted(new)} beside"
                return
            for name in shown:
                yield from self.differences(shown[name], got[name], (*path, name))
        elif isinstance(shown, list) and isinstance(got, list):
            for element in shown:
                if all([*self.differences(element, other, path)] for other in got):
                    yield f"{place}: {element} is like none of {got}"
        elif shown is not None and _kind(shown) is not _kind(got):
            yield f"{place}: {got!r} is of another type than {shown!r}"
        elif (key in ALIKE or path == ("type",)) and shown != got:
            yield f"{place}: {got!r} instead of {shown!r}"
        elif key == "epoch" and self._epochs.get(shown, got) != got:
            yield f"{place}: another epoch than before"


class Conversation:
    """Does what the page says. An epoch or offset that the page shows stands for what really came."""

    def __init__(self, appliance: Running, stack: ExitStack) -> None:
        self._appliance = appliance
        self._stack = stack
        self._place = urlsplit(appliance.wss_url).netloc
        self._socket: ClientConnection | None = None
        self._answer: Any = None
        self._events: http.client.HTTPResponse | None = None
        self._known = Known()

    @property
    def socket(self) -> ClientConnection:
        assert self._socket is not None, "the page must show how to connect first"
        return self._socket

    def connect(self, request: str) -> None:
        target, headers = self._request(request)
        offers = headers.pop("Sec-WebSocket-Protocol", "").split(",")
        offered = [Subprotocol(offer.strip()) for offer in offers if offer] or None
        self._stack.pop_all().close()
        self._socket = self._stack.enter_context(
            connect(
                f"wss://{self._place}{target}",
                ssl=self._appliance.ssl_context(),
                additional_headers=headers,
                subprotocols=offered,
                proxy=None,
            )
        )
        assert self.socket.subprotocol == (offered[0] if offered else None)

    def client(self, shown: str) -> None:
        message = json.loads(shown.replace("KEY", self._appliance.key))
        for position in message.get("recover", {}).values():
            position.update(self._known.real(position))
        if "since" in message:
            message["since"] = self._known.real_time(message["since"])
        self.socket.send(json.dumps(message))

    def server(self, shown: str) -> None:
        """Wait for a message like this; the stream of other topics may come in between, and nothing else."""
        expected = json.loads(shown)
        received: list[Any] = []
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                message = json.loads(self.socket.recv(max(0, deadline - time.monotonic())))
            except TimeoutError:
                raise AssertionError(
                    f"not within {PATIENCE:g} s; the last that came: {received[-3:]}"
                ) from None
            differences = [*self._known.differences(expected, message)]
            if not differences:
                self._known.learn(expected, message)
                return
            received.append(message)
            assert "offset" in message, f"{differences}\n{received}"

    def close(self, shown: str) -> None:
        with pytest.raises(ConnectionClosed) as closed:
            self.socket.recv(PATIENCE)
        end = closed.value.rcvd
        assert end is not None
        assert f"{end.code} {end.reason}" == shown

    def get(self, request: str) -> None:
        with closing(self._ask(request)) as response:
            assert (response.status, response.headers["content-type"]) == (200, "application/json")
            self._answer = json.loads(response.read())

    def answer(self, shown: str) -> None:
        expected = json.loads(shown)
        assert [*self._known.differences(expected, self._answer)] == []
        self._known.learn(expected, self._answer)

    def stream(self, request: str) -> None:
        self._stack.pop_all().close()
        self._events = self._stack.enter_context(closing(self._ask(request)))
        assert self._events.status == 200
        assert self._events.headers["content-type"].startswith("text/event-stream")

    def event(self, shown: str) -> None:
        """Wait for an event like this, which may have more channels or fields in its `data` than shown."""
        expected = _fields(shown)
        message = json.loads(expected["data"])
        got = self._next_event()
        while [*self._known.differences(message, _part(message, json.loads(got["data"])))]:
            assert "offset" in json.loads(got["data"]), got
            got = self._next_event()
        assert expected.keys() == got.keys()
        self._known.learn(message, _part(message, json.loads(got["data"])))
        self._known.learn_place(expected["id"], got["id"])

    def _next_event(self) -> dict[str, str]:
        assert self._events is not None, "the page must show how to ask for events first"
        while True:
            lines = []
            while line := self._events.readline().decode().rstrip("\n"):
                lines.append(line)
            fields = _fields("\n".join(lines))
            if "data" in fields:
                return fields
            assert lines, "the stream has ended"

    def _ask(self, request: str) -> http.client.HTTPResponse:
        target, headers = self._request(request)
        connection = http.client.HTTPSConnection(
            self._place, timeout=PATIENCE, context=self._appliance.ssl_context()
        )
        # So that it is closed with its answer.
        connection.request("GET", target, headers={**headers, "Connection": "close"})
        return connection.getresponse()

    def made(self, shown: str) -> None:
        """Held against the dialect in its own test."""

    def _request(self, shown: str) -> tuple[str, dict[str, str]]:
        first, *lines = shown.replace("KEY", self._appliance.key).splitlines()
        method, target = first.split()
        assert method == "GET"
        pairs = (line.partition(":") for line in lines)
        headers = {name: value.strip() for name, _, value in pairs}
        if "Last-Event-ID" in headers:
            headers["Last-Event-ID"] = self._known.real_place(headers["Last-Event-ID"])
        target = _PLACES.sub(lambda found: self._known.real_place(found[0]), target)
        return _TIMES.sub(lambda found: self._known.real_time(found[0]), target), headers


def _fields(event: str) -> dict[str, str]:
    """Give the fields of a server-sent event, without comments."""
    pairs = (line.partition(": ") for line in event.splitlines())
    return {name: value for name, _, value in pairs if name}


def _part(shown: Any, got: Any) -> Any:
    """Give as much of `data` as is shown: a line of an event would be too long otherwise."""
    if isinstance(got.get("data"), dict) and isinstance(shown.get("data"), dict):
        return {**got, "data": {name: got["data"][name] for name in shown["data"] if name in got["data"]}}
    return got


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)


def test_the_examples_are_true(appliance: Running) -> None:
    with ExitStack() as stack:
        conversation = Conversation(appliance, stack)
        for step in steps():
            play(conversation, step)


def play(conversation: Conversation, step: Step) -> None:
    try:
        getattr(conversation, step.mark)(step.text)
    except (AssertionError, ConnectionClosed, TimeoutError) as error:
        error.add_note(f"docs/protocol.md:{step.line}: {step.mark}: {step.text}")
        raise


def test_every_example_is_played() -> None:
    assert [step for step in steps() if not step.mark] == []


def test_every_error_code_is_explained() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE)) == set(ErrorCode)


def test_the_limits_are_those_of_the_settings() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z]+)\.([a-z_]+)` \| ([\d,]+)( s)? \|", page, re.MULTILINE)
    assert len(rows) == 12
    settings = Settings()
    shown = {(group, name): float(value.replace(",", "")) for group, name, value, _ in rows}
    assert shown == {(group, name): getattr(getattr(settings, group), name) for group, name in shown}


def test_every_setting_that_is_named_exists() -> None:
    page = PAGE.read_text(encoding="utf-8")
    groups = {field.name for field in attrs.fields(Settings)} - {"listen", "channels", "aliases", "sources"}
    named = [name for name in re.findall(r"`([a-z]+)\.([a-z_]+)`", page) if name[0] in groups]
    assert named
    settings = Settings()
    assert [name for name in named if not hasattr(getattr(settings, name[0]), name[1])] == []
