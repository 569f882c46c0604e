"""A client of an appliance's event stream (`GET /sse`): connects, gives what it is told, says why it ended.

Must not know what the messages say, nor when to come back.
"""

from __future__ import annotations

import contextlib
import email.utils
import ssl
import urllib.parse
from typing import TYPE_CHECKING, Self

import attrs
import h11
import msgspec
import trio

from appliance.core.errors import SourceError
from appliance.runtime.supervisor import leaves

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_SCHEMES = {"https": "https", "wss": "https", "http": "http", "ws": "http"}
_PORTS = {"https": 443, "http": 80}
_CONNECT = 10.0
"""Seconds until a connection is there and its request answered."""
_SILENCE = 90.0
"""Seconds in which an appliance that is there says at least that it is still there (`sse.keep_alive`)."""
_CHUNK = 65_536
_MOST_TOLD = 4_096
_OK = 200
_UNKNOWN = 404
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that are others after a while."""


class Lost(SourceError):  # noqa: N818 - the end of a stream, after which another may begin
    """There is no stream, or no more of it; `retry_after` is how long the appliance would have one wait."""

    def __init__(self, problem: str, retry_after: float = 0.0) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class Refused(SourceError):  # noqa: N818 - an answer
    """The appliance does not give this; `unknown`: it knows no such topic, which may come."""

    def __init__(self, problem: str, *, unknown: bool) -> None:
        super().__init__(problem)
        self.unknown = unknown


@attrs.frozen
class Told:
    """An event of the stream: a message, and the place behind it, where it has one."""

    text: bytes
    place: str | None


@attrs.frozen
class Target:
    """Where an appliance is, and how to get in."""

    scheme: str
    host: str
    port: int
    prefix: str
    key: str | None = attrs.field(default=None, repr=False)
    trusted: ssl.SSLContext | None = attrs.field(default=None, repr=False)

    @classmethod
    def at(cls, url: str, *, key: str | None = None, certificate: Path | None = None) -> Self:
        """Read an address; a ValueError says what is wrong with it, or with the certificate that is to be trusted."""
        parts = urllib.parse.urlsplit(url)
        scheme, host = _SCHEMES.get(parts.scheme), parts.hostname
        if scheme is None or not host or set("?#@") & set(url):
            raise ValueError(f"{url!r} is no address of an appliance: write https://HOST:PORT")
        prefix = parts.path.rstrip("/")
        if parts.scheme in ("ws", "wss"):
            prefix = prefix.removesuffix("/ws")
        trusted = _trusting(certificate) if scheme == "https" else None
        return cls(scheme, host, parts.port or _PORTS[scheme], prefix, key, trusted)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def request(self, names: Iterable[str], place: str | None) -> h11.Request:
        query = urllib.parse.urlencode({"channels": ",".join(names), "times": "true"})
        headers = {
            "Host": str(self).partition("//")[2],
            "Accept": "text/event-stream",
            **({} if self.key is None else {"Authorization": f"Bearer {self.key}"}),
            **({} if place is None else {"Last-Event-ID": place}),
        }
        return h11.Request(method="GET", target=f"{self.prefix}/sse?{query}", headers=list(headers.items()))


def _trusting(certificate: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=certificate)
    except OSError as error:
        raise ValueError(f"{certificate}: no certificate can be read there: {error}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


@contextlib.asynccontextmanager
async def listen(target: Target, names: Sequence[str], place: str | None) -> AsyncIterator[Listening]:
    """Open a stream of these topics and patterns, which goes on behind a place. Raises Lost or Refused."""
    with _explaining(target):
        with trio.fail_after(_CONNECT):
            stream = await _connect(target)
            try:
                listening = Listening(target, stream)
                await listening.begin(target.request(names, place))
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
        try:
            yield listening
        finally:
            await trio.aclose_forcefully(stream)


class Listening:
    """An open stream. `since` is the time of day where the appliance is, when it began."""

    def __init__(self, target: Target, stream: trio.abc.Stream) -> None:
        self._target = target
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)
        self._events = Events()
        self.since: float | None = None

    async def begin(self, request: h11.Request) -> None:
        await self._stream.send_all(
            (self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b"")
        )
        answer = await self._next()
        if not isinstance(answer, h11.Response):
            raise Lost(f"{self._target} closed the connection before it answered")
        headers = {name.decode(): value.decode("latin-1") for name, value in answer.headers}
        if answer.status_code != _OK:
            raise await self._refusal(answer.status_code, headers)
        with contextlib.suppress(KeyError, ValueError):
            self.since = email.utils.parsedate_to_datetime(headers["date"]).timestamp()

    async def next(self) -> list[Told]:
        """Give what was told next, which may be nothing but a sign of life. Raises Lost at the end."""
        with _explaining(self._target), trio.fail_after(_SILENCE):
            event = await self._next()
        if isinstance(event, h11.Data):
            return self._events.feed(bytes(event.data))
        raise Lost(f"{self._target} ended the stream", self._events.retry)

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(bytes(await self._stream.receive_some(_CHUNK)))
        return event

    async def _refusal(self, status: int, headers: Mapping[str, str]) -> Exception:
        body = b""
        while isinstance(event := await self._next(), h11.Data) and len(body) < _MOST_TOLD:
            body += event.data
        told = f"{self._target} answered {status}: {_said(body)}"
        if status not in _PASSING:
            return Refused(told, unknown=status == _UNKNOWN)
        wait = headers.get("retry-after", "")
        return Lost(told, float(wait) if wait.isdecimal() else 0.0)


class Events:
    """Takes a stream apart into events, as the HTML standard says for `text/event-stream`.

    `retry` is how long the server would have one wait before coming back.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._place: str | None = None
        self.retry = 0.0

    def feed(self, data: bytes) -> list[Told]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [told for line in lines if (told := self._line(line.removesuffix(b"\r"))) is not None]

    def _line(self, line: bytes) -> Told | None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            data, place = self._data, self._place
            self._data, self._place = [], None
            return Told(b"\n".join(data), place) if data else None
        if name == b"data":
            self._data.append(value)
        elif name == b"id":
            self._place = value.decode()
        elif name == b"retry" and value.isdigit():
            self.retry = int(value) / 1000
        return None


