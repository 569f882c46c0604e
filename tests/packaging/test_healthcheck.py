"""The health check of a container: where it asks, and what it makes of the answers."""

from __future__ import annotations

import http.server
import socket
import threading
from typing import TYPE_CHECKING

import healthcheck
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self


class Answering(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(f"{self.path} told".encode())

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the library's name for it
        pass


class Server:
    """A plain HTTP server that gives one status to all."""

    def __init__(self, status: int) -> None:
        answering = type("Answering", (Answering,), {"status": status})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), answering)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def place(self) -> tuple[str, int]:
        return "127.0.0.1", self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def ready() -> Iterator[Server]:
    with Server(200) as server:
        yield server


@pytest.fixture
def unready() -> Iterator[Server]:
    with Server(503) as server:
        yield server


@pytest.mark.parametrize(
    ("family", "bound", "asked"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET, "127.1.2.3", "127.1.2.3"),
        (socket.AF_INET, "0.0.0.0", "127.0.0.1"),  # noqa: S104 - as a container listens
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "::1"),
    ],
)
def test_it_asks_where_a_process_listens(family: int, bound: str, asked: str) -> None:
    with socket.create_server((bound, 0), family=family) as door:
        place = (asked, door.getsockname()[1])
        assert place in healthcheck.places()
    assert place not in healthcheck.places()


def test_who_is_ready_is_well(ready: Server) -> None:
    assert healthcheck.ask(*ready.place) == ""


def test_who_is_not_ready_says_why(unready: Server) -> None:
    assert healthcheck.ask(*unready.place) == "503 /ready told"


def test_who_does_not_answer_is_not_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        place = door.getsockname()
    assert "refused" in healthcheck.ask(*place)


def test_one_that_is_ready_is_enough(ready: Server, unready: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "places", lambda: [unready.place, ready.place])
    healthcheck.main()


def test_all_that_is_not_well_is_told(unready: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "places", lambda: [unready.place])
    with pytest.raises(SystemExit, match=rf"^port {unready.place[1]}: 503 /ready told$"):
        healthcheck.main()


def test_nothing_that_listens_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "places", list)
    with pytest.raises(SystemExit, match=r"^nothing listens$"):
        healthcheck.main()
