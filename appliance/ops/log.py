"""The log: structlog and the standard library's loggers as one stream of lines: for people, as JSON, for the journal.

Must not know who logs what. A line that cannot be rendered or written never stops the one who logs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter

from appliance.ops.journald import Journal, Prefixed, is_journal
from appliance.ops.outlet import Outlet
from appliance.ops.redaction import redact

if TYPE_CHECKING:
    from collections.abc import MutableMapping

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json", "journald"]

AUDIT: Final = "audit"
"""Name of the loggers whose lines are those of the audit log."""
_OWN: Final = "appliance"
_json: Final = structlog.processors.JSONRenderer()
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROLS_IN_TRACEBACKS: Final = {code: text for code, text in _CONTROLS.items() if chr(code) not in "\t\n"}


class Writer(Protocol):
    """Where lines go. What it cannot take it drops, and says so by False."""

    def write(self, line: str) -> bool: ...


def configure(*, level: Level, format: Format, stream: TextIO, journal: str = "") -> None:  # noqa: A002 - the word of the settings
    """Send all logging to `stream`; loggers that are not the appliance's are heard from `warning` up.

    While nobody reads the stream, lines are dropped and counted; the count is logged once it moves again.
    Where the stream is systemd's journal, as `journal` (`$JOURNAL_STREAM`) tells, `auto` is `journald`.
    """
    if format == "auto":
        format = _fitting(stream, journal)  # noqa: A001 - as above
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    lines = _Lines(_for_journal(stream) if format == "journald" else Outlet(stream))
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
                *_processors(format, colors=stream.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    for before in [present for present in root.handlers if isinstance(present, _Lines)]:
        root.removeHandler(before)
        before.close()
    root.addHandler(lines)
    logging.captureWarnings(capture=True)
    set_level(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            _mark_audit,
            stamp,
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=_logger,
        cache_logger_on_first_use=False,
    )


def machine_formatter() -> logging.Formatter:
    """Give what makes of a record a line of JSON."""
    return ProcessorFormatter(processors=[ProcessorFormatter.remove_processors_meta, *_for_machines()])


def line(event: str, **fields: object) -> str:
    """Make a line of the audit log without a logger."""
    told: MutableMapping[str, Any] = {**fields, "event": event, "level": "info", AUDIT: True}
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    rendered = _json(None, "", redact(None, "", stamp(None, "", told)))
    return rendered if isinstance(rendered, str) else rendered.decode()


def _logger(*names: str) -> logging.Logger:
    """Give one logger for all, so that one level holds for plugins too, and one for the audit log, which is whole at
    any level.
    """
    return logging.getLogger(f"{_OWN}.{AUDIT}" if names == (AUDIT,) else _OWN)


def _mark_audit(
    logger: logging.Logger, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if logger.name != _OWN:
        event[AUDIT] = True
    return event


def set_level(level: Level) -> None:
    """Change the least level that is written, at once and for all loggers."""
    least = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger(_OWN).setLevel(least)
    logging.getLogger(f"{_OWN}.{AUDIT}").setLevel(logging.INFO)
    logging.getLogger().setLevel(max(least, logging.WARNING))


def _fitting(stream: TextIO, journal: str) -> Format:
    if is_journal(stream, journal):
        return "journald"
    return "console" if stream.isatty() else "json"


def _for_journal(stream: TextIO) -> Writer:
    try:
        return Journal()
    except OSError:
        return Prefixed(Outlet(stream))


def _processors(format: Format, *, colors: bool) -> list[structlog.typing.Processor]:  # noqa: A002 - as above
    match format:
        case "console":
            return _for_people(colors=colors)
        case "journald":
            return [structlog.processors.format_exc_info, redact, _escape_controls, _json]
        case _:
            return _for_machines()


def _for_machines() -> list[structlog.typing.Processor]:
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(tracebacks), redact, _json]


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

    def __init__(self, outlet: Writer) -> None:
        super().__init__()
        self._outlet = outlet
        self._dropped = 0

    def close(self) -> None:
        if isinstance(self._outlet, Journal):
            self._outlet.close()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(f"{_OWN}.") and record.levelno < logging.getLogger(_OWN).level:
            return  # of the audit log, which goes on elsewhere
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
