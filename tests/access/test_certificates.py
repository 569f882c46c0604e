"""Client certificates, read and recognised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization

from appliance.access.certificates import Certificates, ClientCertificate, fits, read
from appliance.access.principals import Principal
from appliance.core.entitlements import Entitlements
from appliance.settings.access import CertificateSettings
from tests.access.certifying import Authority

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("dns:one.feeds.example", "uri:spiffe://acme/feeds/1", "email:feed@acme.example", "ip:192.0.2.1")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> ClientCertificate:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    made, _ = authority.certificate(
        ("CN", "feed-1"), ("O", "Acme"), ("OU", "desk"), ("OU", "night, shift"), names=NAMES
    )
    found = read(made.public_bytes(serialization.Encoding.DER))
    assert found is not None
    assert found.serial == f"{made.serial_number:x}"
    assert (found.issued, found.expires) == (
        made.not_valid_before_utc.timestamp(),
        made.not_valid_after_utc.timestamp(),
    )
    return found


def test_all_that_is_looked_at_is_read(shown: ClientCertificate) -> None:
    assert shown.subject == {("CN", "feed-1"), ("O", "Acme"), ("OU", "desk"), ("OU", "night, shift")}
    assert shown.names == {tuple(name.split(":", 1)) for name in NAMES}


def test_a_certificate_may_have_no_other_names(tmp_path: Path) -> None:
    made, _ = Authority(tmp_path).certificate(("CN", "feed"))
    found = read(made.public_bytes(serialization.Encoding.DER))
    assert found is not None
    assert found.subject == {("CN", "feed")}
    assert not found.names


@pytest.mark.parametrize("der", [b"", b"0", b"\x30\x82\x01\x0a" + b"x" * 266])
def test_what_cannot_be_read_is_nobodys(der: bytes) -> None:
    assert read(der) is None


@pytest.mark.parametrize(
    ("wanted", "known"),
    [
        ({"subject": {"CN": "feed-1"}}, True),
        ({"subject": {"CN": "feed-*"}}, True),
        ({"subject": {"CN": "*-1"}}, True),
        ({"subject": {"CN": "feed-1", "O": "Acme"}}, True),
        ({"subject": {"OU": "night, shift"}}, True),
        ({"subject": {"CN": "feed-1", "O": "Evil"}}, False),
        ({"subject": {"CN": "feed"}}, False),
        ({"subject": {"CN": "Acme"}}, False),
        ({"subject": {"CN": "*,O=Acme"}}, False),
        ({"subject": {"L": "*"}}, False),
        ({"names": ("dns:one.feeds.example",)}, True),
        ({"names": ("dns:*.feeds.example",)}, True),
        ({"names": ("dns:*.other.example", "uri:spiffe://acme/*")}, True),
        ({"names": ("email:*@acme.example",)}, True),
        ({"names": ("ip:192.0.2.1",)}, True),
        ({"names": ("dns:spiffe://acme/feeds/1",)}, False),
        ({"names": ("uri:spiffe://acme/other/*",)}, False),
        ({"subject": {"CN": "feed-1"}, "names": ("ip:192.0.2.1",)}, True),
        ({"subject": {"CN": "feed-1"}, "names": ("ip:192.0.2.2",)}, False),
        ({"subject": {"CN": "feed-2"}, "names": ("ip:192.0.2.1",)}, False),
    ],
)
def test_whose_a_certificate_is(shown: ClientCertificate, wanted: dict[str, Any], *, known: bool) -> None:
    found = Certificates([CertificateSettings(name="feed", **wanted)]).recognise(shown)
    assert (found is not None) is known


def test_the_first_that_fits_says_what_it_may_do(shown: ClientCertificate) -> None:
    found = Certificates(
        [
            CertificateSettings(name="other", subject={"CN": "other"}),
            CertificateSettings(
                name="feeds", subject={"CN": "feed-*"}, read=("price:*",), publish=("alerts",)
            ),
            CertificateSettings(name="anybody", subject={"O": "Acme"}),
        ]
    ).recognise(shown)
    assert found is not None
    assert (found.name, found.kind, found.credential) == ("feeds", "certificate", shown.serial)
    assert found.entitlements == Entitlements(read=("price:*",), publish=("alerts",))
    assert (found.issued, found.expires) == (shown.issued, shown.expires)


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("a*", "a", False),
        ("a*", "ab", True),
        ("*a", "a", False),
        ("*a", "ba", True),
        ("*", "x", True),
        ("*", "", False),
        ("*.example", "evil.example.org", False),
    ],
)
def test_patterns(pattern: str, value: str, *, expected: bool) -> None:
    assert fits(pattern, value) is expected


def test_whose_a_certificate_has_become(shown: ClientCertificate) -> None:
    before = Certificates([CertificateSettings(name="feed")]).recognise(shown)
    assert before is not None
    narrowed = Certificates([CertificateSettings(name="feed", read=("price:*",))]).review(before)
    assert narrowed is not None
    assert narrowed.entitlements.read == ("price:*",)
    assert Certificates(()).review(before) is None
    assert Certificates([CertificateSettings(name="feed")]).review(Principal("feed")) is None
