"""What was taken back, as it is kept: follows the file, so that it holds from the moment on.

Must not know who changes the file, nor what becomes of those whom it hits.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - attrs reads the annotations when it runs
from typing import TYPE_CHECKING, Final

import structlog

from appliance.access.guarded_file import GuardedFile
from appliance.access.revocations import Blacklist, Revocations, check
from appliance.core.errors import StartError

if TYPE_CHECKING:
    from appliance.access.principals import Principal
    from appliance.access.revocations import Revocation

_log = structlog.get_logger("audit")

FILE_NAME: Final = "revocations.json"
"""In the folder of the kept keys."""


class RevocationFile(GuardedFile[Revocations]):
    """`path` need not be there: then nothing was taken back."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Revocations, "appliance token revoke", check)


class Revoked:
    """The list in force: the last one that could be read. `problem` is why that is not the newest, if it is not."""

    def __init__(self, file: GuardedFile[Revocations]) -> None:
        """Raise StartError for a file that cannot be used."""
        self._file = file
        self._seen = file.signature()
        self._entries = file.read().entries
        self._blacklist = Blacklist(Revocations(entries=self._entries))
        self.problem: str | None = None

    def hit(self, principal: Principal) -> Revocation | None:
        return self._blacklist.hit(principal)

    def look(self) -> bool:
        """Take up the file when it changed, and say whether another list is in force. One that cannot be used leaves
        that as it was.
        """
        seen = self._file.signature()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            found = self._file.read()
        except StartError as error:
            _log.error("revocations refused, those before stay", reason=str(error))
            self.problem = f"revocations are those from before: {error}"
            return False
        self.problem = None
        before, self._entries = self._entries, found.entries
        self._blacklist = Blacklist(found)
        _log.info(
            "revocations changed",
            added=[each.told for each in found.entries if each not in before],
            dropped=[each.told for each in before if each not in found.entries],
        )
        return before != found.entries