async def _connect(target: Target) -> trio.abc.Stream:
    stream = await trio.open_tcp_stream(target.host, target.port)
    if target.trusted is None:
        return stream
    secured = trio.SSLStream(stream, target.trusted, server_hostname=target.host, https_compatible=True)
    try:
        await secured.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secured


@contextlib.contextmanager
def _explaining(target: Target) -> Iterator[None]:
    try:
        yield
    except trio.TooSlowError:
        raise Lost(f"{target} was silent for too long") from None
    except h11.RemoteProtocolError as error:
        raise Lost(f"{target} broke off, or speaks no HTTP ({error})") from None
    except trio.BrokenResourceError as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise Lost(
                f"{target} is not trusted ({cause.verify_message}): name the certificate to trust with --cacert, "
                "as certificate.pem in the state folder of the appliance"
            ) from None
        raise Lost(f"the connection to {target} broke ({cause or error})") from None
    except OSError as error:
        raise Lost(f"{target} cannot be reached ({_reason(error)})") from None


def _reason(error: OSError) -> str:
    # Trio tries all addresses of a name, and has what each of them gave.
    cause = error.__cause__
    first = leaves(cause)[0] if isinstance(cause, BaseExceptionGroup) else error
    return str(getattr(first, "strerror", None) or first)


def _said(body: bytes) -> str:
    """Give what an answer says, in words."""
    try:
        return str(msgspec.json.decode(body)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return body.decode(errors="replace").strip()[:200] or "nothing more"
