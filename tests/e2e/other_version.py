"""The built file as another version of it would be, good or bad, without building again.

Must not know what becomes of it.
"""

from __future__ import annotations

import functools
import re
import shutil
import zipfile
from typing import TYPE_CHECKING

from appliance.ops.upgrade import package

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_OWN = "site-packages/appliance/"
_read = functools.cache(package.read)


def other_version(
    zipapp: Path,
    target: Path,
    version: str,
    *,
    changes: Mapping[str, tuple[str, str]] | None = None,
    needs_python: str | None = None,
) -> Path:
    """Write the file as that version. In the modules that `changes` names, one text stands for another.

    `needs_python` is another one that it claims to be built for, such as `(3, 99)`.
    """
    present = _read(zipapp)
    replaced = {f"{_OWN}__init__.py": (f'"{present.version}"', f'"{version}"')}
    replaced |= {f"{_OWN}{module}": change for module, change in (changes or {}).items()}
    metadata = f"stream_appliance-{present.version}."
    shutil.copy(zipapp, target)
    # What is not changed stays as it was compressed; of what is, the old content is left where nobody looks for it.
    with zipfile.ZipFile(target, "a") as archive:
        for entry in archive.infolist().copy():
            name = entry.filename
            if not (name in replaced or name == "__main__.py" or metadata in name):
                continue
            content = archive.read(entry)
            if name in replaced:
                before, after = (text.encode() for text in replaced[name])
                assert content.count(before) == 1, f"{before!r} is not once in {name}"
                content = content.replace(before, after)
            elif name == "__main__.py":
                content = content.replace(
                    present.build.encode(), f"appliance-{version}-{target.stem}".encode()
                )
                if needs_python:
                    dotted = needs_python.strip("()").replace(", ", ".")
                    content = re.sub(rb"\(3, \d+\):", f"{needs_python}:".encode(), content)
                    content = re.sub(rb"3\.\d+", dotted.encode(), content)
            archive.filelist.remove(entry)
            del archive.NameToInfo[name]
            name = name.replace(metadata, f"stream_appliance-{version}.")
            archive.writestr(zipfile.ZipInfo(name, entry.date_time), content, zipfile.ZIP_DEFLATED, 1)
    target.chmod(0o755)
    return target
