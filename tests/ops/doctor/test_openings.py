"""Real trials: ports and paths of the tests' own, that are taken, free, or not for this user."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

import pytest

from appliance.ops.doctor import openings
from appliance.settings.address import Address

linux = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


def tried(url: str) -> openings.Trial:
    [trial] = openings.gather([(Address.parse(url), "required")], instance=None).trials
    return trial


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_a_free_port_can_be_opened_and_stays_free(host: str) -> None:
    trial = tried(f"tcp://{host}:0")
    assert trial.error == 0
    assert trial.target is not None
    assert trial.target.is_loopback


@linux
def test_of_a_port_that_is_taken_it_is_told_by_whom() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        trial = tried(url)
        assert trial.error == errno.EADDRINUSE
        assert [holder.pid for holder in trial.holders] == [os.getpid()]
        taken.settimeout(0)
        with pytest.raises(BlockingIOError):  # the trial has not connected
            taken.accept()
    assert tried(url).error == 0


def test_an_address_of_elsewhere_and_a_name_of_nobody_cannot_be_opened() -> None:
    for url in ("tcp://192.0.2.1:8080", "tcp://nobody.invalid:8080"):
        assert tried(url).error == errno.EADDRNOTAVAIL


def test_of_a_path_it_is_told_what_is_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    assert tried(f"unix:{path}").error == 0
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        trial = tried(f"unix:{path}")
        assert trial.error == errno.EADDRINUSE
        if sys.platform == "linux":
            assert [holder.pid for holder in trial.holders] == [os.getpid()]
    assert tried(f"unix:{path}").error == 0  # nobody listens any more: a start removes it
    path.unlink()
    path.write_text("")
    assert tried(f"unix:{path}").error == errno.EEXIST
    assert tried(f"unix:{tmp_path}/none/socket").error == errno.ENOENT
    assert path.read_text() == ""


def test_a_folder_that_is_not_for_this_user_is_told(own_folder: Path) -> None:
    own_folder.chmod(0o500)
    assert tried(f"unix:{own_folder}/socket").error == errno.EACCES


@linux
def test_a_port_that_needs_a_right_is_told(own_folder: Path) -> None:
    assert own_folder.exists()  # and so this is a user without rights
    start = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if start <= 1:
        pytest.skip("this machine lets everybody open all ports")
    facts = openings.gather([(Address.parse("tcp://127.0.0.1:1"), "none")], instance=7)
    assert facts.trials[0].error == errno.EACCES
    assert (facts.unprivileged, facts.root, facts.instance) == (start, False, 7)
