"""What is judged of certificates: by table, and of real files with real faults."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from appliance.core.errors import StartError
from appliance.edge.tls import server_context
from appliance.ops.doctor import certificate
from appliance.ops.doctor.chain import Certificate
from tests.ops.doctor.said import only, said
from tests.sources.postgres.certificates import Authority

NOW = 1_900_000_000.0
DAY = 86_400.0
LEAF = Certificate(
    subject="CN=stream.example.com",
    begins=NOW - 60 * DAY,
    ends=NOW + 60 * DAY,
    names=("stream.example.com", "*.example.org", "192.0.2.1"),
    signed_by_next=True,
)
ROOT = Certificate(
    subject="CN=root", begins=0.0, ends=NOW + 1000 * DAY, own_issuer=True, authority=True, signed_by_next=None
)
GOOD = certificate.Facts(
    certificate=Path("/etc/appliance/certificate.pem"),
    key=Path("/etc/appliance/certificate.key"),
    mode=0o640,
    chain=(LEAF, ROOT),
    hosts=("stream.example.com",),
    valid=397 * DAY,
    renew_before=30 * DAY,
)
KEPT = attrs.evolve(
    GOOD,
    kept=True,
    mode=0o600,
    chain=(attrs.evolve(LEAF, own_issuer=True, signed_by_next=None),),
    renew_before=30 * DAY,
)


def judged(facts: certificate.Facts, **of_the_leaf: Any) -> Any:
    leaf, *others = facts.chain
    return certificate.judge(attrs.evolve(facts, chain=(attrs.evolve(leaf, **of_the_leaf), *others)), now=NOW)


def test_a_good_one_is_told_with_its_end_and_its_names() -> None:
    [found] = certificate.judge(GOOD, now=NOW)
    assert found.verdict == "ok"
    assert "is good until 2030-05-16, for stream.example.com, *.example.org, 192.0.2.1" in found.what


@pytest.mark.parametrize(
    ("facts", "leaf", "verdict", "words"),
    [
        (GOOD, {"ends": NOW - 1}, "problem", "has ended on 2030-03-17"),
        (GOOD, {"ends": NOW + 3 * DAY}, "warning", "ends on 2030-03-20, in 3 days"),
        (GOOD, {"begins": NOW + 60}, "problem", "is not good before 2030-03-17 17:47 UTC"),
        (GOOD, {"signed_by_next": False}, "warning", "what follows CN=stream.example.com has not signed it"),
        (GOOD, {"names": ()}, "problem", "names no host"),
        (GOOD, {"names": ("other.example.com",)}, "warning", "and not for stream.example.com"),
        (KEPT, {"ends": NOW + 20 * DAY}, "note", "due to be renewed"),
        (KEPT, {"ends": NOW - 1}, "note", "due to be renewed"),
    ],
)
def test_what_is_not_well_is_told(
    facts: certificate.Facts, leaf: dict[str, Any], verdict: str, words: str
) -> None:
    found = only(judged(facts, **leaf))
    assert (found.kind, found.verdict) == ("certificate", verdict)
    assert words in found.what


def test_one_that_would_always_be_due_is_a_problem() -> None:
    found = only(certificate.judge(attrs.evolve(KEPT, valid=30 * DAY), now=NOW))
    assert found.what == "tls.renew_before (30d) is not shorter than tls.valid (30d)"
    assert said(certificate.judge(attrs.evolve(GOOD, valid=DAY), now=NOW)) == [("certificate", "ok")]


def test_one_whose_issuer_is_elsewhere_lacks_what_is_between() -> None:
    alone = attrs.evolve(GOOD, chain=(attrs.evolve(LEAF, signed_by_next=None),))
    assert said(certificate.judge(alone, now=NOW)) == [("certificate", "ok")]  # a root of one's own
    found = only(judged(alone, issuer_known_at=True))
    assert (found.verdict, "fullchain.pem" in found.remedy) == ("warning", True)


@pytest.mark.parametrize(
    ("host", "verdict"),
    [
        ("stream.example.com", "ok"),
        ("STREAM.example.com.", "ok"),
        ("a.example.org", "ok"),
        ("192.0.2.1", "ok"),
        ("0.0.0.0", "ok"),  # noqa: S104 - a host of a listener, not bound to
        ("a.b.example.org", "warning"),
        ("example.org", "warning"),
        ("192.0.2.2", "warning"),
        ("127.0.0.1", "note"),
        ("localhost", "note"),
    ],
)
def test_each_host_must_be_among_the_names(host: str, verdict: str) -> None:
    assert said(certificate.judge(attrs.evolve(GOOD, hosts=(host,)), now=NOW)) == [("certificate", verdict)]


@pytest.mark.parametrize(
    ("facts", "mode", "verdict"),
    [
        (GOOD, 0o644, "warning"),
        (GOOD, 0o660, "problem"),
        (KEPT, 0o640, "problem"),
        (KEPT, 0o604, "problem"),
    ],
)
def test_a_key_that_others_can_use_is_told(facts: certificate.Facts, mode: int, verdict: str) -> None:
    found = only(certificate.judge(attrs.evolve(facts, mode=mode), now=NOW))
    assert found.verdict == verdict
    assert f"mode {mode:04o}" in found.what
    assert found.remedy.startswith("`chmod ")


def gathered(pem: Path, key: Path) -> certificate.Facts:
    """The facts of files, with what the server says of them."""
    refusal = ""
    try:
        server_context(pem, key)
    except StartError as error:
        refusal = str(error)
    hosts = ["a.example.com"]
    return certificate.gather(pem, key, refusal=refusal, kept=False, hosts=hosts, valid=DAY, renew_before=0.0)


def real(folder: Path, *, days: int = 30) -> tuple[Path, Path, Path]:
    """A certificate, its key, and that of its authority."""
    authority = Authority(folder)
    pem, key = authority.vouch("a.example.com", days=days)
    key.chmod(0o600)
    return pem, key, authority.certificate


def test_a_real_pair_is_good(tmp_path: Path) -> None:
    pem, key, _ = real(tmp_path)
    assert said(certificate.judge(gathered(pem, key), now=time.time())) == [("certificate", "ok")]


def test_a_real_one_that_has_ended_is_a_problem(tmp_path: Path) -> None:
    pem, key, _ = real(tmp_path, days=-1)
    found = only(certificate.judge(gathered(pem, key), now=time.time()))
    assert found.verdict == "problem"
    assert "has ended on" in found.what


def test_a_key_of_another_is_a_problem(tmp_path: Path) -> None:
    pem, _, _ = real(tmp_path)
    _, other = Authority(tmp_path, "other").vouch("b.example.com")
    other.chmod(0o600)
    found = only(certificate.judge(gathered(pem, other), now=time.time()))
    assert (found.verdict, "is not the key of" in found.what) == ("problem", True)


def test_a_chain_that_begins_at_the_wrong_end_is_a_problem(tmp_path: Path) -> None:
    pem, key, above = real(tmp_path)
    wrong = tmp_path / "wrong.pem"
    wrong.write_bytes(above.read_bytes() + pem.read_bytes())
    found = only(certificate.judge(gathered(wrong, key), now=time.time()))
    assert found.verdict == "problem"
    assert "begins with an authority's certificate (CN=ca)" in found.what


def test_files_that_are_not_there_are_a_problem(tmp_path: Path) -> None:
    found = only(certificate.judge(gathered(tmp_path / "no.pem", tmp_path / "no.key"), now=time.time()))
    assert (found.verdict, "cannot be read" in found.what) == ("problem", True)


def test_one_that_is_yet_to_be_made_is_good(tmp_path: Path) -> None:
    facts = certificate.gather(
        tmp_path / "certificate.pem",
        tmp_path / "key",
        refusal="",
        kept=True,
        hosts=["h"],
        valid=9 * DAY,
        renew_before=DAY,
    )
    [found] = certificate.judge(facts, now=NOW)
    assert (found.verdict, "made at the first start" in found.what) == ("ok", True)
