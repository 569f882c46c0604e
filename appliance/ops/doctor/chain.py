"""The certificates in a file, and what clients will judge of each.

Must not judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature

if TYPE_CHECKING:
    from pathlib import Path


@attrs.frozen(kw_only=True)
class Certificate:
    """One of the chain, as far as clients judge it. `signed_by_next`: whether the one behind it has signed it."""

    subject: str
    begins: float
    ends: float
    names: tuple[str, ...] = ()
    own_issuer: bool = False
    authority: bool = False
    issuer_known_at: bool = False
    signed_by_next: bool | None = None


def read(path: Path) -> tuple[Certificate, ...]:
    """The certificates in a file, in their order; none where it cannot be read, which loading it tells better."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return ()
    issuers = [*found[1:], None]
    return tuple(_certificate(each, issuer) for each, issuer in zip(found, issuers, strict=True))


def _certificate(found: x509.Certificate, issuer: x509.Certificate | None) -> Certificate:
    try:
        extensions: x509.Extensions | tuple[()] = found.extensions
    except (ValueError, x509.DuplicateExtension):
        extensions = ()
    values = [extension.value for extension in extensions]
    names = [name for value in values if isinstance(value, x509.SubjectAlternativeName) for name in value]
    return Certificate(
        subject=found.subject.rfc4514_string(),
        begins=found.not_valid_before_utc.timestamp(),
        ends=found.not_valid_after_utc.timestamp(),
        names=tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress)),
        own_issuer=found.issuer == found.subject,
        authority=any(isinstance(value, x509.BasicConstraints) and value.ca for value in values),
        issuer_known_at=any(isinstance(value, x509.AuthorityInformationAccess) for value in values),
        signed_by_next=None if issuer is None else _has_signed(issuer, found),
    )


def _has_signed(issuer: x509.Certificate, found: x509.Certificate) -> bool:
    try:
        found.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
