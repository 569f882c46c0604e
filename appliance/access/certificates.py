"""Client certificates: what one says of who shows it, and whose that is.

Must not know handshakes: a certificate that comes here has been verified there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
from cryptography import x509

from appliance.access.grants import granted
from appliance.access.principals import Principal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.settings.access import CertificateSettings


@attrs.frozen
class ClientCertificate:
    """What is looked at: parts of the subject, such as `("CN", "alice")`, and other names, `("dns", "a.example")`."""

    subject: frozenset[tuple[str, str]]
    names: frozenset[tuple[str, str]]
    serial: str
    issued: float
    expires: float


def read(der: bytes) -> ClientCertificate | None:
    """Read a certificate; none where it says what cannot be understood, for that fits nobody."""
    try:
        found = x509.load_der_x509_certificate(der)
        subject = frozenset((part.rfc4514_attribute_name, str(part.value)) for part in found.subject)
        return ClientCertificate(
            subject=subject,
            names=frozenset(_names(found)),
            serial=f"{found.serial_number:x}",
            issued=found.not_valid_before_utc.timestamp(),
            expires=found.not_valid_after_utc.timestamp(),
        )
    except (ValueError, x509.DuplicateExtension):
        return None


def _names(certificate: x509.Certificate) -> Iterator[tuple[str, str]]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for name in names:
        if kind := _KINDS.get(type(name)):
            yield kind, str(name.value)


_KINDS: Final[dict[type[x509.GeneralName], str]] = {
    x509.DNSName: "dns",
    x509.UniformResourceIdentifier: "uri",
    x509.RFC822Name: "email",
    x509.IPAddress: "ip",
}


class Certificates:
    """Knows whose a certificate is: the first whose subject and names it has."""

    def __init__(self, settings: Iterable[CertificateSettings]) -> None:
        self._known = tuple((entry, granted(entry)) for entry in settings)

    def recognise(self, certificate: ClientCertificate) -> Principal | None:
        for entry, entitlements in self._known:
            if _is_of(entry, certificate):
                return Principal(
                    entry.name,
                    entitlements,
                    kind="certificate",
                    credential=certificate.serial,
                    issued=certificate.issued,
                    expires=certificate.expires,
                    proof=certificate,
                )
        return None

    def review(self, principal: Principal) -> Principal | None:
        """Give whose a certificate is now that has let somebody in before; None: nobody's, or no certificate did."""
        return self.recognise(principal.proof) if isinstance(principal.proof, ClientCertificate) else None


def _is_of(entry: CertificateSettings, certificate: ClientCertificate) -> bool:
    wanted = [tuple(name.split(":", 1)) for name in entry.names]
    return all(
        any(kind == name and fits(pattern, value) for kind, value in certificate.subject)
        for name, pattern in entry.subject.items()
    ) and (
        not wanted
        or any(
            kind == name and fits(pattern, value)
            for kind, value in certificate.names
            for name, pattern in wanted
        )
    )


def fits(pattern: str, value: str) -> bool:
    """Whether a value is that of a pattern, whose `*` at the beginning or the end stands for anything but nothing."""
    if pattern.startswith("*"):
        return value.endswith(pattern[1:]) and len(value) >= len(pattern)
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1]) and len(value) >= len(pattern)
    return value == pattern
