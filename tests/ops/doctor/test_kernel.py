from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from appliance.ops.doctor import kernel
from tests.ops.doctor.said import only, said

GOOD = kernel.Facts(
    somaxconn=4096,
    conntrack=262_144,
    tcp_memory=2 * 1024**3,
    outgoing=(32_768, 60_999),
    reserved="",
    backlog=4096,
    connections=12_000,
    unsent=32_768,
    ports=[8443],
)


def test_good_settings_are_told() -> None:
    kinds = ["accept-queue", "conntrack", "tcp-memory", "outgoing-ports"]
    assert said(kernel.judge(GOOD)) == [(kind, "ok") for kind in kinds]


@pytest.mark.parametrize(
    ("change", "kind", "verdict", "remedy"),
    [
        ({"somaxconn": 128}, "accept-queue", "warning", "sysctl -w net.core.somaxconn='4096'"),
        ({"conntrack": 16_384}, "conntrack", "warning", "sysctl -w net.netfilter.nf_conntrack_max='24000'"),
        ({"tcp_memory": 64 * 1024**2}, "tcp-memory", "warning", "sysctl -w net.ipv4.tcp_mem='"),
        ({"ports": [40_000]}, "outgoing-ports", "note", "ip_local_reserved_ports='40000'"),
        ({"ports": [40_000], "reserved": "5000-5001"}, "outgoing-ports", "note", "='5000-5001,40000'"),
    ],
)
def test_a_setting_that_hurts_is_told_with_the_one_that_does_not(
    change: dict[str, Any], kind: str, verdict: str, remedy: str
) -> None:
    found = only(kernel.judge(attrs.evolve(GOOD, **change)))
    assert (found.kind, found.verdict) == (kind, verdict)
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("reserved", "port", "is_reserved"),
    [
        ("", 40_000, False),
        ("40000", 40_000, True),
        ("1-5,39999-40001", 40_000, True),
        ("40001", 40_000, False),
    ],
)
def test_a_port_is_found_among_those_that_are_kept_back(
    reserved: str, port: int, *, is_reserved: bool
) -> None:
    assert kernel.reserves(reserved, port) is is_reserved
    found = said(kernel.judge(attrs.evolve(GOOD, ports=[port], reserved=reserved)))
    assert (("outgoing-ports", "ok") in found) is is_reserved


def test_of_what_the_system_does_not_tell_nothing_is_said() -> None:
    unknown = attrs.evolve(GOOD, somaxconn=None, conntrack=None, tcp_memory=None, outgoing=None)
    assert list(kernel.judge(unknown)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_this_kernel_is_looked_at() -> None:
    facts = kernel.gather(backlog=1, connections=1, unsent=1, ports=[])
    assert facts.somaxconn == int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert facts.outgoing is not None
    assert facts.outgoing[0] < facts.outgoing[1]
    assert facts.tcp_memory is not None
