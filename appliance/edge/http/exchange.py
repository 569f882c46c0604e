"""A connection of HTTP, as far as answers gather on it: who is owed too much is cut off.

Must not know what is answered, nor who serves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.errors import RequestError
    from appliance.edge.stream import Stream


class Exchange:
    """`buffered` gives the bytes that have not come to the stream yet."""

    def __init__(self, stream: Stream, buffered: Callable[[], int]) -> None:
        self._stream = stream
        self._buffered = buffered

    @property
    def owed_bytes(self) -> int:
        return self._stream.waiting + self._buffered()

    def expel(self, _error: RequestError) -> None:
        """Cut it off: what it could be told would stand behind what it does not take."""
        self._stream.abort()

    def cut(self) -> None:
        self._stream.abort()
