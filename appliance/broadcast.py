"""Publishing into the appliance from an application, with the functions that applications of the ARA system call.

    from appliance.broadcast import broadcast_prediction_update, broadcast_market_data, send_alert

    await send_alert(alert_data={"type": "price_alert", "symbol": "AAPL", "message": "Price exceeded $150"})

The same names work under asyncio, under Trio, without any loop (there the call itself publishes, and `await` or
`.result` only give what came of it) and inside a plugin of the appliance (there without HTTP).
Must not know anything else of the appliance: the standard library is enough, so that this file can be copied.
What it keeps for the whole process, as those names ask for, is one configuration and its open connections.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import datetime as dt
import decimal
import http.client
import json
import os
import ssl
import sys
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")
Receipt = dict[str, Any]
"""`{"published": 1, "duplicate": False, "events": [{"topics": [{"topic": …, "epoch": …, "offset": …}]}]}`"""

_Request = tuple[str, str, bytes | None, dict[str, str]]
"""Method, path, body and headers."""

_PUBLISH = "/api/v1/publish"
_STATISTICS = "/ws/stats"
_LARGEST_ANSWER = 16 * 1024 * 1024
_MOST_IDLE = 8
_OK = 200


class BroadcastError(Exception):
    """Nothing was published, or nobody knows; the message says why and what is right.

    `status` is that of the answer, where there was one, and `errors` are its mistakes, each with `path` and `problem`.
    """

    def __init__(
        self, message: str, status: int | None = None, errors: tuple[Mapping[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors


class Inside(Protocol):
    """How plugins publish: an object of the appliance, instead of its address. Raises BroadcastError."""

    async def publish(self, event: bytes, key: str | None) -> Receipt: ...

    def publish_blocking(self, event: bytes, key: str | None) -> Receipt:
        """Publish from a thread."""

    def connections(self) -> Mapping[str, Any]:
        """Give the counts, wherever it is called."""


_inside: ContextVar[Inside | None] = ContextVar("inside", default=None)


@contextlib.contextmanager
def inside(publisher: Inside) -> Iterator[None]:
    """Let what is called in this context, and in tasks and threads that begin in it, publish without HTTP."""
    token = _inside.set(publisher)
    try:
        yield
    finally:
        _inside.reset(token)


# --- What applications call. ---


def configure(
    url: str,
    *,
    key: str | None = None,
    certificate: str | os.PathLike[str] | None = None,
    timeout: float = 10.0,
) -> None:
    """Say where the appliance is, instead of APPLIANCE_URL, APPLIANCE_KEY and APPLIANCE_CERTIFICATE.

    `certificate` is the file of the certificate to trust, its own or its authority's; none: those of the system.
    `timeout` is how long each step of a request may take, in seconds.
    """
    trusted = None if certificate is None else os.fspath(certificate)
    _line.configured = _Target.parse(url, key=key, certificate=trusted, timeout=timeout)


def publish(
    channel: str,
    key: str,
    data: Mapping[str, Any],
    at: float | str | dt.datetime | None = None,
    idempotency_key: str | None = None,
) -> Coroutine[Any, Any, Receipt]:
    """Publish one event; `at` is the source's time (now, when left out). What comes twice under one key counts once."""
    event: dict[str, Any] = {"channel": channel, "key": key, "data": data}
    if at is not None:
        event["at"] = at
    try:
        body = json.dumps(event, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BroadcastError(f"the event is no JSON: {error}") from error
    publisher = _inside.get()
    if publisher is None:
        return _run(lambda: _line.publish(body, idempotency_key or uuid.uuid4().hex))
    if _in_trio():
        return publisher.publish(body, idempotency_key)
    return _run(lambda: publisher.publish_blocking(body, idempotency_key))


def broadcast_prediction_update(
    *, symbol: str, prediction_data: Mapping[str, Any]
) -> Coroutine[Any, Any, Receipt]:
    """Publish a prediction into the channel `predictions`."""
    return publish("predictions", _symbol(symbol), prediction_data)


def broadcast_market_data(*, symbol: str, market_data: Mapping[str, Any]) -> Coroutine[Any, Any, Receipt]:
    """Publish a price into the channel `price`."""
    return publish("price", _symbol(symbol), market_data)


def send_alert(*, alert_data: Mapping[str, Any]) -> Coroutine[Any, Any, Receipt]:
    """Publish an alert into the channel `alerts`, under its symbol, or `all` when it has none."""
    symbol = alert_data.get("symbol")
    return publish("alerts", _symbol(symbol) if symbol else "all", alert_data)


class Connections:
    """How many clients there are. Calls wait for the answer: from a loop, make them in a thread (not in a plugin)."""

    def get_connection_count(self, channel: str | None = None) -> int:
        """Count all clients, or those of `predictions`, `market-data`, `alerts`… (none, when there is no such)."""
        counts = self._counts()
        return int(counts["total"] if channel is None else counts["channels"].get(channel, 0))

    def get_channels(self) -> list[str]:
        """Name what has clients."""
        return [name for name, count in self._counts()["channels"].items() if count]

    def _counts(self) -> Mapping[str, Any]:
        publisher = _inside.get()
        return _line.connections() if publisher is None else publisher.connections()


connection_manager = Connections()


def _symbol(symbol: object) -> str:
    if not isinstance(symbol, str) or not symbol:
        raise BroadcastError(f'symbol is text such as "AAPL", not {symbol!r}')
    return symbol.upper()


def _plain(value: object) -> Any:  # noqa: ANN401 - anything that is JSON
    """Turn what applications have at hand into JSON: times, decimals, the scalars and arrays of NumPy."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


# --- Where it is called. ---


class Done(Coroutine[Any, Any, Result]):
    """A coroutine that has come to its end already."""

    def __init__(self, result: Result) -> None:
        self.result = result

    def send(self, _value: object) -> Any:  # noqa: ANN401 - never returns
        raise StopIteration(self.result)

    def throw(self, error: Any, _value: object = None, _traceback: object = None) -> Any:  # noqa: ANN401 - as Coroutine
        raise error

    def close(self) -> None:
        """Nothing is open."""

    def __await__(self) -> Generator[Any, Any, Result]:
        yield from ()
        return self.result


def _runs(current: Callable[[], object]) -> bool:
    try:
        current()
    except RuntimeError:
        return False
    return True


def _in_trio() -> bool:
    """Whether Trio runs here. It is not imported for that: where it runs, it has been."""
    trio = sys.modules.get("trio")
    return trio is not None and _runs(trio.lowlevel.current_task)


def _run(work: Callable[[], Result]) -> Coroutine[Any, Any, Result]:
    """Do what blocks: in a thread of the loop that runs here, or at once where none does."""
    if _in_trio():
        # It has a deadline of its own; who no longer wants to wait for it need not.
        run: Callable[..., Coroutine[Any, Any, Result]] = sys.modules["trio"].to_thread.run_sync
        return run(work, abandon_on_cancel=True)
    if _runs(asyncio.get_running_loop):
        return asyncio.to_thread(work)
    return Done(work())


# --- The way over HTTP. ---


@dataclass(frozen=True)
class _Target:
    """Where the appliance is, and how to get in."""

    address: str
    secure: bool
    host: str
    port: int | None
    prefix: str
    key: str | None = field(repr=False)
    certificate: str | None
    timeout: float

    @classmethod
    def parse(cls, url: str, *, key: str | None, certificate: str | None, timeout: float) -> _Target:
        try:
            parts = urllib.parse.urlsplit(url)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        except ValueError as error:
            raise BroadcastError(f"{url!r} is no address: {error}") from error
        if scheme not in ("http", "https") or not host or set("?#@") & set(url):
            raise BroadcastError(f"{url!r} is no address of an appliance: write https://HOST:PORT")
        if key is not None and not (key.isascii() and key.isprintable() and key and " " not in key):
            raise BroadcastError("this is no key of an appliance: plain ASCII without spaces")
        address, prefix = f"{scheme}://{parts.netloc}", parts.path.rstrip("/")
        return cls(address, scheme == "https", host, port, prefix, key, certificate, timeout)

    @classmethod
    def from_environment(cls) -> _Target:
        url = os.environ.get("APPLIANCE_URL")
        if not url:
            raise BroadcastError(
                "nobody said where the appliance is: set APPLIANCE_URL, or call configure(url, key=…)"
            )
        key, certificate = os.environ.get("APPLIANCE_KEY"), os.environ.get("APPLIANCE_CERTIFICATE")
        return cls.parse(url, key=key or None, certificate=certificate or None, timeout=10.0)

    def open(self) -> http.client.HTTPConnection:
        if not self.secure:
            return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        try:
            context = ssl.create_default_context(cafile=self.certificate)
        except OSError as error:
            raise BroadcastError(f"{self.certificate}: no certificate can be read there: {error}") from error
        context.set_alpn_protocols(["http/1.1"])
        return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=context)


_STALE = (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""How a connection ends that the appliance closed while nothing was asked on it."""


class _Line:
    """The connections to the appliance: kept open, each used by one thread at a time."""

    def __init__(self) -> None:
        self.configured: _Target | None = None
        self._lock = threading.Lock()
        self._idle: list[tuple[_Target, http.client.HTTPConnection]] = []

    def publish(self, body: bytes, idempotency_key: str) -> Receipt:
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        receipt = self._ask("POST", _PUBLISH, body, headers).get("data")
        if not isinstance(receipt, dict):
            raise BroadcastError("the answer has no `data`: is this an appliance?")
        return receipt

    def connections(self) -> Mapping[str, Any]:
        counts = self._ask("GET", _STATISTICS, None, {}).get("connections")
        if not isinstance(counts, dict) or not {"total", "channels"} <= counts.keys():
            raise BroadcastError(
                "the statistics have no `connections`: is this an appliance, and not an old one?"
            )
        return counts

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def renew(self) -> None:
        """Begin anew in a forked process: the connections are its parent's, and its lock may be held for ever."""
        self._lock = threading.Lock()
        self.close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
        target = self.configured or _Target.from_environment()
        if target.key is not None:
            headers["Authorization"] = f"Bearer {target.key}"
        request = (method, target.prefix + path, body, headers)
        try:
            status, text = self._exchange(target, request)
        except ssl.SSLCertVerificationError as error:
            raise BroadcastError(
                f"{target.address} is not trusted: {error.verify_message}. APPLIANCE_CERTIFICATE names the file of "
                "the certificate to trust: certificate.pem in the state folder of the appliance"
            ) from error
        except TimeoutError as error:
            raise BroadcastError(f"{target.address} did not answer within {target.timeout:g} s") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise BroadcastError(f"{target.address} cannot be asked: {error!r}") from error
        return _content(target, status, text)

    def _exchange(self, target: _Target, request: _Request) -> tuple[int, bytes]:
        idle = self._take(target)
        if idle is not None:
            with contextlib.suppress(*_STALE):  # once more, then: its idempotency key lets it count once
                return self._send(target, idle, request)
        return self._send(target, target.open(), request)

    def _send(
        self, target: _Target, connection: http.client.HTTPConnection, request: _Request
    ) -> tuple[int, bytes]:
        try:
            with contextlib.suppress(BrokenPipeError):  # it may have answered what it would not read
                connection.request(*request)
            response = connection.getresponse()
            text = response.read(_LARGEST_ANSWER)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if response.isclosed() and len(self._idle) < _MOST_IDLE:
                self._idle.append((target, connection))
                return response.status, text
        connection.close()
        return response.status, text

    def _take(self, target: _Target) -> http.client.HTTPConnection | None:
        with self._lock:
            while self._idle:
                own, connection = self._idle.pop()
                if own == target and connection.sock is not None:
                    return connection
                connection.close()
        return None


def _content(target: _Target, status: int, text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise BroadcastError(f"{target.address} answered {status} and no JSON: is this an appliance?", status)
    if status == _OK:
        return answer
    listed = answer.get("errors")
    errors = tuple(error for error in listed if isinstance(error, dict)) if isinstance(listed, list) else ()
    told = "; ".join(": ".join(map(str, filter(None, error.values()))) for error in errors)
    raise BroadcastError(told or str(answer.get("error")), status, errors)


_line = _Line()
atexit.register(_line.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_line.renew)
