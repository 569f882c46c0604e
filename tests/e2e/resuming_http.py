"""Clients that come back over HTTP after whatever cuts them off, from where they stood: by an event stream, by polling.

Must not know why they were cut off.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

_AGAIN = 0.05
"""Seconds between two attempts to come back."""
_POLL = 0.5
"""Seconds that a poll waits for an event."""
_GONE = (OSError, http.client.HTTPException, EOFError)


class Asking:
    """Where and how to ask: the same appliance, whenever it is there."""

    def __init__(self, port: int, key: str, context: ssl.SSLContext) -> None:
        self._port = port
        self._context = context
        self.headers = {"Authorization": f"Bearer {key}"}

    @contextlib.contextmanager
    def connection(self) -> Iterator[http.client.HTTPSConnection]:
        client = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=PATIENCE, context=self._context)
        try:
            yield client
        finally:
            client.close()


class Account:
    """What came of each topic, by offset, and what must not have happened."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.events: dict[str, dict[int, dict[str, Any]]] = {topic: {} for topic in topics}
        self.epochs: dict[str, str] = {}
        self.faults: list[str] = []
        self.comebacks = 0
        self._due: dict[str, int] = {}

    @property
    def has_begun(self) -> bool:
        return len(self._due) == len(self.events)

    def stand(self, told: dict[str, Any], offset: int) -> None:
        """Take where a topic is read from; who comes back must go on where it stood."""
        topic = told["channel"]
        if topic not in self._due:
            self.epochs[topic], self._due[topic] = told["epoch"], offset + 1
        elif not told.get("recovered") or told["epoch"] != self.epochs[topic]:
            self.faults.append(f"not recovered behind {self._due[topic] - 1}: {told}")

    def take(self, message: dict[str, Any]) -> None:
        topic, offset = message["channel"], message["offset"]
        if offset != self._due[topic]:
            self.faults.append(f"{topic}: offset {offset} where {self._due[topic]} is due")
        self._due[topic] = offset + 1
        self.events[topic][offset] = message["data"]


class Returning:
    """Reads topics of logs in a thread, from when it is made until it is closed."""

    def __init__(self, asking: Asking, topics: Iterable[str]) -> None:
        self.account = Account(topics)
        self._asking = asking
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for(self, fits: Callable[[Account], bool]) -> None:
        """Wait until what has come so far fits."""
        with self._changed:
            assert self._changed.wait_for(lambda: fits(self.account), PATIENCE), self.account.faults[:5]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ended:
            try:
                with self._asking.connection() as client:
                    self._read(client)
            except _GONE:
                time.sleep(_AGAIN)

    def _read(self, client: http.client.HTTPSConnection) -> None:
        raise NotImplementedError

    @contextlib.contextmanager
    def _answer(
        self, client: http.client.HTTPSConnection, path: str, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        client.request("GET", path, headers={**self._asking.headers, **headers})
        with client.getresponse() as answer:  # which may outlive its connection
            if answer.status != http.HTTPStatus.OK:
                self.account.faults.append(f"{path}: {answer.status} {answer.read()!r}")
                raise http.client.HTTPException
            yield answer

    @contextlib.contextmanager
    def _noting(self) -> Iterator[Account]:
        with self._changed:
            yield self.account
            self._changed.notify_all()


class StreamClient(Returning):
    """All topics in one event stream; shows the newest id when it comes back."""

    _id = ""

    def _read(self, client: http.client.HTTPSConnection) -> None:
        names = ",".join(map(quote, self.account.events))
        headers = {"Last-Event-ID": self._id} if self._id else {}
        with self._answer(client, f"/sse?channels={names}", headers) as answer:
            self.account.comebacks += bool(self._id)
            self._follow(answer)

    def _follow(self, answer: http.client.HTTPResponse) -> None:
        event: dict[str, str] = {}
        while not self._ended:
            line = answer.readline()
            if not line.endswith(b"\n"):
                return
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
                continue
            if "data" in event:
                self._take(json.loads(event["data"]))
            self._id = event.get("id", self._id)
            event = {}

    def _take(self, message: dict[str, Any]) -> None:
        with self._noting() as account:
            if message["type"] == "subscribed":
                for told in message["channels"]:
                    account.stand(told, told["offset"])
            elif message.get("channel") in account.events and "offset" in message:
                account.take(message)
            else:
                account.faults.append(f"told of {message}")


class PollingClient(Returning):
    """Asks for one topic after the other, behind the position of the answer before."""

    def __init__(self, asking: Asking, topics: Iterable[str]) -> None:
        self._positions: dict[str, str] = {}
        super().__init__(asking, topics)

    def _read(self, client: http.client.HTTPSConnection) -> None:
        self.account.comebacks += bool(self._positions)
        while not self._ended:
            for topic in self.account.events:
                self._poll(client, topic)

    def _poll(self, client: http.client.HTTPSConnection, topic: str) -> None:
        behind = self._positions.get(topic)
        after = "" if behind is None else f"?after={quote(behind)}&wait={_POLL}"
        path = f"/api/v1/topics/{quote(topic)}/events{after}"
        with self._answer(client, path, {}) as answer:
            told = json.loads(answer.read())["data"]
        with self._noting() as account:
            account.stand(told, told["offset"])
            for message in told["events"]:
                account.take(message)
            self._positions[topic] = told["position"]
