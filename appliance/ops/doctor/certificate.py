"""The certificate of the `tls://` listeners: whether it serves, until when, for which names, in which order.

Must not know how it is served, nor how one is made: whether the pair loads is told to it.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import stat
from typing import TYPE_CHECKING, Final

import attrs

from appliance.ops.doctor.chain import read
from appliance.ops.doctor.findings import Kind, note, ok, problem, warning
from appliance.ops.doctor.words import quoted
from appliance.settings.quantities import time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from appliance.ops.doctor.chain import Certificate
    from appliance.ops.doctor.findings import Finding

_SOON: Final = 14 * 86_400.0
_DAY: Final = 86_400.0
_ANYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_WHY_NAMES: Final = "clients refuse a certificate that is not for the name that they were given"


@attrs.frozen(kw_only=True)
class Facts:
    """`refusal` says why the pair cannot be served, empty when it can. `kept`: the appliance makes and renews it.

    `mode` is that of the key's file; `hosts` are those of the listeners.
    """

    certificate: Path
    key: Path
    refusal: str = ""
    kept: bool = False
    mode: int | None = None
    chain: Sequence[Certificate] = ()
    hosts: Sequence[str] = ()
    valid: float
    renew_before: float


def gather(
    certificate: Path,
    key: Path,
    *,
    refusal: str,
    kept: bool,
    hosts: Iterable[str],
    valid: float,
    renew_before: float,
) -> Facts:
    """`valid` and `renew_before` are the settings of the certificates that the appliance makes."""
    try:
        status = key.stat()
    except OSError:
        status = None
    return Facts(
        certificate=certificate,
        key=key,
        refusal=refusal,
        kept=kept,
        mode=None if status is None else stat.S_IMODE(status.st_mode),
        chain=read(certificate),
        hosts=tuple(hosts),
        valid=valid,
        renew_before=renew_before,
    )


def judge(facts: Facts, *, now: float) -> Iterator[Finding]:
    if facts.kept and facts.renew_before >= facts.valid:
        due, valid = time_text(facts.renew_before), time_text(facts.valid)
        yield problem(
            Kind.CERTIFICATE,
            f"tls.renew_before ({due}) is not shorter than tls.valid ({valid})",
            why="every certificate would be due at once, and `serve` does not start",
            remedy='`renew_before = "30d"` and `valid = "397d"` in [tls], as they are by default',
        )
    if facts.kept and not facts.refusal and not facts.chain:
        yield ok(Kind.CERTIFICATE, f"{facts.certificate} is made at the first start")
        return
    yield from _permitted(facts)
    if facts.refusal:
        yield _refused(facts)
    elif facts.chain:
        findings = [*_dated(facts, now), *_linked(facts), *_named(facts)]
        leaf, ends = facts.chain[0], dt.datetime.fromtimestamp(facts.chain[0].ends, dt.UTC)
        yield from findings or [
            ok(
                Kind.CERTIFICATE,
                f"{facts.certificate} is good until {ends:%Y-%m-%d}, for {', '.join(leaf.names)}",
            )
        ]


def _refused(facts: Facts) -> Finding:
    why = "no `tls://` listener can serve with it"
    authorities = [each.authority for each in facts.chain]
    if authorities[:1] == [True] and not all(authorities):
        return problem(
            Kind.CERTIFICATE,
            f"{facts.certificate} begins with an authority's certificate ({facts.chain[0].subject})",
            why=why,
            remedy="put the server's own first, then each that has signed the one before it",
        )
    return problem(
        Kind.CERTIFICATE,
        facts.refusal,
        why=why,
        remedy=f"see what the files are with `openssl x509 -noout -text -in {quoted(facts.certificate)}` and"
        f" `openssl pkey -noout -text_pub -in {quoted(facts.key)}`",
    )


def _permitted(facts: Facts) -> Iterator[Finding]:
    if facts.mode is None:
        return
    others = facts.mode & (0o077 if facts.kept else 0o007)
    if others or facts.mode & 0o022:
        finding = problem if facts.kept or facts.mode & 0o022 else warning
        yield finding(
            Kind.CERTIFICATE,
            f"{facts.key} is open to others (mode {facts.mode:04o})",
            why="whoever has the key can pass for this server",
            remedy=f"`chmod {'600' if facts.kept else 'g-w,o='} {quoted(facts.key)}`",
        )


def _dated(facts: Facts, now: float) -> Iterator[Finding]:
    leaf, path = facts.chain[0], facts.certificate
    ends = dt.datetime.fromtimestamp(leaf.ends, dt.UTC)
    soon = facts.renew_before if facts.kept else _SOON
    if leaf.begins > now:
        begins = dt.datetime.fromtimestamp(leaf.begins, dt.UTC)
        yield problem(
            Kind.CERTIFICATE,
            f"{path} is not good before {begins:%Y-%m-%d %H:%M} UTC",
            why="clients refuse it until then",
            remedy="see to the clock with `timedatectl`, or put the right certificate in place",
        )
    elif facts.kept and leaf.ends - now <= soon:
        yield note(
            Kind.CERTIFICATE,
            f"{path} is good until {ends:%Y-%m-%d}, and due to be renewed",
            why="clients that know it by its fingerprint must be told the next one",
            remedy="start the appliance, which renews it; one that runs does so within the hour",
        )
    elif leaf.ends <= now:
        yield problem(
            Kind.CERTIFICATE,
            f"{path} has ended on {ends:%Y-%m-%d}",
            why="clients refuse it",
            remedy="renew it; the appliance takes the new files up while it runs",
        )
    elif leaf.ends - now <= soon:
        yield warning(
            Kind.CERTIFICATE,
            f"{path} ends on {ends:%Y-%m-%d}, in {(leaf.ends - now) / _DAY:.0f} days",
            why="clients refuse it from then on",
            remedy="renew it, and see why that did not happen by itself (`systemctl list-timers`)",
        )


def _linked(facts: Facts) -> Iterator[Finding]:
    leaf, *_ = facts.chain
    broken = next((each for each in facts.chain if each.signed_by_next is False), None)
    if broken is not None:
        yield warning(
            Kind.CERTIFICATE,
            f"{facts.certificate}: what follows {broken.subject} has not signed it",
            why="clients that do not put the chain in order themselves refuse it",
            remedy="put the server's own first, then each that has signed the one before it",
        )
    elif len(facts.chain) == 1 and not leaf.own_issuer and leaf.issuer_known_at:
        yield warning(
            Kind.CERTIFICATE,
            f"{facts.certificate} has no certificate of the authority between it and a root",
            why="browsers find it by themselves, and most other clients refuse",
            remedy="name the file with the whole chain in tls.certificate: `fullchain.pem` of certbot",
        )


def _named(facts: Facts) -> Iterator[Finding]:
    leaf = facts.chain[0]
    if not leaf.names:
        yield problem(
            Kind.CERTIFICATE,
            f"{facts.certificate} names no host (it has no subject alternative name)",
            why=_WHY_NAMES,
            remedy="have it issued for the names by which clients reach this server",
        )
        return
    for host in facts.hosts:
        if host in _ANYWHERE or facts.kept or covers(leaf.names, host):
            continue
        finding = note if _is_local(host) else warning
        yield finding(
            Kind.CERTIFICATE,
            f"{facts.certificate} is for {', '.join(leaf.names)}, and not for {host}",
            why=_WHY_NAMES,
            remedy=f"have it issued for {host} too, or give clients a name that it has",
        )


def covers(names: Iterable[str], host: str) -> bool:
    """Whether a certificate for these names is good for a host; `*.example.com` is for one label more."""
    wanted = host.lower().removesuffix(".")
    with_star = f"*.{wanted.partition('.')[2]}"
    return any(name.lower() in (wanted, with_star) for name in names)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
