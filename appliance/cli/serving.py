"""From a command to a running appliance: reads the configuration, makes ready, hands over to what runs it."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from appliance.access.entrance import Entrance
from appliance.access.kept import KeptKeys
from appliance.access.revoked import Revoked
from appliance.app import Appliance
from appliance.cli import greeting, preparing
from appliance.cli.running import Running
from appliance.core.errors import SettingsError
from appliance.edge.tls import Contexts
from appliance.loading import ledger, written
from appliance.ops import activation, audit, limits, log, notify
from appliance.ops.state import open_state, state_folder
from appliance.runtime.turnover import Turnover
from appliance.settings.address import Address
from appliance.settings.load import Loaded, load
from appliance.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from appliance.loading.configured import Configured
    from appliance.loading.plugin import Plugin

_log = structlog.get_logger()

_USUAL = 60.0
"""Seconds that the rest of a start may take, whatever is kept."""


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


def check(
    request: Request, *, then: Callable[[Loaded, Turnover], object] = lambda _, __: None
) -> Iterator[str]:
    """Check a configuration and its plugins, and say what was found; `then` is given it once that is said."""
    loaded = request.load()
    warnings = list(loaded.warnings)
    turnover = Turnover(loaded)
    with written.kept(written.place("plugins")):
        channels = trio.run(partial(turnover.assemble, strict=True, warn=warnings.append))
    auth = loaded.settings.auth
    Entrance(auth, auth.keys, lambda _: None)
    yield from (f"warning: {warning}" for warning in warnings)
    yield f"{request.file}: good"
    for listen in loaded.settings.listen:
        yield f"  listens on {listen.url}, authentication {listen.auth}"
    for configured in channels:
        yield f"  channel {configured.channel.name} ({configured.channel.mode})"
    then(loaded, turnover)


def serve(request: Request) -> int:
    """Serve until told to stop; the value is the process's exit status."""
    # Taken out of the environment before a plugin or a child can see it.
    notifier = notify.Notifier.taken_from(os.environ)
    watched = notify.watchdog_interval(os.environ)
    passed = activation.take(os.environ)
    loaded = request.load()
    # There is none when the process was started with its standard error closed.
    stream = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the process's life
    # Before plugins are loaded, for they may log.
    log.configure(
        level=loaded.draft.log.level,
        format=loaded.draft.log.format,
        stream=stream,
        journal=request.environment.get("JOURNAL_STREAM", ""),
    )
    if sys.stderr is not None:
        faulthandler.enable(sys.stderr)  # where it stood, when the watchdog has bitten
    trail = audit.begin(loaded.draft.audit.file, most=loaded.draft.audit.queue)
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
    channels = _assembled(turnover, loaded, warnings.append)
    settings = loaded.settings
    for warning in warnings:
        _log.warning("configuration", warning=warning)
    limits.raise_open_files()
    if not hasattr(socket, "TCP_NOTSENT_LOWAT"):
        _log.warning("slow clients may hold more memory: this system cannot bound unsent data")
    state = open_state(state_folder(settings.state_dir, request.environment))
    keys = preparing.keys(settings, state)
    kept = KeptKeys(preparing.key_file(settings, state.folder))
    revoked = Revoked(preparing.revocation_file(settings, state.folder))
    addresses = [Address.parse(listen.url) for listen in settings.listen]
    pair = preparing.certificate(settings, state, addresses)
    client_ca = None if settings.tls.client_ca is None else Path(settings.tls.client_ca)
    contexts = Contexts(*pair, client_ca) if pair is not None else None
    with contextlib.ExitStack() as stack:
        stack.callback(notifier.close)
        if trail is not None:
            stack.callback(trail.close)
        notifier.status("starting: the store is opened")
        notifier.extend(_USUAL + preparing.reading_time(state))
        store = preparing.store(settings, state)
        if isinstance(store, Store):
            stack.callback(store.close)
        sockets = preparing.sockets(addresses, passed)
        served = Appliance(
            settings,
            channels,
            keys=keys.settings,
            sockets=sockets,
            contexts=contexts,
            store=store,
            turnover=turnover,
        )
        served.seal.use(preparing.seal_key(state))
        if trail is not None:
            served.concerns.append(trail.problems)
        served.entrance.follow(kept, revoked)
        hello = greeting.Greeting(
            addresses=tuple(bound.address for bound in sockets),
            key=keys.made,
            key_file=keys.file,
            certificate=pair[0] if pair is not None else None,
            fingerprint=contexts.current.fingerprint if contexts is not None else None,
            trusted=settings.tls.certificate is not None,
        )
        running = Running(
            served=served,
            turnover=turnover,
            load=request.load,
            settings=settings,
            state=state,
            hello=hello,
            notifier=notifier,
            watched=watched,
        )
        return trio.run(running.run)


def _assembled(turnover: Turnover, loaded: Loaded, warn: Callable[[str], object]) -> tuple[Configured, ...]:
    """A plugin that cannot be used does not keep the others from being served; a mistake in the configuration does."""
    try:
        with written.kept(written.place("plugins")):
            return trio.run(partial(turnover.assemble, strict=False, warn=warn))
    except SettingsError:
        # All at once: what is wrong with plugins, too.
        trio.run(partial(Turnover(loaded).assemble, strict=True, warn=lambda _: None))
        raise
