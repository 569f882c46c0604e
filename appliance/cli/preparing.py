"""What a start needs of the machine: the store, keys, a certificate, open sockets.

Must not know what is served, nor in which order a start goes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import structlog

from appliance.access import key_file as key_files
from appliance.access import revoked, seals
from appliance.access.key_file import KeyFile
from appliance.access.revoked import RevocationFile
from appliance.access.secret_text import make_key
from appliance.core.errors import ApplianceError, StartError, StoreError, StoreInUseError
from appliance.edge import certificates, listener
from appliance.edge.listener import Bound
from appliance.ops import activation
from appliance.ops.network import ANYWHERE, own_addresses
from appliance.settings.access import KeySettings
from appliance.settings.fields import Secret
from appliance.store import schema
from appliance.store.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from appliance.ops.activation import Passed
    from appliance.ops.state import State
    from appliance.settings.address import Address
    from appliance.settings.tree import Settings

_log = structlog.get_logger()

KEY_FILE: Final = "api_key"
KEY_NAME: Final = "default"
SEAL_FILE: Final = "seal_key"
_READ: Final = 4 * 1024 * 1024
"""Bytes of the store that are read in a second, on a slow disk."""


def seal_key(state: State) -> bytes:
    """Give the key of this appliance's seal: what it has sealed, it knows again after a restart."""
    key, _ = state.secret(SEAL_FILE, seals.new_key)
    try:
        return seals.read_key(key)
    except ValueError as error:
        raise StartError(
            f"{state.folder / SEAL_FILE}: {error}: remove it, so that a new one is made"
        ) from None


def reading_time(state: State) -> float:
    """Give the seconds that it may take to read what is kept."""
    files = state.folder.glob(f"{schema.FILE_NAME}*")
    return sum(file.stat().st_size for file in files) / _READ


def store(settings: Settings, state: State) -> Store | StoreError:
    """Open the store, or say why there is none: live events are worth more to most than those that are kept."""
    try:
        return open_store(state.folder / schema.FILE_NAME, sync=settings.store.sync)
    except StoreInUseError:
        raise
    except StoreError as error:
        if settings.store.required:
            raise
        _log.error("nothing can be kept, streaming goes on in memory", reason=str(error))
        return error


@attrs.frozen
class Keys:
    """The keys that open the appliance; the one it made itself, if it did, and where that is kept."""

    settings: tuple[KeySettings, ...]
    made: str | None = attrs.field(default=None, repr=False)
    file: Path | None = None


def key_file(settings: Settings, folder: Path) -> KeyFile:
    """Say where the keys are that `appliance keys` makes."""
    named = settings.auth.keys_file
    return KeyFile(folder / key_files.FILE_NAME if named is None else Path(named))


def revocation_file(settings: Settings, folder: Path) -> RevocationFile:
    """Say where it is kept what `appliance token revoke` takes back: beside the keys."""
    return RevocationFile(key_file(settings, folder).path.with_name(revoked.FILE_NAME))


def keys(settings: Settings, state: State) -> Keys:
    """Give the configured keys, or where nothing is configured and some listener wants one, the appliance's own.

    Who keeps keys with `appliance keys` needs no other: then none is made, but one that is there goes on.
    """
    auth, own_file = settings.auth, state.folder / KEY_FILE
    configured = auth.keys or auth.tokens or auth.certificates
    if configured or all(listen.auth == "none" for listen in settings.listen):
        return Keys(auth.keys)
    if not own_file.exists() and key_file(settings, state.folder).read().keys:
        return Keys(())
    key, _ = state.secret(KEY_FILE, make_key)
    own = KeySettings(name=KEY_NAME, key=Secret(key), publish=("*",))
    return Keys((own,), key, own_file)


def certificate(settings: Settings, state: State, addresses: Iterable[Address]) -> tuple[Path, Path] | None:
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


def sockets(addresses: Sequence[Address], passed: Iterable[Passed]) -> tuple[Bound, ...]:
    """Open every listening socket that was not passed to us open, or none."""
    opened: list[Bound] = []
    try:
        for address, kept in zip(addresses, activation.match(addresses, passed), strict=True):
            sock = kept or listener.bind(address)
            port = sock.getsockname()[1] if address.kind != "unix" else 0
            opened.append(Bound(attrs.evolve(address, port=port), sock, kept=kept is not None))
    except ApplianceError:
        for bound in opened:
            bound.sock.close()
        raise
    return tuple(opened)
