"""A running appliance among signals, and what systemd is told of it.

Must not know how it was made ready.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

import attrs
import structlog
import trio

from appliance.cli import greeting, preparing
from appliance.core.errors import ApplianceError
from appliance.ops import log, watchdog
from appliance.ops.garbage import Sweeper
from appliance.settings import reload

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.app import Appliance
    from appliance.ops.notify import Notifier
    from appliance.ops.state import State
    from appliance.runtime.turnover import Turnover
    from appliance.settings.load import Loaded
    from appliance.settings.tree import Settings

_log = structlog.get_logger()
_audit = structlog.get_logger("audit")

STOPPED_AT_ONCE: Final = 1
"""The status of a process that did not wait for its clients."""
_GRACE: Final = 2.0
"""Seconds after the deadline of a stop, or after a second signal, until the process is ended by force."""
_RENEWAL_CHECK: Final = 3600.0
"""Seconds between two looks at how long the self-signed certificate is still good."""
_STATUS_EVERY: Final = 5.0
"""Seconds between two lines for `systemctl status`."""


@attrs.define(kw_only=True)
class Running:
    """What signals do to a running appliance; `load` reads the configuration again.

    `watched` is within how many seconds systemd wants a sign of life, if it does.
    """

    served: Appliance
    turnover: Turnover
    load: Callable[[], Loaded]
    settings: Settings
    state: State
    hello: greeting.Greeting
    notifier: Notifier
    watched: float | None
    _status: int = attrs.field(default=STOPPED_AT_ONCE, init=False)
    _stopping: bool = attrs.field(default=False, init=False)
    _refused: bool = attrs.field(default=False, init=False)
    _last_resorts: list[threading.Timer] = attrs.field(factory=list, init=False)

    async def run(self) -> int:
        """Give the process's exit status once the appliance has stopped."""
        async with (
            trio.open_nursery() as nursery
        ):  # ends when the appliance has stopped, or at a second signal
            await nursery.start(self._watch_signals, nursery.cancel_scope)
            nursery.start_soon(self._renew_certificate)
            async with trio.open_nursery() as serving:  # ends when the appliance has stopped
                await serving.start(self.served.run)
                _log.info("serving", listeners=[str(address) for address in self.hello.addresses])
                greeting.show(self.hello, sys.stdout)
                self._say_ready(nursery)
            self._status = 0
            nursery.cancel_scope.cancel()
        for timer in self._last_resorts:
            timer.cancel()
        _log.info("stopped")
        return self._status

    def _say_ready(self, nursery: trio.Nursery) -> None:
        if self._stopping:  # asked for while it was starting
            return
        self.notifier.ready()
        nursery.start_soon(Sweeper().run)  # it looks once at all there is: a start does not wait for that
        nursery.start_soon(self._tell_status)
        if self.watched is not None:
            nursery.start_soon(watchdog.keep, self.watched, self.notifier.alive, self.served.stuck)

    async def _tell_status(self) -> None:
        told = ""
        while not self._stopping:
            refused = "; the configuration was refused, the one before stays" if self._refused else ""
            if (summary := self.served.summary() + refused) != told:
                told = summary
                self.notifier.status(told)
            await trio.sleep(_STATUS_EVERY)

    async def _watch_signals(
        self, everything: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            # A task of its own, so that a stop need not wait for it; asked for meanwhile, there is one more after it.
            asked, reloads = trio.open_memory_channel[None](1)
            async with trio.open_nursery() as nursery:  # ends with all else
                nursery.start_soon(self._reload_when_asked, reloads)
                task_status.started()
                async for number in signals:
                    if number == signal.SIGHUP:
                        with contextlib.suppress(trio.WouldBlock):
                            asked.send_nowait(None)
                    else:
                        self._stop(signal.Signals(number), everything)

    def _stop(self, number: signal.Signals, everything: trio.CancelScope) -> None:
        if self._stopping:
            _log.warning("stopping at once", signal=number.name)
            everything.cancel()
            self._end_after(_GRACE)
            return
        self._stopping = True
        within = self.settings.stop.deadline + _GRACE
        _log.info("stopping", signal=number.name, deadline=self.settings.stop.deadline)
        self.notifier.stopping(within + _GRACE)
        self.notifier.status(f"stopping; {self.served.summary()}")
        self._end_after(within)
        self.served.stop()

    def _end_after(self, seconds: float) -> None:
        """End the process by then, whatever holds it: a plugin may shield itself for ever."""

        def end() -> None:
            _log.error(
                "stopped by force",
                remedy="some plugin shields itself from trio.Cancelled: the log names it where it did not stop",
            )
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(STOPPED_AT_ONCE)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        self._last_resorts.append(timer)

    async def _reload_when_asked(self, asked: trio.MemoryReceiveChannel[None]) -> None:
        async for _ in asked:
            self.notifier.reloading()
            self._refused = not await self._reload()
            if not self._stopping:
                self.notifier.ready()

    async def _reload(self) -> bool:
        """Take over what can change; a configuration with mistakes is refused whole."""
        try:
            loaded = self.load()
            await self.turnover.reload_all(loaded)
            merged = reload.merged(self.settings, loaded.settings)
            keys = preparing.keys(merged, self.state)
            self.served.reload(merged, keys.settings)
        except ApplianceError as error:
            _audit.error("configuration refused, the one before stays", mistakes=str(error).splitlines())
            return False
        except Exception:  # noqa: BLE001 - a mistake that nobody foresaw would stop a start, but not this
            _log.exception("configuration refused, the one before stays")
            return False
        for warning in loaded.warnings:
            _log.warning("configuration", warning=warning)
        changes = reload.changes(self.settings, loaded.settings)
        self.settings = merged
        log.set_level(merged.log.level)
        _audit.info("configuration reloaded", changed=[change.path for change in changes if change.reloads])
        if waiting := [change.path for change in changes if not change.reloads]:
            _log.warning("some changes wait for a restart", settings=waiting)
        return True

    async def _renew_certificate(self) -> None:
        """Renew the self-signed certificate in time; the appliance picks the new files up by itself."""
        while True:
            await trio.sleep(_RENEWAL_CHECK)
            try:
                preparing.certificate(self.settings, self.state, self.hello.addresses)
            except ApplianceError as error:
                _log.error("certificate not renewed", reason=str(error))
