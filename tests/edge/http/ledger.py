"""What a client has got of each topic, over however many connections: nothing may be missing, nothing come twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable


@attrs.define
class Account:
    """Of one topic. `told` are the offsets that the client was told to be left out."""

    start: int
    got: list[int] = attrs.field(factory=list)
    told: set[int] = attrs.field(factory=set)

    def take(self, offset: int) -> None:
        assert offset not in self.got, "twice"
        assert offset > max(self.got, default=0), "out of order"
        self.got.append(offset)
        assert self.known >= set(range(self.start, offset + 1)), "missing"

    @property
    def known(self) -> set[int]:
        return self.told.union(self.got)


@attrs.define
class Ledger:
    """Reads the messages of the document's form."""

    accounts: dict[str, Account] = attrs.field(factory=dict)
    recovered: int = 0

    def read(self, messages: Iterable[dict[str, Any]]) -> None:
        for message in messages:
            match message["type"]:
                case "subscribed":
                    for position in message["channels"]:
                        self._join(position)
                case "gap":
                    told = range(message["from"], message["to"] + 1)
                    self.accounts[message["channel"]].told.update(told)
                case _:
                    self.accounts[message["channel"]].take(message["offset"])

    def _join(self, position: dict[str, Any]) -> None:
        channel, offset = position["channel"], position["offset"]
        if channel in self.accounts:
            assert position["recovered"] is True
            self.recovered += 1
        else:
            # Of a state comes the newest value, of a log what comes from now on.
            start = max(1, offset) if position["mode"] == "state" else offset + 1
            self.accounts[channel] = Account(start)

    def is_complete(self, lasts: dict[str, int]) -> bool:
        return all(
            channel in self.accounts
            and self.accounts[channel].known >= set(range(self.accounts[channel].start, last + 1))
            for channel, last in lasts.items()
        )
