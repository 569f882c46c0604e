"""TLS of the server: real handshakes, and files that change under it."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import attrs
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from appliance.core.errors import StartError
from appliance.edge.certificates import Paths, ensure, fingerprint
from appliance.edge.tls import Contexts, Refused, Swapped, Unchanged, server_context
from tests.access.certifying import Authority
from tests.edge.stage import PATIENCE
from tests.edge.test_hello import hello

if TYPE_CHECKING:
    from pathlib import Path

NOW = time.time()
DAY = 86400.0


def pair(folder: Path, *, valid: float = 397 * DAY) -> Paths:
    folder.mkdir(exist_ok=True)
    return ensure(folder, names=(), valid=valid, renew_before=DAY / 2, now=NOW)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return pair(tmp_path / "served")


@attrs.frozen
class Met:
    """What a client saw of a connection."""

    version: str | None
    cipher: str
    alpn: str | None
    fingerprint: str
    resumed: bool | None
    session: ssl.SSLSession | None


def client_context(*alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def only(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = client_context()
    context.minimum_version = context.maximum_version = version
    return context


def meet(server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Met:
    """Connect over a pair of sockets, and send one byte each way."""
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    theirs.settimeout(20)
    with ours, theirs, ThreadPoolExecutor(1) as pool:
        answered = pool.submit(answer, server, theirs)
        try:
            with client.wrap_socket(ours, session=session) as stream:
                stream.sendall(b"?")
                assert stream.recv(1) == b"!"
                certificate = stream.getpeercert(binary_form=True)
                cipher = stream.cipher()
                assert certificate is not None
                assert cipher is not None
                met = Met(
                    version=stream.version(),
                    cipher=cipher[0],
                    alpn=stream.selected_alpn_protocol(),
                    fingerprint=fingerprint(ssl.DER_cert_to_PEM_cert(certificate).encode()),
                    resumed=stream.session_reused,
                    session=stream.session,
                )
        finally:
            ours.close()
        answered.result()
    return met


def answer(context: ssl.SSLContext, theirs: socket.socket) -> None:
    try:
        with context.wrap_socket(theirs, server_side=True) as stream:
            assert stream.recv(1) == b"?"
            stream.sendall(b"!")
            stream.recv(1)  # until the client has read and left
    except OSError:  # the client tells what it saw
        theirs.close()


@pytest.mark.parametrize(
    ("version", "name"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_modern_versions_work(paths: Paths, version: ssl.TLSVersion, name: str) -> None:
    met = meet(server_context(paths.certificate, paths.key), only(version))
    assert met.version == name
    assert met.fingerprint == fingerprint(paths.certificate.read_bytes())


def test_tls_1_1_is_refused_by_the_server(paths: Paths) -> None:
    client = client_context()
    client.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL would not offer it
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError) as caught:
        meet(server_context(paths.certificate, paths.key), client)
    assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize(
    "ciphers",
    ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"],
)
def test_modern_ciphers_of_tls_1_2_work(paths: Paths, ciphers: str) -> None:
    client = only(ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(ciphers)
    assert meet(server_context(paths.certificate, paths.key), client).cipher == ciphers


@pytest.mark.parametrize("ciphers", ["ECDHE+AES+SHA1", "ECDHE+AES+SHA256:!AESGCM", "kRSA", "DHE"])
def test_old_ciphers_of_tls_1_2_are_refused(paths: Paths, ciphers: str) -> None:
    client = only(ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError) as caught:
        meet(server_context(paths.certificate, paths.key), client)
    assert "HANDSHAKE_FAILURE" in str(caught.value.reason)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("h2", "http/1.1"), "h2"),
        (("http/1.1", "h2"), "h2"),
        (("http/1.1",), "http/1.1"),
        (("spdy/1",), None),
        ((), None),
    ],
)
def test_alpn(paths: Paths, offered: tuple[str, ...], chosen: str | None) -> None:
    assert meet(server_context(paths.certificate, paths.key), client_context(*offered)).alpn == chosen


def test_a_client_resumes_its_session_of_tls_1_2(paths: Paths) -> None:
    server, client = server_context(paths.certificate, paths.key), only(ssl.TLSVersion.TLSv1_2)
    first = meet(server, client)
    assert first.resumed is False
    assert meet(server, client, first.session).resumed is True


NAMING = hello("h2", "http/1.1")
SILENT = hello()
"""How clients begin that name their protocols, and those that do not."""


def test_a_client_that_names_its_protocols_resumes_its_session_of_tls_1_3(paths: Paths) -> None:
    served = Contexts(paths.certificate, paths.key).current
    server, client = served.context_for("off", NAMING), only(ssl.TLSVersion.TLSv1_3)
    first = meet(server, client)
    assert first.resumed is False
    assert first.session is not None
    assert first.session.has_ticket
    again = meet(server, client, first.session)
    assert again.resumed is True
    assert meet(server, client, again.session).resumed is True


def test_no_ticket_of_tls_1_3_comes_while_another_client_writes_its_request(paths: Paths) -> None:
    served = Contexts(paths.certificate, paths.key).current
    for begins in (b"", SILENT, NAMING[:20]):
        server = served.context_for("off", begins)
        assert server.num_tickets == 0
        met = meet(server, only(ssl.TLSVersion.TLSv1_3))
        assert met.session is None or not met.session.has_ticket


def test_who_resumes_is_still_who_showed_a_certificate(paths: Paths, authority: Authority) -> None:
    served = Contexts(paths.certificate, paths.key, authority.file).current
    server = served.context_for("required", NAMING)
    client = showing(authority.pair(("CN", "ann")), ssl.TLSVersion.TLSv1_3)
    first = meet(server, client)
    assert meet(server, client, first.session).resumed is True
    stranger = only(ssl.TLSVersion.TLSv1_3)
    with pytest.raises((OSError, AssertionError, ValueError)):
        meet(server, stranger, first.session)


@pytest.mark.parametrize("first", ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"])
def test_the_cipher_that_the_client_likes_best_is_taken(paths: Paths, first: str) -> None:
    client = only(ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(f"{first}:ECDHE+AESGCM:ECDHE+CHACHA20")
    assert meet(server_context(paths.certificate, paths.key), client).cipher == first


@pytest.mark.skipif(shutil.which("openssl") is None, reason="asks for it with the program openssl")
def test_a_client_that_would_renegotiate_is_refused(paths: Paths) -> None:
    context = server_context(paths.certificate, paths.key)
    with socket.create_server(("127.0.0.1", 0)) as door, ThreadPoolExecutor(1) as pool:

        def serve() -> bytes:
            raw, _ = door.accept()
            raw.settimeout(PATIENCE)
            with context.wrap_socket(raw, server_side=True) as stream:
                try:
                    return stream.recv(100)
                except OSError:
                    return b""

        served = pool.submit(serve)
        port = door.getsockname()[1]
        done = subprocess.run(
            ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{port}"],
            input=b"R\n",
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        assert served.result(PATIENCE) == b""
    assert b"RENEGOTIATING" in done.stderr + done.stdout
    assert b"no renegotiation" in done.stderr + done.stdout


def test_neither_compression_nor_renegotiation(paths: Paths) -> None:
    options = server_context(paths.certificate, paths.key).options
    assert options & ssl.OP_NO_COMPRESSION
    assert options & ssl.OP_NO_RENEGOTIATION


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    )


def refused(paths: Paths) -> str:
    with pytest.raises(StartError) as caught:
        server_context(paths.certificate, paths.key)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named(paths: Paths) -> None:
    paths.key.unlink()
    assert refused(paths).startswith(f"{paths.key} cannot be read")
    paths.certificate.unlink()
    assert refused(paths).startswith(f"{paths.certificate} cannot be read")


def test_a_folder_is_no_file(paths: Paths) -> None:
    paths.key.unlink()
    paths.key.mkdir()
    assert refused(paths).startswith(f"{paths.key} cannot be read")


def test_a_key_of_another_certificate_is_told(paths: Paths) -> None:
    paths.key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    assert refused(paths).startswith(f"{paths.key} is not the key of {paths.certificate}")


def test_a_key_of_another_kind_is_told(paths: Paths) -> None:
    paths.key.write_bytes(pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    assert refused(paths).startswith(f"{paths.key} is not the key of {paths.certificate}")


def test_an_encrypted_key_is_told_and_nobody_is_asked_for_a_password(paths: Paths) -> None:
    paths.key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"password"))
    assert refused(paths).startswith(f"{paths.key} is encrypted")


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"\xff\0\xff"])
def test_what_is_no_pem_is_named(paths: Paths, content: bytes) -> None:
    key = paths.key.read_bytes()
    paths.key.write_bytes(content)
    assert refused(paths).startswith(f"{paths.key} is not a private key")
    paths.key.write_bytes(key)
    paths.certificate.write_bytes(content)
    assert refused(paths).startswith(f"{paths.certificate} is not a certificate")


def test_files_that_stay_are_unchanged(paths: Paths) -> None:
    contexts = Contexts(paths.certificate, paths.key)
    before = contexts.current
    assert contexts.refresh() == Unchanged()
    assert contexts.current is before
    assert before.fingerprint == fingerprint(paths.certificate.read_bytes())


def test_a_pair_that_does_not_load_stops_the_start(paths: Paths) -> None:
    paths.key.unlink()
    with pytest.raises(StartError):
        Contexts(paths.certificate, paths.key)


def test_a_new_pair_is_served_to_new_connections(paths: Paths, tmp_path: Path) -> None:
    contexts = Contexts(paths.certificate, paths.key)
    before = contexts.current
    other = pair(tmp_path / "other", valid=90 * DAY)
    other.key.rename(paths.key)
    other.certificate.rename(paths.certificate)

    result = contexts.refresh()

    shown = fingerprint(paths.certificate.read_bytes())
    assert result == Swapped(shown, contexts.current.not_after)
    assert contexts.current.not_after == pytest.approx(NOW + 90 * DAY, abs=1)
    assert meet(contexts.current.context, client_context()).fingerprint == shown
    assert meet(before.context, client_context()).fingerprint == before.fingerprint
    assert contexts.refresh() == Unchanged()


def test_a_file_written_in_place_is_seen(paths: Paths, tmp_path: Path) -> None:
    contexts = Contexts(paths.certificate, paths.key)
    other = pair(tmp_path / "other")
    paths.key.write_bytes(other.key.read_bytes())
    paths.certificate.write_bytes(other.certificate.read_bytes())
    assert isinstance(contexts.refresh(), Swapped)
    assert contexts.current.fingerprint == fingerprint(other.certificate.read_bytes())


def test_a_link_that_leads_elsewhere_is_seen(paths: Paths, tmp_path: Path) -> None:
    other = pair(tmp_path / "other")
    link = tmp_path / "live"
    link.symlink_to(paths.certificate.parent)
    contexts = Contexts(link / paths.certificate.name, link / paths.key.name)
    link.unlink()
    link.symlink_to(other.certificate.parent)
    assert isinstance(contexts.refresh(), Swapped)


def test_half_a_pair_keeps_the_one_before_and_is_told_once(paths: Paths, tmp_path: Path) -> None:
    contexts = Contexts(paths.certificate, paths.key)
    before = contexts.current
    other = pair(tmp_path / "other")

    other.certificate.rename(paths.certificate)
    result = contexts.refresh()
    assert isinstance(result, Refused)
    assert "is not the key of" in result.reason
    assert contexts.refresh() == Unchanged()
    assert contexts.current is before
    assert meet(contexts.current.context, client_context()).fingerprint == before.fingerprint

    other.key.rename(paths.key)
    assert isinstance(contexts.refresh(), Swapped)


def test_files_that_go_and_come_back(paths: Paths, tmp_path: Path) -> None:
    contexts = Contexts(paths.certificate, paths.key)
    before = contexts.current
    paths.key.rename(tmp_path / "away")
    assert isinstance(contexts.refresh(), Refused)
    assert contexts.current is before
    (tmp_path / "away").rename(paths.key)
    assert isinstance(contexts.refresh(), Swapped)


def test_a_renewed_self_signed_certificate_is_served(paths: Paths) -> None:
    contexts = Contexts(paths.certificate, paths.key)
    folder = paths.certificate.parent
    ensure(folder, names=("10.0.0.7",), valid=397 * DAY, renew_before=DAY, now=NOW)
    result = contexts.refresh()
    assert result == Swapped(fingerprint(paths.certificate.read_bytes()), contexts.current.not_after)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "authority").mkdir()
    return Authority(tmp_path / "authority")


def showing(certificate: Path | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    context = only(version)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_is_asked_for_a_certificate(paths: Paths, authority: Authority, version: ssl.TLSVersion) -> None:
    known = Contexts(paths.certificate, paths.key, authority.file).current
    good = authority.pair(("CN", "ann"))
    for asked, shown, met in (
        ("off", None, True),
        ("off", good, True),
        ("optional", None, True),
        ("optional", good, True),
        ("required", None, False),
        ("required", good, True),
    ):
        context = known.context_for(asked)  # type: ignore[arg-type]
        try:
            meet(context, showing(shown, version))
        except (OSError, AssertionError):
            assert not met, (asked, shown)
        else:
            assert met, (asked, shown)


@pytest.mark.parametrize("asked", ["optional", "required"])
def test_a_certificate_that_nobody_vouches_for_is_refused(
    paths: Paths, authority: Authority, tmp_path: Path, asked: str
) -> None:
    context = Contexts(paths.certificate, paths.key, authority.file).current.context_for(asked)  # type: ignore[arg-type]
    (tmp_path / "other").mkdir()
    for wrong in (
        Authority(tmp_path / "other").pair(("CN", "ann")),
        authority.pair(("CN", "ann"), expired=True),
    ):
        with pytest.raises(OSError, match=r"alert|EOF|reset|closed"):
            meet(context, showing(wrong))


def test_other_authorities_are_taken_up(paths: Paths, authority: Authority, tmp_path: Path) -> None:
    contexts = Contexts(paths.certificate, paths.key, authority.file)
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    good = other.pair(("CN", "ann"))
    with pytest.raises(OSError, match=r"alert|EOF|reset|closed"):
        meet(contexts.current.context_for("required"), showing(good))
    authority.file.write_bytes(other.file.read_bytes())
    assert isinstance(contexts.refresh(), Swapped)
    assert meet(contexts.current.context_for("required"), showing(good)).fingerprint
    authority.file.write_text("nothing")
    refused_change = contexts.refresh()
    assert isinstance(refused_change, Refused)
    assert "tls.client_ca" in refused_change.reason
    assert meet(contexts.current.context_for("required"), showing(good)).fingerprint


@pytest.mark.parametrize("content", [None, "", "nothing"])
def test_authorities_that_cannot_be_read_stop_the_start(
    paths: Paths, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(StartError, match=r"tls\.client_ca"):
        Contexts(paths.certificate, paths.key, file)
