"""Whether a listener still accepts: its loop turns whenever somebody waits.

Must not know what accepting is, nor what follows when it has stopped.
"""

from __future__ import annotations

import select
import socket

import attrs


@attrs.define
class Pulse:
    """The signs of life of one listener. Its loop counts each turn; `stuck` is asked now and then."""

    turns: int = 0
    _seen: int | None = attrs.field(default=None, init=False)

    def turn(self) -> None:
        """Count that the loop has taken up who waits, or has found that it cannot for the moment."""
        self.turns += 1

    def stuck(self, sock: socket.socket) -> str | None:
        """Say why nobody comes in any more, if so: somebody waits, as at the last look, and the loop has not turned.

        Nobody is needed to find out, and a loop that merely has much to do is none that stands still.
        """
        try:
            accepts = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            return f"its socket is lost ({error.strerror})"
        if not accepts:
            return "its socket is lost: another file has its number"
        looking = select.poll()
        looking.register(sock, select.POLLIN)
        waited, self._seen = self._seen, self.turns if looking.poll(0) else None
        return "who comes is not let in" if self._seen is not None and self._seen == waited else None
