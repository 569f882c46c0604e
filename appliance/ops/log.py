"""The log: structlog and the standard library's loggers as one stream of lines, for people or as JSON.

Must not know who logs what. A line that cannot be rendered or written never stops the one who logs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter

from appliance.ops.outlet import Outlet
from appliance.ops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import MutableMapping

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]

_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROLS_IN_TRACEBACKS: Final = {code: text for code, text in _CONTROLS.items() if chr(code) not in "\t\n"}


def configure(*, level: Level, format: Format, stream: TextIO) -> None:  # noqa: A002 - the word of the settings
    """Send all logging to `stream`; loggers that are not the appliance's are heard from `warning` up.

    While nobody reads the stream, lines are dropped and counted; the count is logged once it moves again.
    """
    terminal = stream.isatty()
    people = format == "console" or (format == "auto" and terminal)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    lines = _Lines(Outlet(stream))
    lines.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                stamp,
            ],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.stdlib.PositionalArgumentsFormatter(),
                *(_for_people(colors=terminal) if people else _for_machines()),
            ],
        )
    )
    root = logging.getLogger()
    for before in [present for present in root.handlers if isinstance(present, _Lines)]:
        root.removeHandler(before)
    root.addHandler(lines)
    logging.captureWarnings(capture=True)
    set_level(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            stamp,
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        # One name for all, so that one level holds for plugins too.
        logger_factory=lambda *_: logging.getLogger("appliance"),
        cache_logger_on_first_use=False,
    )


def set_level(level: Level) -> None:
    """Change the least level that is written, at once and for all loggers."""
    least = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger("appliance").setLevel(least)
    logging.getLogger().setLevel(max(least, logging.WARNING))


def _for_machines() -> list[structlog.typing.Processor]:
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(tracebacks), redact, structlog.processors.JSONRenderer()]


def _for_people(*, colors: bool) -> list[structlog.typing.Processor]:
    return [
        structlog.processors.format_exc_info,  # here, so that the traceback's text is redacted too
        redact,
        _escape_controls,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
    ]


def _escape_controls(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    # What a client sent must not move the cursor of who reads the log, nor forge a line in it.
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = value.translate(_CONTROLS_IN_TRACEBACKS if name == "exception" else _CONTROLS)
    return event


class _Lines(logging.Handler):
    """Renders each record, whatever is in it, and hands it out as one line."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__()
        self._outlet = outlet
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a log entry never harms who made it
            line = self._own(
                "log entry could not be rendered", level=record.levelname, error=repr(type(error))
            )
        if self._dropped and self._outlet.write(
            self._own("log lines were dropped, nobody read them", level="WARNING", count=self._dropped)
        ):
            self._dropped = 0
        if self._dropped or not self._outlet.write(line):
            self._dropped += 1

    def _own(self, event: str, *, level: str, **fields: object) -> str:
        number = logging.getLevelNamesMapping()[level]
        own = {"name": "appliance", "msg": event, "levelname": level, "levelno": number, **fields}
        return self.format(logging.makeLogRecord(own))
