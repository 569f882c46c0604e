"""The appliance in one file, as it is told without running it: whether it is whole, and of which version.

Must not know where it is to go, nor run anything of it: who asks may be root.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

import attrs

from appliance.core.errors import UpgradeError

if TYPE_CHECKING:
    from pathlib import Path

_METADATA: Final = re.compile(r"site-packages/stream_appliance-([^/]+)\.dist-info/METADATA")
_BUILD: Final = re.compile(r'\bbuild="([^"]+)"')
_DIGEST: Final = re.compile(r"([0-9a-fA-F]{64})(?:\s+\*?(.*))?")


@attrs.frozen
class Package:
    """`build` names the folder that it runs from, once unpacked: no other build has the same."""

    path: Path
    version: str
    build: str
    digest: str


def read(path: Path) -> Package:
    """Look at a file; UpgradeError when it is not the whole appliance."""
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise UpgradeError(f"{path} is damaged ({damaged}): copy it anew")
            versions = [found[1] for name in archive.namelist() if (found := _METADATA.fullmatch(name))]
            start = archive.read("__main__.py").decode() if "__main__.py" in archive.namelist() else ""
    except (zipfile.BadZipFile, zlib.error, UnicodeError, EOFError) as error:
        raise UpgradeError(f"{path} is no whole zipapp ({error}): copy it anew") from error
    except OSError as error:
        raise UpgradeError(f"{path} cannot be read: {error.strerror or error}") from error
    build = _BUILD.search(start)
    if len(versions) != 1 or build is None:
        raise UpgradeError(f"{path} is a zipapp, and not the appliance")
    return Package(path, versions[0], build[1], hashlib.sha256(content).hexdigest())


def digest(path: Path) -> str:
    """Tell what is in a file that is known to be whole; UpgradeError when it cannot be read."""
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise UpgradeError(f"{path} cannot be read: {error.strerror or error}") from error


def contradiction(package: Package) -> str | None:
    """Say what is wrong where a checksum lies beside the file and is not its own."""
    beside = package.path.with_name(f"{package.path.name}.sha256")
    try:
        lines = beside.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        return f"{beside} cannot be read: {error}"
    told = [found for line in lines if (found := _DIGEST.fullmatch(line.strip()))]
    named = [found for found in told if (found[2] or "").rpartition("/")[2] == package.path.name]
    digests = {found[1].lower() for found in named or told}
    if not digests:
        return f"{beside} has no SHA-256: copy it anew, or remove it"
    if package.digest not in digests:
        return f"{package.path} is not the file that {beside} is for: copy both anew"
    return None
