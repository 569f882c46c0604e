"""`appliance replay`: looks what is on a tape, and serves that, and nothing else, as `serve` would.

Must not know how a tape is played: that is the source's matter.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import attrs
import trio

from appliance.api import NoSettings
from appliance.cli.serving import Request
from appliance.core.errors import SourceError
from appliance.core.instants import timestamp
from appliance.core.topics import is_channel
from appliance.loading.options import shared_out
from appliance.ops.state import state_folder
from appliance.runtime.turnover import Turnover
from appliance.settings.tree import ChannelSettings, SourceSettings
from appliance.sources.tapes.reading import Trouble, read

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from appliance.settings.load import Loaded
    from appliance.settings.tree import Settings
    from appliance.sources.tapes.lines import Taped

SOURCE = "tape"
"""Name of the source."""
FOLDER = "replay"
"""Folder below that of the state: what is played must not be taken for what happened."""
_OWN = ("system",)
"""Channels that the appliance itself makes."""
_COUNT_EVERY = 10_000


@attrs.frozen
class Content:
    """What is on a tape: events by channel, and when the first and the last of them came."""

    channels: Mapping[str, int]
    first: Taped
    last: Taped

    def __str__(self) -> str:
        events = sum(self.channels.values())
        span = f"{timestamp(self.first.received.timestamp())} to {timestamp(self.last.received.timestamp())}"
        return f"{events:,} events from {span} of {', '.join(sorted(self.channels))}"


def look(
    path: Path, start: dt.datetime | None, *, tell: Callable[[str], object], count: Callable[[int], object]
) -> Content:
    """Look through a tape. SourceError says why it cannot be played."""
    channels: Counter[str] = Counter()
    first = last = None
    for number, found in enumerate(read(path, start=start), 1):
        if number % _COUNT_EVERY == 0:
            count(_COUNT_EVERY)
        if isinstance(found, Trouble):
            tell(f"{path}: {found.problem}")
        elif is_channel(found.channel) and found.channel not in _OWN:
            channels[found.channel] += 1
            first, last = first or found, found
    if first is None or last is None:
        where = "" if start is None else f" from {timestamp(start.timestamp())} on"
        raise SourceError(f"{path} holds no events{where} that can be played: name another tape")
    return Content(channels, first, last)


@attrs.frozen(kw_only=True)
class Replay(Request):
    """What is asked for: as for `serve`, but for what is served."""

    path: Path
    speed: float | Literal["max"]
    start: dt.datetime | None
    wait: float
    loop: bool
    times: str
    channels: frozenset[str]
    """Those on the tape."""
    known: Mapping[str, type]
    """Those that there would be otherwise, with the class of their own settings."""

    def load(self) -> Loaded:
        """Read the configuration, and let the tape be the source of all channels that are on it, and of no other."""
        loaded = Request.load(self)
        return attrs.evolve(loaded, draft=self._playing(loaded.draft))

    def _playing(self, draft: Settings) -> Settings:
        options: dict[str, Any] = {
            "file": str(self.path.absolute()),
            "speed": self.speed,
            "wait": self.wait,
            "loop": self.loop,
            "times": self.times,
            **({} if self.start is None else {"start": self.start}),
        }
        channels = {
            name: self._channel(name, draft.channels.get(name, ChannelSettings()))
            if name in self.channels
            else ChannelSettings(enabled=False)
            for name in {*self.channels, *self.known, *draft.channels}
        }
        return attrs.evolve(
            draft,
            sources={SOURCE: SourceSettings(kind="replay", options=options)},
            channels=channels,
            state_dir=str(state_folder(draft.state_dir, self.environment) / FOLDER),
        )

    def _channel(self, name: str, told: ChannelSettings) -> ChannelSettings:
        """Keep what is said of a channel itself, and not what is said to the source that it has otherwise."""
        own = shared_out(told.options, self.known.get(name, NoSettings), None).own
        return attrs.evolve(
            told,
            enabled=True,
            source=SOURCE,
            options=dict(own),
            stale_after=None,
            history=attrs.evolve(told.history, durable=False),
        )


def known(request: Request) -> dict[str, type]:
    """Load the plugins as `serve` would, and give the channels that there would be."""
    channels = trio.run(partial(Turnover(request.load()).assemble, strict=False, warn=lambda _: None))
    return {each.channel.name: type(each.settings) for each in channels}
