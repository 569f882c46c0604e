"""The authenticator of kept keys. It follows their file, and notes when each was last used.

Must not know who changes the file. A note that cannot be written refuses nobody.
"""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from appliance.access import secret_text
from appliance.access.principals import CredentialError, Principal
from appliance.core.errors import ErrorCode, StartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.key_file import KeyFile
    from appliance.access.keyring import KeptKey, Ring
    from appliance.access.principals import Credential

_log = structlog.get_logger()
_audit = structlog.get_logger("audit")

LOOK_EVERY = 0.5
"""Seconds between two looks at the file."""
NOTE_EVERY = 60.0
"""Seconds between two notes of last uses."""


@attrs.frozen
class _Id:
    """What a kept key is known by."""

    of: str


@attrs.frozen
class _Known:
    key: KeptKey
    digest: bytes = attrs.field(repr=False)
    principal: Principal


class KeptKeys:
    """Whoever waits for nothing: a change of the file is taken up by `run`, or by `look`.

    `problem` is why the keys are not those of the file, if they are not.
    """

    def __init__(self, file: KeyFile) -> None:
        """Raise StartError for a file that cannot be used."""
        self._file = file
        self._seen = file.signature()
        self._known = _known(file.read())
        self._uses = file.uses()
        self._noted = dict(self._uses)
        self._noting = True
        self._changed: Callable[[], object] = _nobody
        self.problem: str | None = None

    def __len__(self) -> int:
        return len(self._known)

    def authenticate(self, credential: Credential, now: float) -> Principal:
        named = secret_text.identify(credential.text)
        known = None if named is None else self._known.get(named)
        if known is None or not hmac.compare_digest(known.digest, secret_text.digest(credential.text)):
            raise CredentialError("no kept key")
        state = known.key.state(now)
        if state == "revoked":
            raise CredentialError(f"the key {named} of {known.key.name!r} is revoked")
        if state == "expired":
            raise CredentialError(
                f"the key {named} of {known.key.name!r} has expired", code=ErrorCode.EXPIRED_TOKEN
            )
        self._uses[known.key.id] = now
        return known.principal

    def review(self, principal: Principal, now: float) -> Principal | None:
        if not isinstance(principal.proof, _Id):
            return None
        named = principal.proof.of
        known = self._known.get(named)
        state = "revoked" if known is None else known.key.state(now)
        if known is None or state == "revoked":
            raise CredentialError(
                f"the key {named} of {principal.name!r} is revoked", code=ErrorCode.REVOKED_TOKEN
            )
        if state == "expired":
            raise CredentialError(
                f"the key {named} of {principal.name!r} has expired", code=ErrorCode.EXPIRED_TOKEN
            )
        return known.principal

    def tell(self, changed: Callable[[], object]) -> None:
        """Call this whenever other keys are in force."""
        self._changed = changed

    def look(self) -> None:
        """Take up the file when it changed. One that cannot be used leaves the keys as they were."""
        seen = self._file.signature()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            after = _known(self._file.read())
        except StartError as error:
            _audit.error("keys refused, those before stay", reason=str(error))
            self.problem = f"kept keys are those from before: {error}"
            return
        self.problem = None
        before, self._known = self._known, after
        now = time.time()
        _audit.info(
            "keys changed",
            made=[f"{key.name} ({key.id})" for key in _of(after) if key.id not in before],
            ended=[
                f"{key.name} ({key.id})"
                for key in _of(before)
                if key.state(now) == "active"
                and (key.id not in after or after[key.id].key.state(now) != "active")
            ],
        )
        self._changed()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the file until cancelled."""
        task_status.started()
        noted = trio.current_time()
        try:
            while True:
                await trio.sleep(LOOK_EVERY)
                self.look()
                if trio.current_time() - noted >= NOTE_EVERY:
                    noted = trio.current_time()
                    self.note()
        finally:
            self.note()

    def note(self) -> None:
        """Write down when keys were last used, if any was since the last time."""
        uses = {key_id: at for key_id, at in self._uses.items() if key_id in self._known}
        if uses == self._noted:
            return
        try:
            self._file.keep_uses(uses)
        except OSError as error:
            if self._noting:
                _log.warning("when keys were last used cannot be noted", reason=str(error))
            self._noting = False
        else:
            self._noted, self._noting = uses, True


def _known(ring: Ring) -> dict[str, _Known]:
    return {
        key.id: _Known(key, bytes.fromhex(key.digest), attrs.evolve(key.principal(), proof=_Id(key.id)))
        for key in ring.keys
    }


def _nobody() -> None:
    """Wait for no change."""


def _of(known: dict[str, _Known]) -> list[KeptKey]:
    return [each.key for each in known.values()]
