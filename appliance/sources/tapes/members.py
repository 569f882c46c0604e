"""The members of a tape: each is a gzip file of its own, with whole lines and their checksum.

Must not know what the lines say. What gzip unpacks, it unpacks: one member after the other is one file (RFC 1952).
"""

from __future__ import annotations

import zlib
from collections import deque
from typing import IO, TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00"
"""How each member begins that `pack` makes. It stands nowhere else: JSON has no such bytes, and that compressed data
has them by chance is as likely as one in 2 to the 64.
"""

_GZIP = 31
"""What zlib calls a gzip file with the largest window."""
_LEVEL = 6
_CHUNK = 262_144
_MOST_HELD = 8 * 1024**2
"""Bytes of a member that wait for its checksum. Of a larger one, which others made, what is read is given at once."""


@attrs.frozen
class Damage:
    """Bytes of the file that cannot be unpacked; `torn`: they are the end of it."""

    begin: int
    end: int
    torn: bool


class _DamagedError(Exception):
    """A member cannot be unpacked, or has no end."""


def pack(text: bytes) -> bytes:
    """Make a member."""
    return HEAD + zlib.compress(text, _LEVEL, _GZIP)[len(HEAD) :]


def unpack(file: IO[bytes]) -> Iterator[bytes | Damage]:
    """Give the lines of all members. Damage is passed over, to the next member that there is."""
    begin, size = 0, _size(file)
    while begin < size:
        member = _Member(file, begin)
        try:
            yield from member.lines()
            begin = member.end
        except _DamagedError:
            following = _next_head(file, begin + 1)
            end = size if following is None else following
            yield Damage(begin, end, torn=following is None)
            begin = end


def whole(file: IO[bytes]) -> int | None:
    """Give the length of the file without what was not finished at its end; None where it is no tape."""
    size = _size(file)
    begin = _last_head(file, size)
    if begin is None:
        file.seek(0)
        return 0 if HEAD.startswith(file.read(len(HEAD))) else None
    member = _Member(file, begin)
    try:
        deque(member.lines(), maxlen=0)
    except _DamagedError:
        return begin
    return member.end


class _Member:
    """A member that begins at a place of the file. `end` is known once all its lines were given."""

    def __init__(self, file: IO[bytes], begin: int) -> None:
        self._file = file
        self.begin = self.end = begin

    def lines(self) -> Iterator[bytes]:
        held: list[bytes] = []
        size, rest = 0, b""
        for piece in self._pieces():
            size += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            held += lines
            if len(rest) > _MOST_HELD:
                raise _DamagedError
            if size > _MOST_HELD:
                yield from filter(None, held)
                held.clear()
        yield from filter(None, (*held, rest))

    def _pieces(self) -> Iterator[bytes]:
        unzip = zlib.decompressobj(_GZIP)
        place = self.begin
        while not unzip.eof:
            self._file.seek(place)  # each time, for who is given a piece may use the file
            chunk = self._file.read(_CHUNK)
            place += len(chunk)
            if not chunk:
                raise _DamagedError
            try:
                while chunk and not unzip.eof:  # behind the end, the tail stays what it was
                    yield unzip.decompress(chunk, _CHUNK)
                    chunk = unzip.unconsumed_tail
            except zlib.error:
                raise _DamagedError from None
        self.end = place - len(unzip.unused_data)


def _size(file: IO[bytes]) -> int:
    return file.seek(0, 2)


def _next_head(file: IO[bytes], begin: int) -> int | None:
    overlap = len(HEAD) - 1
    while True:
        file.seek(begin)
        chunk = file.read(_CHUNK)
        found = chunk.find(HEAD)
        if found >= 0:
            return begin + found
        if len(chunk) <= overlap:
            return None
        begin += len(chunk) - overlap


def _last_head(file: IO[bytes], end: int) -> int | None:
    """Give the place of the last head before an end."""
    overlap = len(HEAD) - 1
    while end > overlap:
        begin = max(0, end - _CHUNK)
        file.seek(begin)
        found = file.read(end - begin).rfind(HEAD)
        if found >= 0:
            return begin + found
        end = begin + overlap if begin else 0
    return None
