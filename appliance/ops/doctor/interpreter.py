"""The Python that runs this, its OpenSSL, and what the environment tells it.

Must not know the configuration.
"""

from __future__ import annotations

import datetime as dt
import platform
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Final

import attrs

from appliance.ops.doctor.findings import Kind, note, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from appliance.ops.doctor.findings import Finding

_SUPPORTED: Final = {(3, 11): (2027, 10), (3, 12): (2028, 10), (3, 13): (2029, 10), (3, 14): (2030, 10)}
"""Until which year and month a Python gets corrections of security."""
_OPENSSL: Final = (3, 0)
_READ: Final = "APPLIANCE_"
_SLOWER: Final = ("PYTHONDEVMODE", "PYTHONTRACEMALLOC", "PYTHONMALLOC", "PYTHONPROFILEIMPORTTIME")
_ELSEWHERE: Final = ("PYTHONPATH", "PYTHONHOME")


@attrs.frozen(kw_only=True)
class Facts:
    name: str
    version: tuple[int, int, int]
    platform: str
    openssl: tuple[int, int]
    openssl_name: str
    bounds_unsent: bool
    today: dt.date


def gather(now: float) -> Facts:
    return Facts(
        name=platform.python_implementation(),
        version=sys.version_info[:3],
        platform=f"{platform.system()} {platform.machine()}",
        openssl=ssl.OPENSSL_VERSION_INFO[:2],
        openssl_name=ssl.OPENSSL_VERSION,
        bounds_unsent=hasattr(socket, "TCP_NOTSENT_LOWAT"),
        today=dt.datetime.fromtimestamp(now, dt.UTC).date(),
    )


def judge(facts: Facts) -> Iterator[Finding]:
    yield _python(facts)
    yield _openssl(facts)


def _python(facts: Facts) -> Finding:
    major, minor, micro = facts.version
    what = f"{facts.name} {major}.{minor}.{micro} on {facts.platform}"
    if not facts.bounds_unsent:
        return warning(
            Kind.INTERPRETER,
            f"{what}, which cannot bound unsent data",
            why="clients that read slowly make the kernel hold megabytes for each",
            remedy="serve from Linux; other systems are for development",
        )
    end = _SUPPORTED.get((major, minor))
    if end is not None and facts.today >= dt.date(*end, 1):
        year, month = end
        return warning(
            Kind.INTERPRETER,
            f"{what}, which gets no corrections since {year}-{month:02}",
            why="what is found in it from then on stays open to attackers, unless the distribution mends it",
            remedy="install a newer Python, and the appliance that is built for it",
        )
    return ok(Kind.INTERPRETER, what)


def _openssl(facts: Facts) -> Finding:
    if facts.openssl >= _OPENSSL:
        return ok(Kind.OPENSSL, facts.openssl_name)
    return warning(
        Kind.OPENSSL,
        f"{facts.openssl_name}, which its makers have given up",
        why="all that clients send and get goes through it",
        remedy="install a Python that is linked with OpenSSL 3, as those of current distributions are",
    )


def judge_environment(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Judge variables by their names. What they hold is not told, for it may be a secret."""
    if found := _set(environment, *_ELSEWHERE):
        yield warning(
            Kind.ENVIRONMENT,
            f"{found} tells Python to look for modules elsewhere",
            why="a module from there may take the place of one that the appliance was built and tested with",
            remedy=f"`unset {found}`, or take it out of the unit",
        )
    if found := _set(environment, *_SLOWER):
        yield warning(
            Kind.ENVIRONMENT,
            f"{found} makes Python check itself",
            why="everything takes longer, and clients are served later",
            remedy=f"`unset {found}`, or take it out of the unit",
        )
    if "PYTHONOPTIMIZE" in environment:
        yield note(
            Kind.ENVIRONMENT,
            "PYTHONOPTIMIZE leaves checks out",
            why="plugins may rely on `assert`, and no test has run without",
            remedy="`unset PYTHONOPTIMIZE`, or take it out of the unit",
        )
    names = sorted(name for name in environment if name.startswith(_READ))
    yield ok(Kind.ENVIRONMENT, f"sets {', '.join(names)}" if names else "sets nothing of the configuration")


def _set(environment: Mapping[str, str], *names: str) -> str:
    return " ".join(name for name in names if environment.get(name))
