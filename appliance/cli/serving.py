"""From a command to a running appliance: reads the configuration, prepares the machine, runs, reloads, stops."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from appliance.access.keys import make_key
from appliance.app import Appliance, Bound
from appliance.cli import greeting
from appliance.core.errors import ApplianceError, SettingsError
from appliance.edge import certificates, listener
from appliance.edge.tls import Contexts
from appliance.loading import ledger
from appliance.ops import limits, log
from appliance.ops.network import ANYWHERE, own_addresses
from appliance.ops.state import State, open_state, state_folder
from appliance.runtime.turnover import Turnover
from appliance.settings import reload
from appliance.settings.address import Address
from appliance.settings.fields import Secret
from appliance.settings.load import Loaded, load
from appliance.settings.tree import KeySettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from appliance.loading.plugin import Plugin
    from appliance.settings.tree import Settings

_log = structlog.get_logger()

KEY_FILE = "api_key"
KEY_NAME = "default"
_STOPPED_AT_ONCE = 1
_GRACE = 2.0
"""Seconds after the deadline of a stop, or after a second signal, until the process is ended by force."""
_RENEWAL_CHECK = 3600.0
"""Seconds between two looks at how long the self-signed certificate is still good."""


@attrs.frozen
class Request:
    """What the command line asked for."""

    file: Path | None
    listen: tuple[str, ...]
    overrides: tuple[str, ...]
    state_dir: str | None
    environment: Mapping[str, str]

    def load(self) -> Loaded:
        return load(
            file=self.file,
            environment=self.environment,
            overrides=self.overrides,
            listen=self.listen,
            state_dir=self.state_dir,
        )


def check(request: Request) -> Iterator[str]:
    """Check a configuration and its plugins, and say what was found."""
    loaded = request.load()
    warnings = list(loaded.warnings)
    channels = trio.run(partial(Turnover(loaded).assemble, strict=True, warn=warnings.append))
    yield from (f"warning: {warning}" for warning in warnings)
    yield f"{request.file}: good"
    for listen in loaded.settings.listen:
        yield f"  listens on {listen.url}, authentication {listen.auth}"
    for configured in channels:
        yield f"  channel {configured.channel.name} ({configured.channel.mode})"


def serve(request: Request) -> int:
    """Serve until told to stop; the value is the process's exit status."""
    loaded = request.load()
    # There is none when the process was started with its standard error closed.
    stream = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the process's life
    # Before plugins are loaded, for they may log.
    log.configure(level=loaded.draft.log.level, format=loaded.draft.log.format, stream=stream)
    warnings = list(loaded.warnings)

    def conduct(channel: str) -> str | None:
        return served.quarantined(channel)

    def tell(plugins: Sequence[Plugin]) -> None:
        served.hooks.use(plugins)

    turnover = Turnover(
        loaded,
        ledger=state_folder(loaded.draft.state_dir, request.environment) / ledger.FILE_NAME,
        conduct=conduct,
        tell=tell,
    )
    # A plugin that cannot be used does not keep the others from being served; a mistake in the configuration does.
    try:
        channels = trio.run(partial(turnover.assemble, strict=False, warn=warnings.append))
    except SettingsError:
        # All at once: what is wrong with plugins, too.
        trio.run(partial(Turnover(loaded).assemble, strict=True, warn=lambda _: None))
        raise
    settings = loaded.settings
    _warn(warnings)
    limits.raise_open_files()
    if not hasattr(socket, "TCP_NOTSENT_LOWAT"):
        _log.warning("slow clients may hold more memory: this system cannot bound unsent data")
    state = open_state(state_folder(settings.state_dir, request.environment))
    keys = _keys(settings, state)
    addresses = [Address.parse(listen.url) for listen in settings.listen]
    pair = _certificate(settings, state, addresses)
    contexts = Contexts(*pair) if pair is not None else None
    sockets = _bind(addresses)
    served = Appliance(
        settings, channels, keys=keys.settings, sockets=sockets, contexts=contexts, turnover=turnover
    )
    hello = greeting.Greeting(
        addresses=tuple(bound.address for bound in sockets),
        key=keys.made,
        key_file=keys.file,
        certificate=pair[0] if pair is not None else None,
        fingerprint=contexts.current.fingerprint if contexts is not None else None,
        trusted=settings.tls.certificate is not None,
    )
    running = _Running(request, served, turnover, settings, state, hello)
    return trio.run(running.run)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        _log.warning("configuration", warning=warning)


@attrs.frozen
class _Keys:
    """The keys that open the appliance; the one it made itself, if it did, and where that is kept."""

    settings: tuple[KeySettings, ...]
    made: str | None = attrs.field(default=None, repr=False)
    file: Path | None = None


