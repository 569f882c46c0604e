from __future__ import annotations

import errno
import ipaddress

import pytest

from appliance.ops.doctor import listeners
from appliance.ops.doctor.openings import Facts, Trial
from appliance.ops.doctor.processes import Process
from appliance.settings.address import Address
from tests.ops.doctor.said import only, said

NGINX, OURS, SYSTEMD = Process(812, "nginx"), Process(4711, "python3"), Process(1, "systemd")
URL = "tls://127.0.0.1:8443"


def trial(url: str = URL, error: int = 0, *holders: Process, auth: str = "required") -> Trial:
    address = Address.parse(url)
    target = None if address.kind == "unix" else ipaddress.ip_address(address.host)
    return Trial(address=address, auth=auth, error=error, target=target, holders=holders)


def facts(*trials: Trial, root: bool = False, instance: int | None = None) -> Facts:
    return Facts(trials=trials, root=root, instance=instance)


def test_what_can_be_opened_is_good() -> None:
    found = listeners.judge(facts(trial(), trial("unix:/run/appliance/socket")))
    assert said(found) == [("listen", "ok"), ("listen", "ok"), ("exposure", "ok")]


@pytest.mark.parametrize(
    ("url", "error", "words", "remedy"),
    [
        (URL, errno.EADDRNOTAVAIL, "no such address", "ip -brief address"),
        ("tls://127.0.0.1:443", errno.EACCES, "below 1024", "CAP_NET_BIND_SERVICE"),
        ("unix:/run/x/socket", errno.EACCES, "may not write the folder /run/x", "chown"),
        ("unix:/run/x/socket", errno.ENOENT, "the folder /run/x is not there", "mkdir -p /run/x"),
        ("unix:/run/x/socket", errno.EEXIST, "something else than a socket", "rm /run/x/socket"),
        (URL, errno.ENOBUFS, "No buffer space", "--listen"),
    ],
)
def test_what_cannot_be_opened_is_a_problem(url: str, error: int, words: str, remedy: str) -> None:
    found = only(listeners.judge(facts(trial(url, error))))
    assert (found.kind, found.verdict) == ("listen", "problem")
    assert words in found.what
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("holders", "words", "remedy"),
    [
        ((NGINX,), "by nginx (process 812)", "kill 812"),
        ((SYSTEMD, NGINX), "by nginx (process 812)", "kill 812"),
        ((OURS,), "by python3 (process 4711)", "kill 4711"),
        ((), "by another process", "ss -ltnp 'sport = :8443'"),
    ],
)
def test_who_is_in_the_way_is_named(holders: tuple[Process, ...], words: str, remedy: str) -> None:
    found = only(listeners.judge(facts(trial(URL, errno.EADDRINUSE, *holders))))
    assert (found.kind, found.verdict) == ("listen", "problem")
    assert found.what == f"{URL} is taken {words}"
    assert remedy in found.remedy


@pytest.mark.parametrize("holders", [(OURS,), (SYSTEMD, OURS), (SYSTEMD,)])
def test_the_appliance_itself_and_systemd_are_in_nobodys_way(holders: tuple[Process, ...]) -> None:
    found = listeners.judge(facts(trial(URL, errno.EADDRINUSE, *holders), instance=OURS.pid))
    assert ("listen", "ok") in said(found)


def test_who_may_not_see_is_told_what_is_likely() -> None:
    found = only(listeners.judge(facts(trial(URL, errno.EADDRINUSE), instance=OURS.pid)))
    assert (found.kind, found.verdict) == ("listen", "note")


def test_root_is_told_that_others_may_not() -> None:
    found = only(listeners.judge(facts(trial("tls://127.0.0.1:443"), root=True)))
    assert (found.kind, found.verdict) == ("listen", "note")


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (URL, URL, True),
        (URL, "tcp://127.0.0.1:8443", True),
        (URL, "tls://0.0.0.0:8443", True),
        (URL, "tls://127.0.0.2:8443", False),
        (URL, "tls://[::]:8443", False),
        ("tls://[::1]:8443", "tls://[::]:8443", True),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
    ],
)
def test_two_that_take_the_same_port_are_a_problem(one: str, other: str, *, clash: bool) -> None:
    found = said(listeners.judge(facts(trial(one), trial(other))))
    assert (("listen", "problem") in found) is clash


@pytest.mark.parametrize(
    ("url", "auth", "words"),
    [
        ("tls://0.0.0.0:8443", "none", "asks nobody for a key"),
        ("tcp://0.0.0.0:8080", "none", "asks nobody for a key"),
        ("tcp://192.0.2.1:8080", "required", "without TLS"),
        ("tcp://[::]:8080", "optional", "without TLS"),
    ],
)
def test_what_the_network_can_read_is_warned_of(url: str, auth: str, words: str) -> None:
    found = only(listeners.judge(facts(trial(url, auth=auth))))
    assert (found.kind, found.verdict) == ("exposure", "warning")
    assert words in found.what


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:8080", "tcp://[::1]:8080", "unix:/run/socket"])
def test_what_stays_on_the_machine_is_nobodys_business(url: str) -> None:
    assert ("exposure", "ok") in said(listeners.judge(facts(trial(url, auth="none"))))
