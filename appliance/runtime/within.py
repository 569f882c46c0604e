"""What plugins publish through when they use the functions of `appliance.broadcast`: the intake, without HTTP.

Must not know what the functions are.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from appliance.broadcast import BroadcastError
from appliance.core.errors import PublishError, StoreError
from appliance.runtime.submission import Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.runtime.intake import Intake


class _Plugins:
    """All plugins as one publisher: what runs inside may do all that the appliance may."""

    name = "plugins"

    def may_publish(self, _channel: str) -> bool:
        return True


class Within:
    """To be made where trio runs; used there and in threads. `connections` gives the counts of the statistics."""

    def __init__(self, intake: Intake, connections: Callable[[], Mapping[str, Any]]) -> None:
        self._intake = intake
        self._connections = connections
        self._publisher = _Plugins()
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()

    async def publish(self, event: bytes, key: str | None) -> dict[str, Any]:
        try:
            submission = Submission(events=[msgspec.json.decode(event)], key=key)
            receipt = await self._intake.take(submission, self._publisher)
        except (PublishError, StoreError, msgspec.DecodeError, RecursionError) as error:
            raise BroadcastError(str(error)) from error
        return receipt.content()

    def publish_blocking(self, event: bytes, key: str | None) -> dict[str, Any]:
        return trio.from_thread.run(self.publish, event, key, trio_token=self._token)

    def connections(self) -> Mapping[str, Any]:
        if threading.get_ident() == self._thread:
            return self._connections()
        return trio.from_thread.run_sync(self._connections, trio_token=self._token)
