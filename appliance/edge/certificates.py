"""The self-signed certificate: made at the first start, kept, and renewed in time.

Must not know sockets or contexts; `tls` serves what lies in the files.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import re
import shlex
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.core.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable

CERTIFICATE: Final = "certificate.pem"
KEY: Final = "certificate.key"
ALWAYS: Final = ("localhost", "127.0.0.1", "::1")

_SUBJECT: Final = x509.Name(
    [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "stream appliance"),
        x509.NameAttribute(NameOID.COMMON_NAME, "self-signed"),
    ]
)
"""Also tells our own certificate from one that somebody put in its place."""

_SIGNATURES_ONLY: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)

_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_EARLIER: Final = dt.timedelta(minutes=5)
"""Clients whose clocks are behind accept a new certificate too."""


@attrs.frozen
class Paths:
    """Where the pair lies, and whether the certificate was made just now."""

    certificate: Path
    key: Path
    made: bool


def ensure(folder: Path, *, names: Iterable[str], valid: float, renew_before: float, now: float) -> Paths:
    """Make the pair in `folder`, or keep it, or renew the certificate when it is due or lacks a name.

    A renewed certificate keeps the key, so that at no moment the two files do not fit. While running, call it
    again from time to time, and let `tls.Contexts` pick the files up.
    """
    if renew_before >= valid:
        raise StartError(
            "tls.renew_before must be shorter than tls.valid, or every certificate would be due at once"
        )
    certificate_path, key_path = folder / CERTIFICATE, folder / KEY
    wanted = _wanted(names)
    kept = _read_certificate(certificate_path, key_path)
    key = _read_key(key_path, certificate_path)
    if key is None and kept is not None:
        raise StartError(f"{key_path} is missing: restore it, or {_renewal(certificate_path)}")
    if key is None:
        key = _make_key(key_path, certificate_path)
    if kept is not None and kept.public_key() != key.public_key():
        raise StartError(
            f"{certificate_path} and {key_path} do not fit: {_renewal(certificate_path, key_path)}"
        )
    if kept is not None and not _due(kept, wanted, renew_before=renew_before, now=now):
        return Paths(certificate_path, key_path, made=False)
    _replace(certificate_path, _sign(key, wanted, valid=valid, now=now))
    return Paths(certificate_path, key_path, made=True)


def fingerprint(pem: bytes) -> str:
    """SHA-256 of the first certificate, as openssl and browsers show it; ValueError when there is none."""
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex(":").upper()


def _wanted(names: Iterable[str]) -> list[x509.GeneralName]:
    wanted = [_name(name) for name in (*ALWAYS, *names)]
    with contextlib.suppress(StartError):  # nobody chose it for this certificate; containers have odd ones
        wanted.append(_name(socket.gethostname()))
    return [
        name
        for name in dict.fromkeys(wanted)
        # A listener on 0.0.0.0 or :: is reached by other names.
        if not (isinstance(name, x509.IPAddress) and name.value.is_unspecified)
    ]


def _name(text: str) -> x509.GeneralName:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return x509.DNSName(_dns_name(text))
    # A zone (`fe80::1%eth0`) means something on this machine only.
    return x509.IPAddress(type(address)(int(address)))


def _dns_name(text: str) -> str:
    try:
        name = text.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        name = ""
    labels = name.removeprefix("*.").split(".")
    # What ends in a number is a mistyped address.
    if len(name) > 253 or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004 - the limit of DNS
        raise StartError(
            f"{text!r} is neither a host name nor an address: correct tls.names or the listen URL"
        )
    return name


def _due(kept: x509.Certificate, wanted: list[x509.GeneralName], *, renew_before: float, now: float) -> bool:
    covered = kept.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        kept.not_valid_after_utc.timestamp() - now <= renew_before
        or kept.not_valid_before_utc.timestamp() > now  # made when the clock was wrong
        or any(name not in covered for name in wanted)
    )


def _sign(
    key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName], *, valid: float, now: float
) -> bytes:
    begin = dt.datetime.fromtimestamp(now, dt.UTC)
    try:
        end = begin + dt.timedelta(seconds=valid)
    except OverflowError:
        raise StartError("tls.valid is too long: certificates end before the year 10000") from None
    return (
        x509.CertificateBuilder()
        .subject_name(_SUBJECT)
        .issuer_name(_SUBJECT)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _EARLIER)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNATURES_ONLY, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def _read_certificate(path: Path, key_path: Path) -> x509.Certificate | None:
    content = _read(path)
    if content is None:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(content)
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        raise StartError(f"{path} is not a certificate that can be served: {_renewal(path)}") from None
    if certificate.subject != _SUBJECT:
        raise StartError(
            f"{path} was not made by the appliance: name your own files in tls.certificate and tls.key, "
            f"or {_renewal(path, key_path)}"
        )
    return certificate


def _read_key(path: Path, certificate_path: Path) -> ec.EllipticCurvePrivateKey | None:
    content = _read(path)
    if content is None:
        return None
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise StartError(f"{path} can be read by others: run `chmod 600 {shlex.quote(str(path))}`")
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StartError(
            f"{path} is not a key that the appliance made: {_renewal(certificate_path, path)}"
        ) from None
    return key


def _make_key(path: Path, certificate_path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    temporary = _write_beside(path, pem)
    try:
        os.link(temporary, path)  # fails when another process was faster; then theirs counts
    except FileExistsError:
        theirs = _read_key(path, certificate_path)
        if theirs is None:
            raise StartError(f"{path} leads nowhere: {_renewal(path)}") from None
        return theirs
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink()
    return key


def _replace(path: Path, content: bytes) -> None:
    temporary = _write_beside(path, content)
    try:
        temporary.chmod(0o644)  # a certificate is public: `curl --cacert` of any user may read it
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def _write_beside(path: Path, content: bytes) -> Path:
    """Write a whole file, with mode 0600, that only needs its name."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                Path(file.name).unlink()
                raise
    except OSError as error:
        raise _unwritable(path, error) from error
    return Path(file.name)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(
            f"{path} cannot be read ({error.strerror}): let user {os.geteuid()} read it"
        ) from error


def _unwritable(path: Path, error: OSError) -> StartError:
    return StartError(f"{path} cannot be written ({error.strerror}): make {path.parent} writable")


def _renewal(*paths: Path) -> str:
    return f"have a new one made with `rm {' '.join(shlex.quote(str(path)) for path in paths)}`"
