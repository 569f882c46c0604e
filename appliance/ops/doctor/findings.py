"""What the doctor says: kinds of findings, and how bad each is.

Must not know what was looked at, nor who reads it.
"""

from __future__ import annotations

import enum

import attrs


class Verdict(enum.StrEnum):
    """How bad it is: `note` is worth knowing, `warning` will hurt one day, `problem` hurts now."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


class Kind(enum.StrEnum):
    """What a finding is about, in the order in which it is told."""

    INTERPRETER = "interpreter"
    OPENSSL = "openssl"
    ENVIRONMENT = "environment"
    CONFIGURATION = "configuration"
    CONFIGURATION_FILE = "configuration-file"
    SECRET_FILE = "secret-file"  # noqa: S105 - a name, not a secret
    PLUGINS = "plugins"
    INSTANCE = "instance"
    UNIT = "unit"
    LISTEN = "listen"
    EXPOSURE = "exposure"
    CERTIFICATE = "certificate"
    STATE_FOLDER = "state-folder"
    DISK_SPACE = "disk-space"
    DISK_KIND = "disk-kind"
    DISK_SPEED = "disk-speed"
    MEMORY = "memory"
    OPEN_FILES = "open-files"
    ACCEPT_QUEUE = "accept-queue"
    CONNTRACK = "conntrack"
    TCP_MEMORY = "tcp-memory"
    OUTGOING_PORTS = "outgoing-ports"
    CLOCK = "clock"
    CLOCK_SOURCE = "clock-source"
    SOURCE = "source"


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that was looked at: what it is, why that matters, and what to do. What is ok needs only the first."""

    kind: Kind
    verdict: Verdict
    what: str
    why: str = ""
    remedy: str = ""


def ok(kind: Kind, what: str) -> Finding:
    return Finding(kind=kind, verdict=Verdict.OK, what=what)


def note(kind: Kind, what: str, *, why: str, remedy: str) -> Finding:
    return Finding(kind=kind, verdict=Verdict.NOTE, what=what, why=why, remedy=remedy)


def warning(kind: Kind, what: str, *, why: str, remedy: str) -> Finding:
    return Finding(kind=kind, verdict=Verdict.WARNING, what=what, why=why, remedy=remedy)


def problem(kind: Kind, what: str, *, why: str, remedy: str) -> Finding:
    return Finding(kind=kind, verdict=Verdict.PROBLEM, what=what, why=why, remedy=remedy)
