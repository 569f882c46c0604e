"""The event stream of server-sent events (the HTML standard's `text/event-stream`): a finished text as an event."""

from __future__ import annotations

KEEP_ALIVE = b": still here\n\n"
"""A comment: it keeps proxies from closing a quiet stream."""

_ID = b"id: "


def event(text: bytes, place: str | None = None) -> bytes:
    """Make an event of a text without line breaks, which JSON has none of.

    A client shows the newest place that it was given as `Last-Event-ID` when it comes back.
    """
    data = b"data: %b\n\n" % text
    return data if place is None else b"%b%b\n%b" % (_ID, place.encode(), data)


def placed(event: bytes, place: str) -> bytes:
    """Give an event that has a place another one."""
    _, _, data = event.partition(b"\n")
    return b"%b%b\n%b" % (_ID, place.encode(), data)


def retry(seconds: float) -> bytes:
    """Tell the client how long to wait before it comes back."""
    return b"retry: %d\n\n" % round(1000 * seconds)