def _keys(settings: Settings, state: State) -> _Keys:
    """Give the configured keys, or where there are none and some listener wants one, the appliance's own."""
    if settings.auth.keys or all(listen.auth == "none" for listen in settings.listen):
        return _Keys(settings.auth.keys)
    key, _ = state.secret(KEY_FILE, make_key)
    own = KeySettings(name=KEY_NAME, key=Secret(key), publish=("*",))
    return _Keys((own,), key, state.folder / KEY_FILE)


def _certificate(settings: Settings, state: State, addresses: Iterable[Address]) -> tuple[Path, Path] | None:
    """Give certificate and key for the `tls://` listeners: those that are named, or the self-signed one."""
    hosts = {address.host for address in addresses if address.kind == "tls"}
    tls = settings.tls
    if not hosts:
        return None
    if tls.certificate is not None and tls.key is not None:
        return Path(tls.certificate), Path(tls.key)
    paths = certificates.ensure(
        state.folder,
        names=(*hosts, *(own_addresses() if hosts & ANYWHERE else ()), *tls.names),
        valid=tls.valid,
        renew_before=tls.renew_before,
        now=time.time(),
    )
    return paths.certificate, paths.key


def _bind(addresses: Iterable[Address]) -> tuple[Bound, ...]:
    """Open every listening socket, or none."""
    opened: list[Bound] = []
    try:
        for address in addresses:
            sock = listener.bind(address)
            port = sock.getsockname()[1] if address.kind != "unix" else 0
            opened.append(Bound(attrs.evolve(address, port=port), sock))
    except ApplianceError:
        for bound in opened:
            bound.sock.close()
        raise
    return tuple(opened)


@attrs.define
class _Running:
    """What signals do to a running appliance."""

    request: Request
    served: Appliance
    turnover: Turnover
    settings: Settings
    state: State
    hello: greeting.Greeting
    status: int = _STOPPED_AT_ONCE
    last_resorts: list[threading.Timer] = attrs.field(factory=list)

    async def run(self) -> int:
        async with (
            trio.open_nursery() as nursery
        ):  # ends when the appliance has stopped, or at a second signal
            await nursery.start(self._watch_signals, nursery.cancel_scope)
            nursery.start_soon(self._renew_certificate)
            async with trio.open_nursery() as serving:  # ends when the appliance has stopped
                await serving.start(self.served.run)
                _log.info("serving", listeners=[str(address) for address in self.hello.addresses])
                greeting.show(self.hello, sys.stdout)
            self.status = 0
            nursery.cancel_scope.cancel()
        for timer in self.last_resorts:
            timer.cancel()
        _log.info("stopped")
        return self.status

    async def _watch_signals(
        self, everything: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        stopping = False
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGHUP:
                    await self._reload()
                elif stopping:
                    _log.warning("stopping at once", signal=signal.Signals(number).name)
                    everything.cancel()
                    self._end_after(_GRACE)
                else:
                    stopping = True
                    _log.info(
                        "stopping", signal=signal.Signals(number).name, deadline=self.settings.stop.deadline
                    )
                    self._end_after(self.settings.stop.deadline + _GRACE)
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
            os._exit(_STOPPED_AT_ONCE)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        self.last_resorts.append(timer)

    async def _reload(self) -> None:
        """Take over what can change; a configuration with mistakes is refused whole."""
        try:
            loaded = self.request.load()
            await self.turnover.reload_all(loaded)
            merged = reload.merged(self.settings, loaded.settings)
            keys = _keys(merged, self.state)
            self.served.reload(merged, keys.settings)
        except ApplianceError as error:
            _log.error("configuration refused, the one before stays", mistakes=str(error).splitlines())
            return
        except Exception:  # noqa: BLE001 - a mistake that nobody foresaw would stop a start, but not this
            _log.exception("configuration refused, the one before stays")
            return
        _warn(loaded.warnings)
        changes = reload.changes(self.settings, loaded.settings)
        self.settings = merged
        log.set_level(merged.log.level)
        _log.info("configuration reloaded", changed=[change.path for change in changes if change.reloads])
        if waiting := [change.path for change in changes if not change.reloads]:
            _log.warning("some changes wait for a restart", settings=waiting)

    async def _renew_certificate(self) -> None:
        """Renew the self-signed certificate in time; the appliance picks the new files up by itself."""
        while True:
            await trio.sleep(_RENEWAL_CHECK)
            try:
                _certificate(self.settings, self.state, self.hello.addresses)
            except ApplianceError as error:
                _log.error("certificate not renewed", reason=str(error))
