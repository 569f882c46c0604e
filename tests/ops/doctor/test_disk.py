"""The disk of a real folder, and what is judged of others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from appliance.ops.doctor import disk
from tests.authoring import ROOT
from tests.ops.doctor.said import only, said

STATE = Path("/var/lib/appliance")
GOOD = disk.Facts(
    folder=STATE, kind="ext4", total=100 * 1024**3, free=50 * 1024**3, files=10_000, flush=0.002, durable=True
)
MOUNTS = [
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "23 22 0:21 / /proc rw - proc proc rw",
    "24 22 0:30 / /var/lib rw - xfs /dev/sdb rw",
    "25 24 0:31 / /var/lib/a\\040folder rw - nfs4 host:/export rw",
    "26 24 0:32 / /var/lib rw - btrfs /dev/sdc rw",
]


def test_a_good_one_is_told() -> None:
    assert said(disk.judge(GOOD)) == [("disk-space", "ok"), ("disk-kind", "ok"), ("disk-speed", "ok")]


@pytest.mark.parametrize(
    ("change", "kind", "verdict", "words"),
    [
        ({"free": 64 * 1024**2}, "disk-space", "problem", "67.1 MB of 107.4 GB are free"),
        ({"free": 512 * 1024**2}, "disk-space", "warning", "536.9 MB of 107.4 GB are free"),
        ({"files": 3}, "disk-space", "problem", "3 files can still be made"),
        ({"read_only": True}, "disk-space", "problem", "mounted read-only"),
        ({"flush": None, "refusal": "Disk quota exceeded"}, "disk-space", "problem", "Disk quota exceeded"),
        ({"largest": 65_536}, "disk-space", "warning", "a file may have 65.5 kB at most"),
        ({"kind": "nfs4"}, "disk-kind", "warning", "nfs4, a file system of the network"),
        ({"kind": "fuse.sshfs"}, "disk-kind", "warning", "of the network"),
        ({"kind": "tmpfs"}, "disk-kind", "warning", "which is memory"),
        ({"kind": "tmpfs", "durable": False}, "disk-kind", "note", "which is memory"),
        ({"kind": "overlay"}, "disk-kind", "warning", "the layer of a container"),
        ({"kind": "overlay", "durable": False}, "disk-kind", "note", "the layer of a container"),
        ({"flush": 0.02}, "disk-speed", "note", "after 20.0 ms"),
        ({"flush": 0.08}, "disk-speed", "warning", "after 80.0 ms"),
        ({"flush": 0.08, "durable": False}, "disk-speed", "note", "after 80.0 ms"),
    ],
)
def test_what_is_not_well_is_told(change: dict[str, Any], kind: str, verdict: str, words: str) -> None:
    found = only(disk.judge(attrs.evolve(GOOD, **change)))
    assert (found.kind, found.verdict) == (kind, verdict)
    assert words in found.what


def test_a_file_system_without_a_bound_of_files_is_good() -> None:
    assert said(disk.judge(attrs.evolve(GOOD, files=None)))[0] == ("disk-space", "ok")


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv", "ext4"),
        ("/var/lib/appliance", "btrfs"),
        ("/var/lib/a folder/state", "nfs4"),
        ("/var/library", "ext4"),
    ],
)
def test_the_mount_that_is_nearest_and_newest_counts(folder: str, kind: str) -> None:
    assert disk.kind_of(Path(folder), MOUNTS) == kind


def test_without_mounts_the_kind_is_unknown() -> None:
    assert disk.kind_of(STATE, []) == ""
    assert "unknown kind" in [*disk.judge(attrs.evolve(GOOD, kind=""))][1].what


def test_a_real_one_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    facts = disk.gather(tmp_path, durable=True, write=True)
    assert facts.flush is not None
    assert 0 < facts.free <= facts.total
    assert facts.largest is None
    assert list(tmp_path.iterdir()) == []
    unwritten = disk.gather(tmp_path, durable=True, write=False)
    assert (unwritten.flush, unwritten.refusal) == (None, "")


def test_one_that_takes_no_file_is_told(tmp_path: Path) -> None:
    script = f"""if True:
        import json, resource, signal
        from pathlib import Path
        from appliance.ops.doctor import disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
        facts = disk.gather(Path({str(tmp_path)!r}), durable=True, write=True)
        print(json.dumps([facts.largest, facts.flush, facts.refusal]))
    """
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == [1024, None, "File too large"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no file system in memory is at hand")  # noqa: S108 - looked at
def test_the_kind_of_a_real_one_is_found() -> None:
    assert disk.gather(Path("/dev/shm"), durable=False, write=False).kind == "tmpfs"  # noqa: S108 - as above
