"""The event stream of server-sent events (the HTML standard's `text/event-stream`): a finished text as an event."""

from __future__ import annotations

KEEP_ALIVE = b": still here\n\n"
"""A comment: it keeps proxies from closing a quiet stream."""


def event(text: bytes) -> bytes:
    """Make an event of a text without line breaks, which JSON has none of."""
    return b"data: %b\n\n" % text


def retry(seconds: float) -> bytes:
    """Tell the client how long to wait before it comes back."""
    return b"retry: %d\n\n" % round(1000 * seconds)
