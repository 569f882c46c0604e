"""The self-signed certificate: what is in it, when it is kept, when it is renewed."""

from __future__ import annotations

import datetime as dt
import ipaddress
import shlex
import shutil
import socket
import ssl
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.core.errors import StartError
from appliance.edge.certificates import Paths, ensure, fingerprint

if TYPE_CHECKING:
    from pathlib import Path

NOW = time.time()
DAY = 86400.0


def make(
    folder: Path,
    names: tuple[str, ...] = (),
    *,
    valid: float = 397 * DAY,
    renew_before: float = 30 * DAY,
    now: float = NOW,
) -> Paths:
    return ensure(folder, names=names, valid=valid, renew_before=renew_before, now=now)


def load(paths: Paths) -> x509.Certificate:
    return x509.load_pem_x509_certificate(paths.certificate.read_bytes())


def covered(paths: Paths) -> set[str]:
    names = load(paths).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def refused(folder: Path, names: tuple[str, ...] = ()) -> str:
    with pytest.raises(StartError) as caught:
        make(folder, names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_a_pair(tmp_path: Path) -> None:
    paths = make(tmp_path)
    assert paths.made
    assert mode(paths.key) == 0o600
    assert mode(paths.certificate) == 0o644
    assert set(tmp_path.iterdir()) == {paths.certificate, paths.key}


def test_what_the_certificate_says(tmp_path: Path) -> None:
    certificate = load(make(tmp_path))
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert certificate.issuer == certificate.subject
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.critical) == (False, True)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    begin = certificate.not_valid_before_utc.timestamp()
    assert NOW - 3600 < begin <= NOW - 60
    assert certificate.not_valid_after_utc.timestamp() == pytest.approx(NOW + 397 * DAY, abs=1)


def test_serial_numbers_differ(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert load(make(tmp_path / "a")).serial_number != load(make(tmp_path / "b")).serial_number


def test_the_names_that_are_covered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Machine")
    paths = make(
        tmp_path,
        ("10.0.0.7", "fe80::1%eth0", "Stream.Example.ORG.", "*.example.org", "bücher.example", "localhost"),
    )
    assert covered(paths) == {
        "localhost",
        "machine",
        "127.0.0.1",
        "::1",
        "10.0.0.7",
        "fe80::1",
        "stream.example.org",
        "*.example.org",
        "xn--bcher-kva.example",
    }


@pytest.mark.parametrize("anywhere", ["0.0.0.0", "::"])  # noqa: S104 - nothing is bound
def test_the_address_of_a_listener_on_all_interfaces_is_no_name(tmp_path: Path, anywhere: str) -> None:
    paths = make(tmp_path, (anywhere,))
    assert anywhere not in covered(paths)
    assert not make(tmp_path, (anywhere,)).made


def test_an_odd_host_name_does_not_stop_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "odd name!")
    assert covered(make(tmp_path)) == {"localhost", "127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "two words",
        "a..b",
        "-a.example",
        "1.2.3.999",
        "1.2.3",
        "a" * 64,
        "a." * 130 + "b",
        "http://a",
        "*",
    ],
)
def test_what_is_neither_name_nor_address_is_told(tmp_path: Path, name: str) -> None:
    message = refused(tmp_path, (name,))
    assert repr(name) in message
    assert "tls.names" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("server", ["localhost", "127.0.0.1", "::1", "stream.example.org"])
def test_a_client_that_trusts_the_file_verifies_each_name(tmp_path: Path, server: str) -> None:
    paths = make(tmp_path, ("stream.example.org",))
    client = ssl.create_default_context(cafile=str(paths.certificate))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python 3.13 does by default
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths.certificate, paths.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = client.wrap_bio(to_client, to_server, server_hostname=server)
    server_side = context.wrap_bio(to_server, to_client, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        client_side.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        server_side.do_handshake()
    client_side.do_handshake()
    assert client_side.getpeercert() is not None


def test_the_next_start_keeps_the_pair(tmp_path: Path) -> None:
    first = make(tmp_path, ("a.example", "b.example"))
    content = first.certificate.read_bytes(), first.key.read_bytes()
    again = make(tmp_path, ("b.example",), now=NOW + 300 * DAY)
    assert not again.made
    assert (again.certificate.read_bytes(), again.key.read_bytes()) == content


def test_it_is_renewed_in_time_and_keeps_its_key(tmp_path: Path) -> None:
    first = make(tmp_path, valid=100 * DAY, renew_before=30 * DAY)
    before = load(first)
    key = first.key.read_bytes()
    assert not make(tmp_path, valid=100 * DAY, now=NOW + 69 * DAY).made
    renewed = make(tmp_path, valid=100 * DAY, now=NOW + 71 * DAY)
    assert renewed.made
    assert load(renewed).not_valid_after_utc - before.not_valid_after_utc == dt.timedelta(days=71)
    assert load(renewed).serial_number != before.serial_number
    assert renewed.key.read_bytes() == key
    assert set(tmp_path.iterdir()) == {renewed.certificate, renewed.key}


def test_it_is_renewed_for_a_further_name(tmp_path: Path) -> None:
    make(tmp_path)
    renewed = make(tmp_path, ("10.0.0.7",))
    assert renewed.made
    assert "10.0.0.7" in covered(renewed)


def test_it_is_renewed_when_it_was_made_with_a_clock_ahead(tmp_path: Path) -> None:
    make(tmp_path, now=NOW + 1000 * DAY)
    renewed = make(tmp_path)
    assert renewed.made
    assert load(renewed).not_valid_before_utc.timestamp() < NOW


def test_a_renewal_that_would_never_end_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"tls\.renew_before"):
        make(tmp_path, valid=30 * DAY, renew_before=30 * DAY)


