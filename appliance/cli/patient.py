"""What the doctor examines: the configuration as it is read, what a start would load, and the appliance that runs.

Must not judge.
"""

from __future__ import annotations

import tomllib
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from appliance.core.errors import SettingsError, StartError
from appliance.loading import ledger
from appliance.ops.doctor import instance, processes, unit
from appliance.ops.state import state_folder
from appliance.runtime.turnover import Turnover
from appliance.settings.address import Address
from appliance.store import schema
from appliance.store.holder import holder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from appliance.cli.serving import Request
    from appliance.core.errors import Mistake
    from appliance.loading.configured import Configured
    from appliance.loading.ledger import Ledger, PluginState
    from appliance.settings.tree import Settings


@attrs.frozen(kw_only=True)
class Patient:
    """`settings` are the configuration as far as it is right, and `mistakes` what is wrong with it, plugins' settings
    included. `channels` and `plugins` are what a start would load: of a configuration with mistakes, no channels.

    `folder` is the state folder, `homeless` why there is none. `instance` is the appliance that runs with it.
    """

    request: Request
    settings: Settings
    mistakes: Sequence[Mistake]
    warnings: Sequence[str]
    channels: Sequence[Configured]
    plugins: Sequence[PluginState]
    folder: Path | None
    homeless: str = ""
    instance: instance.Facts | None
    running_plugins: Sequence[PluginState]
    unit: unit.Facts

    @property
    def pid(self) -> int | None:
        return None if self.instance is None else self.instance.appliance

    @property
    def addresses(self) -> tuple[tuple[Address, str], ...]:
        """Where it listens, each with who must show a credential there."""
        return tuple((Address.parse(listen.url), listen.auth) for listen in self.settings.listen)

    @property
    def hosts(self) -> tuple[str, ...]:
        """What the certificate must be for."""
        return tuple(dict.fromkeys(address.host for address, _ in self.addresses if address.kind == "tls"))

    @property
    def is_durable(self) -> bool:
        return any(configured.durable for configured in self.channels)

    @property
    def open_files(self) -> tuple[int, str] | None:
        """How many files the appliance may open, 0 for any number, and who says so, as far as that is known."""
        if self.pid is not None and (most := processes.most_open_files(self.pid)) is not None:
            return most, str(processes.named(self.pid))
        limit = self.unit.number("LimitNOFILE")
        return None if limit is None else (limit, self.unit.name)

    @property
    def most_memory(self) -> int | None:
        """What its group of processes may have, as far as that is known."""
        limit = None if self.pid is None else processes.most_memory(self.pid)
        return limit or self.unit.number("MemoryMax")

    @property
    def written(self) -> dict[str, object]:
        """The configuration as its file has it; empty where it cannot be read as TOML."""
        if self.request.file is None:
            return {}
        try:
            return tomllib.loads(self.request.file.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):  # which `mistakes` tell
            return {}


def admit(request: Request) -> Patient:
    """Read the configuration and load what a start would load; SettingsError for a file that is no TOML."""
    loaded = request.load()
    warnings = list(loaded.warnings)
    mistakes = loaded.mistakes
    turnover = Turnover(loaded)
    try:
        trio.run(partial(turnover.assemble, strict=False, warn=warnings.append))
    except SettingsError as error:
        mistakes = error.mistakes
    settings = loaded.draft
    homeless, folder = "", None
    try:
        folder = state_folder(settings.state_dir, request.environment)
    except StartError as error:
        homeless = str(error)
    told = None if folder is None else _told(folder)
    running = None if folder is None else _instance(folder, told)
    runs = running is not None and running.appliance is not None
    return Patient(
        request=request,
        settings=settings,
        mistakes=mistakes,
        warnings=warnings,
        channels=() if mistakes else turnover.channels,
        plugins=turnover.states,
        folder=folder,
        homeless=homeless,
        instance=running,
        running_plugins=told.plugins if told is not None and runs else (),
        unit=unit.gather(_unit(running), deadline=settings.stop.deadline),
    )


def _told(folder: Path) -> Ledger | None:
    """What an appliance has written of its plugins, this one or one before."""
    try:
        return ledger.read(folder / ledger.FILE_NAME)
    except StartError:
        return None


def _instance(folder: Path, told: Ledger | None) -> instance.Facts:
    file = folder / schema.FILE_NAME
    pid = holder(file)
    # Of a container's layer, the system names locks by another device than the file's.
    if pid is None and told is not None and processes.has_open(told.pid, file):
        pid = told.pid
    return instance.Facts(
        folder=folder,
        holder=None if pid is None else processes.named(pid),
        told=None if told is None else told.pid,
    )


def _unit(running: instance.Facts | None) -> str | None:
    if running is None or running.appliance is None:
        return None
    return processes.unit_of(running.appliance)
