"""Who was refused, in the audit log: at once, but for who is refused again and again, and for crowds.

Must not know why. An address has a line a second at the most, and so have all that there is no room for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = structlog.get_logger("audit")

EVERY: Final = 1.0
"""Seconds between two lines of an address."""
MOST: Final = 100
"""Addresses that are told of one by one in a second."""
OTHERS: Final = "others"
"""What stands for the address of those that are not."""


@attrs.define
class _Told:
    due: float
    more: int = 0
    last: Mapping[str, str] = attrs.field(factory=dict)


class Refusals:
    """Time comes in as an argument, and only goes on: `settle` is to be called about as often as a line is due."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}  # in the order of what is due

    def note(self, address: str, now: float, **what: str) -> None:
        """Tell of a refusal, now or with others of this address."""
        self.settle(now)
        if address not in self._told and len(self._told) >= MOST:
            address = OTHERS
        told = self._told.get(address)
        if told is None:
            self._told[address] = told = _Told(now + EVERY)
            if address is not OTHERS:
                _log.info("refused", client=address, **what)
                return
        told.more += 1
        told.last = what

    def settle(self, now: float) -> None:
        """Tell of those that came since the last line of their address: how many they are, and what the last was."""
        for address, told in list(self._told.items()):
            if told.due > now:
                break
            del self._told[address]
            if told.more:
                _log.info("refused", client=address, **told.last, count=told.more)
                self._told[address] = _Told(now + EVERY)
