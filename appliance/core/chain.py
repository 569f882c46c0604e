"""Frames in the order in which they go out, shared by all sessions that are sent the same ones.

A session that waits for the flusher holds the last link of a chain. Sessions that were offered the same frames hold
the same link, so that a burst is joined once for all of them, and to wait costs a session no memory of its own.

Must not know who holds a link.
"""

from __future__ import annotations


class Chain:
    """A link: a frame behind those before it. `count` is how many events they tell of."""

    __slots__ = ("_joined", "before", "count", "following", "frame", "size")

    def __init__(self, before: Chain | None, frame: bytes, events: int = 1) -> None:
        self.before = before
        self._joined: bytes | None = None
        self.frame = frame
        self.following: Chain | None = None
        self.count: int = 0 if before is None else before.count + events
        self.size: int = 0 if before is None else before.size + len(frame)

    def then(self, frame: bytes, events: int = 1) -> Chain:
        """Give the link for `frame` behind this one: the same for all who ask with the same frame in a row."""
        following = self.following
        if following is None or following.frame is not frame:
            following = self.following = Chain(self, frame, events)
        return following

    @property
    def joined(self) -> bytes:
        """All frames up to this one, for one write."""
        if self._joined is None:
            frames = []
            link: Chain | None = self
            while link is not None:
                frames.append(link.frame)
                link = link.before
            frames.reverse()
            # Joining one frame with the root's empty one would copy it.
            alone = self.before is None or self.before.before is None
            self._joined = self.frame if alone else b"".join(frames)
        return self._joined


def root() -> Chain:
    """Make the beginning of chains: a link without a frame."""
    return Chain(None, b"")
