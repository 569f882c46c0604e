"""Failed log-ins: who guesses is told to wait, longer each time, and a right credential is always let in.

It is the answers to wrong ones that change: they come at once, hold no connection, and say no more than when to come
back. So neither an address that many share nor a key that somebody guesses at is ever locked. Must not know which
credentials are good.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from appliance.access import secret_text
from appliance.access.principals import CredentialError
from appliance.core.brakes import Brake
from appliance.core.errors import ErrorCode
from appliance.core.origins import Prefixes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.settings.limits import LimitSettings


class TooEarlyError(CredentialError):
    """Who has shown something wrong has done so too often to be told more."""

    def __init__(self, error: CredentialError, wait: float) -> None:
        super().__init__(error.why, code=ErrorCode.RATE_LIMITED)
        self.message = f"Too many failed log-ins (limits.failed_logins): come back in {wait:.1f} s"
        self.retry_after = wait
        self.limit = "failed_logins"


class Failures:
    """Counts by address and, where one is shown, by the id of the key. `limits` gives those of the moment."""

    def __init__(
        self, limits: Callable[[], LimitSettings], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._brake = Brake()

    def answer(self, error: CredentialError, address: str, shown: str) -> CredentialError:
        """Give what who has shown something wrong is told: that it is, or to wait."""
        if error.code is not ErrorCode.INVALID_TOKEN:
            return error  # it was good once, and nobody guesses that
        limits, now = self._limits(), self._clock()
        wait = max(
            self._brake.fail(who, free=limits.failed_logins, longest=limits.failed_login_wait, now=now)
            for who in self._who(address, shown)
        )
        if not wait:
            return error
        return TooEarlyError(error, wait)

    def _who(self, address: str, shown: str) -> Iterator[tuple[str, str]]:
        limits = self._limits()
        yield "address", Prefixes(limits.ipv4_prefix, limits.ipv6_prefix).origin(address)
        key = secret_text.identify(shown)
        if key is not None:
            yield "key", key
