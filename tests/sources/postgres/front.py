"""What stands before a database as a proxy does: it speaks TLS, or refuses it, and passes everything on."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import ssl
import struct
import threading
from typing import TYPE_CHECKING, Self

from tests.postgres import HOST, free_port

if TYPE_CHECKING:
    from pathlib import Path

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_WITHIN = 30.0


class Front(socketserver.ThreadingTCPServer):
    """Listens on `port`, and passes on to `behind`. Without a certificate, it says that it speaks no TLS."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, behind: int, certificate: tuple[Path, Path] | None = None) -> None:
        self.port = free_port()
        self.behind = behind
        self.encrypted = 0
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        super().__init__((HOST, self.port), _Passing)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Passing(socketserver.BaseRequestHandler):
    server: Front

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.request.settimeout(_WITHIN)
            first = self.request.recv(8, socket.MSG_WAITALL)
            if first != _SSL_REQUEST:
                self._pass_on(self.request, first)
            elif self.server.context is None:
                self.request.sendall(b"N")
                self._pass_on(self.request, b"")
            else:
                self.request.sendall(b"S")
                with self.server.context.wrap_socket(self.request, server_side=True) as secured:
                    self.server.encrypted += 1
                    self._pass_on(secured, b"")

    def _pass_on(self, client: socket.socket, first: bytes) -> None:
        with socket.create_connection((HOST, self.server.behind), _WITHIN) as database:
            database.sendall(first)
            ends = {client: database, database: client}
            while True:
                for end in select.select(list(ends), [], [], _WITHIN)[0]:
                    data = end.recv(65_536)
                    while isinstance(end, ssl.SSLSocket) and end.pending():
                        data += end.recv(65_536)
                    if not data:
                        return
                    ends[end].sendall(data)
