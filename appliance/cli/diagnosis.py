"""The order of an examination: each area of the machine and the configuration is looked at, and judged.

Must not know what is good or bad, nor how findings are shown.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from appliance.access import key_file, revoked
from appliance.api import History
from appliance.cli import asking, patient
from appliance.cli.preparing import KEY_FILE, SEAL_FILE
from appliance.core.errors import StartError
from appliance.edge import certificates, tls
from appliance.edge.listener import BACKLOG
from appliance.ops import log
from appliance.ops.doctor import (
    certificate,
    clock,
    configuration,
    disk,
    files,
    instance,
    interpreter,
    kernel,
    listeners,
    memory,
    open_files,
    openings,
    sources,
    state_folder,
    unit,
)
from appliance.ops.doctor.findings import Kind, note, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from appliance.cli.patient import Patient
    from appliance.cli.serving import Request
    from appliance.ops.doctor.findings import Finding


def diagnose(request: Request, *, timeout: float | None, tell: Callable[[str], object]) -> Iterator[Finding]:
    """Give all findings, each when it is found. With a `timeout`, sources are asked too, each for so long at most.

    Raises SettingsError only for a file that cannot be read as a configuration, for then nothing is known.
    """
    log.configure(level="warning", format="console", stream=sys.stderr)
    examined = patient.admit(request)
    for kind, look in _AREAS:
        yield from _seen(kind, partial(look, examined))
    yield from sources.judge(_asked(examined, timeout, tell))


def _seen(kind: Kind, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except OSError as error:
        yield note(
            kind,
            f"could not be looked at: {error}",
            why="what is not seen is not judged",
            remedy="ask as root, or as the user that the appliance runs as",
        )


def _asked(examined: Patient, timeout: float | None, tell: Callable[[str], object]) -> sources.Facts:
    if timeout is None:
        return asking.unasked(examined.channels)
    return trio.run(partial(asking.asked, examined.channels, patience=timeout, tell=tell))


def _interpreter(examined: Patient) -> Iterator[Finding]:
    yield from interpreter.judge(interpreter.gather(time.time()))
    yield from interpreter.judge_environment(examined.request.environment)


def _configuration(examined: Patient) -> Iterator[Finding]:
    file = examined.request.file
    yield from configuration.judge(str(file or ""), examined.mistakes, examined.warnings)
    secrets = configuration.secret_files(examined.settings)
    has_secrets = configuration.holds_secrets(examined.written)
    yield from files.judge(files.gather(file, map(Path, secrets), has_secrets=has_secrets))
    yield from configuration.judge_plugins(examined.plugins, examined.running_plugins)


def _instance(examined: Patient) -> Iterator[Finding]:
    if examined.instance is not None:
        yield from instance.judge(examined.instance)


def _unit(examined: Patient) -> Iterator[Finding]:
    return unit.judge(examined.unit)


def _listeners(examined: Patient) -> Iterator[Finding]:
    return listeners.judge(openings.gather(examined.addresses, instance=examined.pid))


def _certificate(examined: Patient) -> Iterator[Finding]:
    settings, folder = examined.settings.tls, examined.folder
    if not examined.hosts:
        return
    if settings.certificate is not None and settings.key is not None:
        named, key, kept = Path(settings.certificate), Path(settings.key), False
    elif folder is not None:
        named, key, kept = folder / certificates.CERTIFICATE, folder / certificates.KEY, True
    else:
        return
    facts = certificate.gather(
        named,
        key,
        refusal="" if kept and not named.exists() else _refusal(named, key),
        kept=kept,
        hosts=examined.hosts,
        valid=settings.valid,
        renew_before=settings.renew_before,
    )
    yield from certificate.judge(facts, now=time.time())


def _refusal(named: Path, key: Path) -> str:
    try:
        tls.server_context(named, key)
    except StartError as error:
        return str(error)
    return ""


def _state(examined: Patient) -> Iterator[Finding]:
    folder = examined.folder
    if folder is None:
        what, _, remedy = examined.homeless.partition(": ")
        yield problem(Kind.STATE_FOLDER, what, why="`serve` does not start without one", remedy=remedy)
        return
    secrets = KEY_FILE, SEAL_FILE, certificates.KEY, key_file.FILE_NAME, revoked.FILE_NAME
    facts = state_folder.gather(folder, private=secrets)
    yield from state_folder.judge(facts)
    yield from disk.judge(disk.gather(facts.above, durable=examined.is_durable, write=facts.writable))


def _memory(examined: Patient) -> Iterator[Finding]:
    limits = examined.settings.limits
    topic = max((each.retention.size for each in examined.channels), default=History().bytes)
    facts = memory.gather(
        group=examined.most_memory, connections=limits.connections, unsent=limits.unsent, topic=topic
    )
    return memory.judge(facts)


def _open_files(examined: Patient) -> Iterator[Finding]:
    connections = examined.settings.limits.connections
    return open_files.judge(open_files.gather(known=examined.open_files, connections=connections))


def _kernel(examined: Patient) -> Iterator[Finding]:
    limits = examined.settings.limits
    facts = kernel.gather(
        backlog=BACKLOG,
        connections=limits.connections,
        unsent=limits.unsent,
        ports=[address.port for address, _ in examined.addresses if address.port],
    )
    return kernel.judge(facts)


def _clock(examined: Patient) -> Iterator[Finding]:
    file = examined.request.file
    known = [Path(sys.argv[0]), Path(sys.executable), *([file] if file is not None else [])]
    return clock.judge(clock.gather(time.time(), known))


_AREAS = (
    (Kind.INTERPRETER, _interpreter),
    (Kind.CONFIGURATION, _configuration),
    (Kind.INSTANCE, _instance),
    (Kind.UNIT, _unit),
    (Kind.LISTEN, _listeners),
    (Kind.CERTIFICATE, _certificate),
    (Kind.STATE_FOLDER, _state),
    (Kind.MEMORY, _memory),
    (Kind.OPEN_FILES, _open_files),
    (Kind.ACCEPT_QUEUE, _kernel),
    (Kind.CLOCK, _clock),
)
"""What is looked at in this order, each with the kind that is told when it cannot be."""
