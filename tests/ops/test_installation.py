"""What an installation changes on a server, and what it leaves alone."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import SettingsError, StartError
from appliance.ops.installation import Server, planned, removals, unit_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.ops.installation import Change

PYTHON = Path("/usr/bin/python3")


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "server")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return packed(tmp_path / "appliance.pyz", "one")


def packed(path: Path, content: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content", content)
    return path


def plan(
    server: Server, file: Path, *urls: str, python: Path = PYTHON, systemd: int = 254
) -> tuple[Change, ...]:
    return planned(server, file=file, urls=urls, python=python, systemd=systemd)


def carry_out(changes: Iterable[Change]) -> None:
    for change in changes:
        change.carry_out()


def told(server: Server, changes: Iterable[Change]) -> list[str]:
    return [str(change).replace(str(server.root), "") for change in changes]


def test_a_new_server_gets_all_and_then_nothing_more(server: Server, file: Path) -> None:
    changes = plan(server, file)
    assert told(server, changes) == [
        "make /usr/local/lib/appliance/appliance.pyz",
        "make /usr/local/bin/appliance",
        "make /etc/appliance/plugins",
        "make /etc/appliance/appliance.toml",
        "make /etc/systemd/system/appliance.service",
        "make /etc/systemd/system/appliance.socket",
    ]
    assert not server.root.exists()  # a plan changes nothing
    assert unit_names(server, changes) == ("appliance.service", "appliance.socket")
    carry_out(changes)
    assert server.program.read_bytes() == file.read_bytes()
    assert server.program.stat().st_mode & 0o777 == 0o755
    assert server.command.readlink() == server.program
    assert server.plugins.stat().st_mode & 0o777 == 0o755
    assert 'url = "tls://0.0.0.0:8443"' in server.configuration.read_text()
    assert "ListenStream=0.0.0.0:8443\n" in server.socket.read_text()
    assert plan(server, file) == ()
    assert unit_names(server, ()) == ("appliance.service", "appliance.socket")


def test_only_what_differs_is_replaced(server: Server, file: Path, tmp_path: Path) -> None:
    carry_out(plan(server, file))
    server.unit.write_text("changed by hand")
    changes = plan(server, packed(tmp_path / "new.pyz", "two"))
    assert told(server, changes) == [
        "replace /usr/local/lib/appliance/appliance.pyz",
        "replace /etc/systemd/system/appliance.service",
    ]
    carry_out(changes)
    assert plan(server, tmp_path / "new.pyz") == ()


def test_who_has_the_file_open_keeps_it(server: Server, file: Path, tmp_path: Path) -> None:
    carry_out(plan(server, file))
    with server.program.open("rb") as running:
        carry_out(plan(server, packed(tmp_path / "new.pyz", "two")))
        assert running.read() == file.read_bytes()


def test_the_first_configuration_listens_where_it_is_told(server: Server, file: Path) -> None:
    carry_out(plan(server, file, "tls://192.0.2.1:443", "unix:/run/appliance/socket"))
    text = server.socket.read_text()
    assert "ListenStream=192.0.2.1:443\nListenStream=/run/appliance/socket\n" in text
    assert plan(server, file) == ()
    assert plan(server, file, "unix:/run/appliance/socket", "tls://192.0.2.1:443") == ()


def test_a_configuration_that_is_there_stays_and_is_followed(server: Server, file: Path) -> None:
    carry_out(plan(server, file))
    text = (
        '[[listen]]\nurl = "tcp://127.0.0.1:80"\n[[auth.keys]]\nname = "a"\nkey_file = "/run/credentials/a"\n'
    )
    server.configuration.write_text(text)
    changes = plan(server, file)
    assert told(server, changes) == ["replace /etc/systemd/system/appliance.socket"]
    carry_out(changes)
    assert "ListenStream=127.0.0.1:80\n" in server.socket.read_text()
    assert server.configuration.read_text() == text
    with pytest.raises(StartError, match=r"listens on tcp://127\.0\.0\.1:80: change \[\[listen\]\] there"):
        plan(server, file, "tcp://127.0.0.1:81")


def test_a_configuration_that_does_not_say_where_it_listens_is_told(server: Server, file: Path) -> None:
    carry_out(plan(server, file))
    server.configuration.write_text('[[listen]]\nurl = "http://somewhere"\n')
    with pytest.raises(SettingsError, match=r"appliance\.toml:2: listen\[0\]\.url"):
        plan(server, file)


def test_without_a_place_that_can_be_kept_open_there_is_no_socket(server: Server, file: Path) -> None:
    carry_out(plan(server, file))
    server.configuration.write_text('[[listen]]\nurl = "tcp://localhost:80"\n')
    changes = plan(server, file)
    assert told(server, changes) == ["remove /etc/systemd/system/appliance.socket"]
    assert unit_names(server, changes) == ("appliance.service",)
    carry_out(changes)
    assert plan(server, file) == ()


def test_what_is_no_zipapp_is_not_installed(server: Server, tmp_path: Path) -> None:
    script = tmp_path / "appliance"
    script.write_text("#!/usr/bin/python3\n")
    with pytest.raises(
        StartError, match=r"appliance is not the appliance in one file: name that, with --file"
    ):
        plan(server, script)


@pytest.mark.parametrize("python", ["/root/.local/bin/python3", "/home/alice/venv/bin/python"])
def test_a_python_that_the_unit_could_not_see_is_refused(server: Server, file: Path, python: str) -> None:
    with pytest.raises(StartError, match=f"cannot run {python}, .*`/usr/bin/python3 .*systemd install`"):
        plan(server, file, python=Path(python))


def test_another_command_of_that_name_is_left_alone(server: Server, file: Path) -> None:
    server.command.parent.mkdir(parents=True)
    server.command.write_text("somebody else's")
    with pytest.raises(StartError, match="is there already, and is something else: move it away"):
        plan(server, file)


def installed_and_used(server: Server, file: Path) -> None:
    """As after some time: systemd has made folders, and the operator has changed the unit."""
    carry_out(plan(server, file))
    for kind in ("cache", "lib", "log"):
        kept = server.at(f"/var/{kind}/private/appliance")
        kept.mkdir(parents=True)
        (kept / "file").write_text("content")
        server.at(f"/var/{kind}/appliance").symlink_to("private/appliance")
    changed = server.at("/etc/systemd/system/appliance.service.d/override.conf")
    changed.parent.mkdir()
    changed.write_text("[Service]\n")


def left(server: Server) -> set[str]:
    """What there is, but for folders that hold only folders."""
    return {
        f"/{path.relative_to(server.root)}"
        for path in server.root.rglob("*")
        if path.is_symlink() or path.is_file() or "appliance" in path.name
    }


def test_a_removal_keeps_what_is_the_operators(server: Server, file: Path) -> None:
    installed_and_used(server, file)
    carry_out(removals(server, purge=False))
    assert left(server) == {
        "/etc/appliance",
        "/etc/appliance/appliance.toml",
        "/etc/systemd/system/appliance.service.d",
        "/etc/systemd/system/appliance.service.d/override.conf",
        "/var/lib/appliance",
        "/var/lib/private/appliance",
        "/var/lib/private/appliance/file",
        "/var/log/appliance",
        "/var/log/private/appliance",
        "/var/log/private/appliance/file",
    }
    assert removals(server, purge=False) == ()


def test_a_purge_leaves_nothing(server: Server, file: Path) -> None:
    installed_and_used(server, file)
    carry_out(removals(server, purge=True))
    assert left(server) == set()
    assert removals(server, purge=True) == ()
