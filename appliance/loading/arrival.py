"""From a file to a plugin: read and judged, probed in a process of its own, and only then imported here.

Must not know other plugins. However a file behaves, each step ends in time, with a plugin or with a PluginError.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import attrs
import trio

from appliance.core.errors import ApplianceError, PluginError
from appliance.loading import bundle, deadline, plugin
from appliance.loading.bundle import Bundle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable
    from pathlib import Path

    from appliance.loading.examination import Finding
    from appliance.loading.installed import Installed
    from appliance.loading.plugin import Plugin
    from appliance.settings.load import Loaded

K = TypeVar("K", bound="Hashable")
T = TypeVar("T")


_AT_ONCE = 2
"""Plugins that are probed at the same time."""


class Probe(Protocol):
    """How a plugin is examined before it is imported here."""

    async def __call__(self, plugin: Bundle | Installed, loaded: Loaded, /) -> Finding: ...


@attrs.frozen
class Probed:
    """A plugin with which the probe found nothing wrong, as it was then."""

    what: Bundle | Installed
    finding: Finding


class OvertimeError(PluginError):
    """It took too long here, and would again."""


async def read(path: Path, loaded: Loaded) -> Bundle:
    """Read a plugin of a folder, which must come from whom one may trust."""
    most = loaded.draft.plugins.bytes
    return await trio.to_thread.run_sync(partial(bundle.read, path, most=most, folder=path.parent))


async def probed(what: Bundle | Installed, loaded: Loaded, probe: Probe) -> Probed:
    return Probed(what, await probe(what, loaded))


async def each_of(things: Iterable[K], work: Callable[[K], Awaitable[T]]) -> dict[K, T | PluginError]:
    """Do the work for each of these, for some at the same time; give what came out, or why nothing did."""
    results: dict[K, T | PluginError] = {}
    turns = trio.CapacityLimiter(_AT_ONCE)

    async def one(thing: K) -> None:
        async with turns:
            try:
                results[thing] = await work(thing)
            except PluginError as error:
                results[thing] = error

    async with trio.open_nursery() as nursery:  # ends when all is done
        for thing in things:
            nursery.start_soon(one, thing)
    return results


async def imported(found: Probed, loaded: Loaded, fit: Callable[[Plugin], T]) -> tuple[Plugin, T]:
    """Import a plugin, and give it with what `fit` makes of it. Where that cannot be, nothing of it stays."""
    what = found.what
    return await within(partial(_fitted, what, fit), loaded, what.file)


def to_retry(result: Probed | PluginError | None, error: PluginError) -> Probed | None:
    """What may fit once others have changed: not what the probe has refused, nor what would keep all waiting again."""
    return result if isinstance(result, Probed) and not isinstance(error, OvertimeError) else None


async def within(work: Callable[[], T], loaded: Loaded, file: Path) -> T:
    """Run a plugin's code here, in no more than its time."""
    seconds = loaded.draft.plugins.check_within
    try:
        return await deadline.call(work, seconds=seconds)
    except ApplianceError:
        raise
    except deadline.TooLongError as error:
        rest = (
            "" if error.ended else "; its thread cannot be ended and runs on: restart the appliance in time"
        )
        raise OvertimeError(
            f"{file}: is not imported within {seconds:g} s here, though it was in the probe "
            f"(plugins.check_within): it must not look at where it is{rest}"
        ) from None
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{file}: {type(error).__name__}: {error}: what it registers cannot be used"
        ) from error


def _fitted(what: Bundle | Installed, fit: Callable[[Plugin], T]) -> tuple[Plugin, T]:
    new = plugin.load(what) if isinstance(what, Bundle) else what.load()
    with contextlib.ExitStack() as undo:
        undo.callback(new.forget)
        result = fit(new)
        undo.pop_all()
    return new, result
