"""The errors of the appliance, each named for what its reader can do about it.

ApplianceError
├── SettingsError    correct the configuration: it lists every mistake found
├── StartError       correct the machine: a port taken, a folder not writable
├── PluginError      correct the plugin: a file that does not load, a name that clashes
├── UpgradeError     take another file for the upgrade, or correct what it does not go with
├── PublishError     correct the event: a topic or data that the channel cannot take
├── SourceError      correct where rows come from: a database that is down, a table that is not as configured
├── StoreError       correct the disk: what was to be kept is not
│   └── StoreInUseError  stop the other process, which has the file
└── RequestError     correct the request: carries the code that a dialect puts on the wire
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence


class ApplianceError(Exception):
    """The root of all errors that the appliance raises on purpose."""


@attrs.frozen
class Mistake:
    """One thing wrong in the configuration: where it stands, what is wrong, what is right."""

    path: str
    problem: str
    origin: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.origin}:{self.line}" if self.line is not None else self.origin
        return ": ".join(part for part in (place, self.path, self.problem) if part)


class SettingsError(ApplianceError):
    """The configuration has mistakes; all of them are listed, not just the first."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)


class StartError(ApplianceError):
    """The machine does not allow a start; the message names the thing and the remedy."""


class PluginError(ApplianceError):
    """A plugin cannot be loaded; the message names the file and the remedy."""


class UpgradeError(ApplianceError):
    """A file cannot take the place of another; the message says why, and the remedy. A line for each thing."""


class PublishError(ApplianceError):
    """An event that its channel cannot take. `limit` is the setting that forbids it, if one does."""

    def __init__(self, message: str, *, limit: str | None = None) -> None:
        super().__init__(message)
        self.limit = limit


class SourceError(ApplianceError):
    """Rows cannot come; the message names what is wrong and the remedy. The producer is started again by itself."""


class StoreError(ApplianceError):
    """What was to be kept is not kept: the disk is full, or the file cannot be used."""


class StoreInUseError(StoreError):
    """Another process has the file: nothing is wrong with it."""


class ErrorCode(enum.StrEnum):
    """What a client did that cannot be served, in the words of the cryptointel document."""

    INVALID_TOKEN = "INVALID_TOKEN"  # noqa: S105 - a code, not a secret
    EXPIRED_TOKEN = "EXPIRED_TOKEN"  # noqa: S105 - as above
    REVOKED_TOKEN = "REVOKED_TOKEN"  # noqa: S105 - as above
    INVALID_CHANNEL = "INVALID_CHANNEL"
    RATE_LIMITED = "RATE_LIMITED"
    CONNECTION_FULL = "CONNECTION_FULL"
    INVALID_MESSAGE = "INVALID_MESSAGE"
    UNAUTHORIZED = "UNAUTHORIZED"
    SLOW_CLIENT = "SLOW_CLIENT"
    SERVER_RESTART = "SERVER_RESTART"
    IDLE_TIMEOUT = "IDLE_TIMEOUT"
    UNAVAILABLE = "UNAVAILABLE"


class RequestError(ApplianceError):
    """A client's request that cannot be served; the session goes on unless it says otherwise.

    `retry_after` is in how many seconds the same request may be served; `limit` the setting that it has come to.
    """

    def __init__(
        self, code: ErrorCode, message: str, *, retry_after: float | None = None, limit: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.limit = limit
