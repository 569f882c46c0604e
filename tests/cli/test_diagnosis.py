"""An examination from one end to the other, of servers that are well and of servers with a fault."""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli.diagnosis import diagnose
from appliance.cli.serving import Request
from appliance.edge import certificates
from appliance.ops.doctor.findings import Kind, Verdict
from tests.cli.test_serving import write
from tests.ops.doctor.said import said

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from appliance.ops.doctor.findings import Finding

ALWAYS = {
    *(Kind.INTERPRETER, Kind.OPENSSL, Kind.ENVIRONMENT, Kind.CONFIGURATION, Kind.CONFIGURATION_FILE),
    *(Kind.PLUGINS, Kind.INSTANCE, Kind.UNIT, Kind.LISTEN, Kind.EXPOSURE, Kind.CERTIFICATE),
    *(Kind.STATE_FOLDER, Kind.DISK_SPACE, Kind.DISK_KIND, Kind.DISK_SPEED, Kind.MEMORY, Kind.OPEN_FILES),
    *(Kind.CLOCK, Kind.SOURCE),
}


def diagnosed(folder: Path, text: str = "", **fields: Any) -> Sequence[Finding]:
    given = {
        "listen": ("tls://127.0.0.1:0",),
        "overrides": ("limits.connections=100", "limits.sessions=100"),
        "state_dir": str(folder / "state"),
        "environment": {},
        **fields,
    }
    request = Request(file=write(folder, text), **given)
    found = list(diagnose(request, timeout=None, tell=lambda _: None))
    said(found)
    return found


def of(kind: Kind, found: Sequence[Finding]) -> list[Verdict]:
    return [finding.verdict for finding in found if finding.kind is kind]


def test_each_area_is_looked_at_and_told_in_its_order(tmp_path: Path) -> None:
    found = diagnosed(tmp_path)
    kinds = list(dict.fromkeys(finding.kind for finding in found))
    assert ALWAYS - set(kinds) == set()
    assert kinds == sorted(kinds, key=list(Kind).index)


def test_nothing_is_made_or_changed(tmp_path: Path) -> None:
    diagnosed(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["appliance.toml"]


@pytest.mark.skipif(sys.platform != "linux", reason="who listens is told by /proc")
def test_a_port_that_is_taken_is_a_problem(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"tls://127.0.0.1:{taken.getsockname()[1]}"
        found = diagnosed(tmp_path, listen=(url,))
    [finding] = [each for each in found if each.kind is Kind.LISTEN]
    assert (finding.verdict, finding.what.startswith(f"{url} is taken by ")) == (Verdict.PROBLEM, True)


def test_the_certificate_of_the_appliance_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    now, day = time.time(), 86_400
    paths = certificates.ensure(tmp_path / "state", names=(), valid=100 * day, renew_before=day, now=now)
    assert of(Kind.CERTIFICATE, diagnosed(tmp_path)) == [Verdict.OK]
    assert of(Kind.CERTIFICATE, diagnosed(tmp_path, overrides=("tls.renew_before=101d",))) == [Verdict.NOTE]
    assert of(Kind.CERTIFICATE, diagnosed(tmp_path, overrides=("tls.valid=30d",))) == [
        Verdict.PROBLEM,
        Verdict.OK,
    ]
    paths.key.chmod(0o644)
    assert of(Kind.CERTIFICATE, diagnosed(tmp_path)) == [Verdict.PROBLEM, Verdict.OK]
    paths.key.chmod(0o600)
    paths.key.write_text("no key")
    assert of(Kind.CERTIFICATE, diagnosed(tmp_path)) == [Verdict.PROBLEM]


@pytest.mark.parametrize("name", ["api_key", "keys.json", "revocations.json", "seal_key"])
def test_a_secret_that_others_may_read_is_a_problem(tmp_path: Path, name: str) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    secret = tmp_path / "state" / name
    secret.touch(mode=0o600)
    assert of(Kind.STATE_FOLDER, diagnosed(tmp_path)) == [Verdict.OK]
    secret.chmod(0o640)
    [finding] = [each for each in diagnosed(tmp_path) if each.kind is Kind.STATE_FOLDER]
    assert (finding.verdict, finding.what) == (Verdict.PROBLEM, f"{secret} can be read by others (mode 0640)")


def test_a_certificate_that_is_named_is_looked_at(tmp_path: Path) -> None:
    text = f'[tls]\ncertificate = "{tmp_path}/a.pem"\nkey = "{tmp_path}/a.key"\n'
    [finding] = [each for each in diagnosed(tmp_path, text) if each.kind is Kind.CERTIFICATE]
    assert finding.verdict is Verdict.PROBLEM
    assert f"{tmp_path}/a.pem cannot be read" in finding.what


def test_without_tls_there_is_no_certificate_to_look_at(tmp_path: Path) -> None:
    assert of(Kind.CERTIFICATE, diagnosed(tmp_path, listen=("tcp://127.0.0.1:0",))) == []


def test_with_mistakes_the_machine_is_looked_at_all_the_same(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, "[limits]\ntopics = 0\n[channels.signals]\nhigh = 2\n")
    assert of(Kind.CONFIGURATION, found) == [Verdict.PROBLEM] * 2
    assert of(Kind.LISTEN, found) == [Verdict.OK]
    assert ALWAYS - {finding.kind for finding in found} == set()


def test_without_a_state_folder_what_needs_one_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    found = diagnosed(tmp_path, state_dir=None)
    assert of(Kind.STATE_FOLDER, found) == [Verdict.PROBLEM]
    assert of(Kind.INSTANCE, found) == of(Kind.DISK_SPACE, found) == of(Kind.CERTIFICATE, found) == []


def test_what_cannot_be_looked_at_is_noted_and_the_rest_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.statvfs", refuse)
    found = diagnosed(tmp_path)
    assert of(Kind.STATE_FOLDER, found) == [Verdict.OK, Verdict.NOTE]
    assert of(Kind.MEMORY, found) == [Verdict.OK]
