"""Certificates as they are read from real files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from appliance.edge.certificates import ensure
from appliance.ops.doctor.chain import read
from tests.sources.postgres.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


def test_a_chain_is_read_in_its_order(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, _ = authority.vouch("stream.example.com", "192.0.2.1", days=10)
    whole = tmp_path / "whole.pem"
    whole.write_bytes(certificate.read_bytes() + authority.certificate.read_bytes())
    leaf, root = read(whole)
    assert leaf.subject == "CN=stream.example.com"
    assert leaf.names == ("stream.example.com", "192.0.2.1")
    assert leaf.begins < time.time() < leaf.ends
    assert (leaf.authority, leaf.own_issuer, leaf.signed_by_next) == (False, False, True)
    assert (root.authority, root.own_issuer, root.signed_by_next) == (True, True, None)


def test_who_has_not_signed_is_found(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).vouch("stream.example.com")
    stranger = Authority(tmp_path, "stranger")
    certificate.write_bytes(certificate.read_bytes() + stranger.certificate.read_bytes())
    leaf, _ = read(certificate)
    assert leaf.signed_by_next is False


def test_one_of_the_same_name_with_another_key_has_not_signed(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).vouch("stream.example.com")
    (tmp_path / "other").mkdir()
    same_name = Authority(tmp_path / "other")
    certificate.write_bytes(certificate.read_bytes() + same_name.certificate.read_bytes())
    assert read(certificate)[0].signed_by_next is False


def test_that_of_the_appliance_is_its_own_issuer(tmp_path: Path) -> None:
    made = ensure(tmp_path, names=["stream.example.com"], valid=86_400, renew_before=60, now=time.time())
    [leaf] = read(made.certificate)
    assert leaf.own_issuer
    assert not leaf.authority
    assert "stream.example.com" in leaf.names


def test_what_cannot_be_read_has_none(tmp_path: Path) -> None:
    assert read(tmp_path / "nothing") == ()
    (tmp_path / "file").write_text("no certificate")
    assert read(tmp_path / "file") == ()
