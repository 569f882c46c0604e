"""What a start of this version would meet: mistakes in the configuration and in plugins, a store of another version.

Must not know how it is shown. Nothing is changed, and an appliance may run meanwhile.
"""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from rich.filesize import decimal

import appliance
from appliance.core.errors import ApplianceError, SettingsError
from appliance.ops.state import state_folder
from appliance.runtime.turnover import Turnover
from appliance.store import header, schema, spare
from appliance.store.faults import newer
from appliance.store.reading import size_on_disk

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.cli.serving import Request


def look(request: Request) -> dict[str, Any]:
    """Give `version`, `mistakes`, `warnings` and `channels`, all texts; and `store`, or null where there is none:
    its `folder`, the `version` that it is of, the one that it `becomes`, the one that can be `reverted` to, `problem`.
    """
    found: dict[str, Any] = {
        "version": appliance.__version__,
        "mistakes": [],
        "warnings": [],
        "channels": [],
        "store": None,
    }
    try:
        loaded = request.load()
    except SettingsError as error:
        return {**found, "mistakes": [str(mistake) for mistake in error.mistakes]}
    found["warnings"] += loaded.warnings
    turnover = Turnover(loaded)
    try:
        channels = trio.run(partial(turnover.assemble, strict=True, warn=found["warnings"].append))
        found["channels"] += [configured.channel.name for configured in channels]
    except SettingsError as error:
        found["mistakes"] += map(str, error.mistakes)
    except ApplianceError as error:
        found["mistakes"] += str(error).splitlines()
    try:
        found["store"] = _store(state_folder(loaded.draft.state_dir, request.environment) / schema.FILE_NAME)
    except ApplianceError as error:  # for the appliance that runs, it is no other
        found["warnings"].append(str(error))
    return found


def _store(path: Path) -> dict[str, Any] | None:
    version = header.version(path)
    if version is None:
        return None
    is_newer = version > schema.NEWEST
    return {
        "folder": str(path.parent),
        "version": version,
        "becomes": version if is_newer else schema.NEWEST,
        "reverted": spare.newest(path) if is_newer else None,
        "problem": _problem(path, version),
    }


def _problem(path: Path, version: int) -> str | None:
    if version > schema.NEWEST:
        return str(newer(path, version, schema.NEWEST))
    needed, room = size_on_disk(path), shutil.disk_usage(path.parent).free
    if 0 < version < schema.NEWEST and needed > room:
        return (
            f"{path} is to be brought to version {schema.NEWEST}, and a copy of it kept: "
            f"make room for {decimal(needed)} on the file system of {path.parent}"
        )
    return None
