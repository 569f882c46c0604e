"""An authority of the tests, and the certificates of clients that it vouches for."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PARTS = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
}
_DAY = dt.timedelta(days=1)


def _name(parts: Iterable[tuple[str, str]]) -> x509.Name:
    return x509.Name([x509.NameAttribute(_PARTS[part], value) for part, value in parts])


def _other(name: str) -> x509.GeneralName:
    kind, _, value = name.partition(":")
    match kind:
        case "dns":
            return x509.DNSName(value)
        case "uri":
            return x509.UniformResourceIdentifier(value)
        case "email":
            return x509.RFC822Name(value)
        case _:
            return x509.IPAddress(ipaddress.ip_address(value))


@attrs.frozen
class Authority:
    """Vouches for certificates; its own is in `file`."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = attrs.field(factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    common_name: str = "authority of the tests"

    @property
    def file(self) -> Path:
        path = self.folder / f"{self.common_name.replace(' ', '-')}.pem"
        if not path.exists():
            own = self._signed(_name([("CN", self.common_name)]), self.key, authority=True)
            path.write_bytes(own.public_bytes(serialization.Encoding.PEM))
        return path

    def certificate(
        self, *subject: tuple[str, str], names: Iterable[str] = (), expired: bool = False
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        return self._signed(_name(subject), key, names=names, expired=expired), key

    def pair(self, *subject: tuple[str, str], names: Iterable[str] = (), expired: bool = False) -> Path:
        """Write a certificate with its key into one file, as `load_cert_chain` takes it."""
        made, key = self.certificate(*subject, names=names, expired=expired)
        path = self.folder / f"{made.serial_number:x}.pem"
        path.write_bytes(
            made.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        names: Iterable[str] = (),
        expired: bool = False,
        authority: bool = False,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_name([("CN", self.common_name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now - _DAY if expired else now + _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        if others := [_other(name) for name in names]:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        return builder.sign(self.key, hashes.SHA256())