def test_a_certificate_without_end_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"tls\.valid"):
        make(tmp_path, valid=1e12)


def test_a_start_that_ended_after_the_key_is_taken_up(tmp_path: Path) -> None:
    first = make(tmp_path)
    key = first.key.read_bytes()
    first.certificate.unlink()
    again = make(tmp_path)
    assert again.made
    assert again.key.read_bytes() == key


def test_starts_at_once_end_with_one_pair_that_fits(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: make(tmp_path), range(4)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths[0].certificate, paths[0].key)
    assert not make(tmp_path).made
    assert set(tmp_path.iterdir()) == {paths[0].certificate, paths[0].key}


def foreign(*, name: str) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime.fromtimestamp(NOW, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(NOW + DAY, dt.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), pem(key)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    )


def test_a_foreign_certificate_is_not_overwritten(tmp_path: Path) -> None:
    paths = make(tmp_path)
    certificate, key = foreign(name="stream.example.org")
    paths.certificate.write_bytes(certificate)
    paths.key.write_bytes(key)
    message = refused(tmp_path)
    assert "tls.certificate" in message
    assert f"rm {paths.certificate} {paths.key}" in message
    assert paths.certificate.read_bytes() == certificate
    assert paths.key.read_bytes() == key


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\0", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_corrupt_certificate_is_told_and_kept(tmp_path: Path, content: bytes) -> None:
    paths = make(tmp_path)
    paths.certificate.write_bytes(content)
    assert f"rm {paths.certificate}" in refused(tmp_path)
    assert paths.certificate.read_bytes() == content


def test_after_the_remedy_the_start_works(tmp_path: Path) -> None:
    paths = make(tmp_path)
    paths.certificate.write_bytes(b"garbage")
    remedy = refused(tmp_path).partition("`")[2].partition("`")[0]
    subprocess.run(shlex.split(remedy), check=True)
    assert make(tmp_path).made


def test_a_key_that_is_none_of_ours_is_told_and_kept(tmp_path: Path) -> None:
    paths = make(tmp_path)
    ours = ec.generate_private_key(ec.SECP256R1())
    for content in (
        b"",
        b"garbage",
        pem(ours, b"password"),
        pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        pem(ours),
    ):
        paths.key.write_bytes(content)
        message = refused(tmp_path)
        assert str(paths.key) in message
        assert f"`rm {paths.certificate} {paths.key}`" in message
        assert paths.key.read_bytes() == content


def test_a_missing_key_is_told(tmp_path: Path) -> None:
    paths = make(tmp_path)
    paths.key.unlink()
    assert f"{paths.key} is missing" in refused(tmp_path)
    assert not paths.key.exists()


def test_a_key_that_others_could_read_is_told(tmp_path: Path) -> None:
    paths = make(tmp_path)
    paths.key.chmod(0o640)
    assert f"`chmod 600 {paths.key}`" in refused(tmp_path)


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    paths = make(tmp_path)
    paths.certificate.unlink()
    paths.certificate.mkdir()
    assert f"{paths.certificate} cannot be read" in refused(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "cannot be written" in refused(tmp_path / "nowhere")


def test_a_folder_that_is_not_writable_is_told(own_folder: Path) -> None:
    own_folder.chmod(0o500)
    assert "cannot be written" in refused(own_folder)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="compares with the command openssl")
def test_the_fingerprint_is_the_one_that_openssl_shows(tmp_path: Path) -> None:
    paths = make(tmp_path)
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", paths.certificate],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert fingerprint(paths.certificate.read_bytes()) == shown.strip().partition("=")[2]


def test_there_is_no_fingerprint_of_nothing() -> None:
    with pytest.raises(ValueError, match="PEM"):
        fingerprint(b"nothing")


def test_addresses_are_covered_as_addresses(tmp_path: Path) -> None:
    names = load(make(tmp_path)).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.IPAddress)) == {
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    }
