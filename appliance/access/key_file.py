"""The file that keeps a ring of keys, and beside it the one that tells when each was last used.

One is written by the commands alone, the other by the appliance alone: so neither waits for the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from appliance.access.guarded_file import GuardedFile, replace
from appliance.access.keyring import Ring
from appliance.settings.access import check_networks, check_publish
from appliance.settings.views import check_topics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE_NAME: Final = "keys.json"
"""Of the ring, in the state folder."""
_SHA256: Final = 32


class KeyFile(GuardedFile[Ring]):
    """`path` need not be there: then there are no keys."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Ring, "appliance keys", _check)

    def uses(self) -> dict[str, float]:
        """When each key was last used, by its id, in seconds since 1970, as far as that is known."""
        try:
            return msgspec.json.decode(self._uses.read_bytes(), type=dict[str, float])
        except (OSError, ValueError):
            return {}

    def keep_uses(self, uses: Mapping[str, float]) -> None:
        """Raise OSError where that cannot be kept."""
        replace(self._uses, msgspec.json.encode(uses), durable=False)

    @property
    def _uses(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.uses.json")


def _check(ring: Ring) -> None:
    for key in ring.keys:
        if len(bytes.fromhex(key.digest)) != _SHA256:
            raise ValueError("a digest is not that of SHA-256")
        check_topics(key.read)
        check_publish(key.publish)
        check_networks(key.addresses)
        for view in key.views:
            view.check()
