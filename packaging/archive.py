"""What shiv has packed, made ours: our start in place of its own, less ballast, the same bytes wherever it is built.

Must not know how the packages came together.
"""

from __future__ import annotations

import collections
import json
import re
import stat
import zipfile
from pathlib import Path
from typing import NamedTuple

LAUNCH = Path(__file__).resolve().parent / "_launch"
PACKAGES = "site-packages/"

MAIN = """\
import sys

if sys.version_info[:2] != {python}:
    sys.stderr.write(
        "%s is built for Python {dotted}, and %s is Python %d.%d: start it with python{dotted}\\n"
        % ((sys.argv[0], sys.executable) + tuple(sys.version_info[:2]))
    )
    sys.exit(2)

from _launch.start import start

start(built_for="{built_for}", glibc={glibc}, build="{build}", entry_point="{entry_point}")
"""
"""Runs first. Every Python there ever was can read it, to say in a line that it is the wrong one. An upgrade reads the
name of the build in it, to know the folder that it is unpacked in."""

BALLAST = re.compile(
    r"""
      .*\.(pyi|h|c|pyx|pxd)       # for type checkers and compilers
    | .*/_?tests?/.*              # of the libraries
    | pygments/lexers/(?!(__init__|_mapping|diff|python|special)\.py).*  # of 500 languages, which nobody shows
    """,
    re.VERBOSE,
)

_FILE = stat.S_IFREG | 0o644
_UNIX = 3
_TIGHTEST = 9
_ID_DIGITS = 16
_LARGEST = 5


class Needs(NamedTuple):
    """What a file runs on."""

    python: tuple[int, int]
    built_for: str
    glibc: tuple[int, ...]


def finish(packed: Path, target: Path, needs: Needs, *, entry_point: str, name: str) -> None:
    """Write what shiv packed as it shall be. Modes and order are not those of the disk that it came from."""
    with zipfile.ZipFile(packed) as old:
        when = old.infolist()[0].date_time
        contents = {member: old.read(member) for member in old.namelist() if not ballast(member)}
    with packed.open("rb") as opened:
        shebang = opened.readline()
    build = json.loads(contents["environment.json"])["build_id"][:_ID_DIGITS]
    dotted = ".".join(map(str, needs.python))
    main = MAIN.format(**needs._asdict(), dotted=dotted, build=f"{name}-{build}", entry_point=entry_point)
    contents["__main__.py"] = main.encode()
    for module in LAUNCH.glob("*.py"):
        contents[f"{LAUNCH.name}/{module.name}"] = module.read_bytes()
    with target.open("wb") as opened:
        opened.write(shebang)
        with zipfile.ZipFile(opened, "w") as new:
            for member, data in sorted(contents.items()):
                entry = zipfile.ZipInfo(member, date_time=when)
                entry.external_attr, entry.create_system = _FILE << 16, _UNIX
                record = member.endswith(".dist-info/RECORD")
                new.writestr(entry, listed(data) if record else data, zipfile.ZIP_DEFLATED, _TIGHTEST)
    target.chmod(0o755)


def ballast(member: str) -> bool:
    """Whether a part of the archive is of no use at run time. A licence is never ballast."""
    path = member.removeprefix(PACKAGES)
    return path != member and ".dist-info/" not in path and BALLAST.fullmatch(path) is not None


def listed(record: bytes) -> bytes:
    """Take out of a record of installed files those that are not packed: ballast, and scripts."""
    lines = record.decode().splitlines(keepends=True)
    gone = (line.startswith("../") or ballast(PACKAGES + line.partition(",")[0]) for line in lines)
    return "".join(line for line, is_gone in zip(lines, gone, strict=True) if not is_gone).encode()


def describe(target: Path) -> str:
    """Tell the size, and what it is made of."""
    parts: collections.Counter[str] = collections.Counter()
    with zipfile.ZipFile(target) as opened:
        for entry in opened.infolist():
            parts[entry.filename.removeprefix(PACKAGES).partition("/")[0]] += entry.compress_size
    told = [f"{part} {size / 1e6:.1f}" for part, size in parts.most_common(_LARGEST)]
    return f"{target.name}: {target.stat().st_size / 1e6:.1f} MB ({', '.join(told)})"
