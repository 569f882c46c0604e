"""An application of ARA's, as docs/migrate.md leaves it: its package, beside the appliance's file for Python.

Must not know what the application tells.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.e2e.documents.systems import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_MODULE = re.compile(r"^<!-- (ara/\S+\.py) -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

AWAITING = """
import ast, asyncio, inspect, sys

flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
with open(sys.argv[1], encoding="utf-8") as file:
    code = compile(file.read(), file.name, "exec", flags=flags)


async def main():
    if inspect.iscoroutine(running := eval(code, {"__name__": "__main__"})):
        await running


asyncio.run(main())
"""
"""Runs a file that awaits outside of any function, as a block does that is taken out of an application."""


def write(folder: Path) -> list[str]:
    """Write the application, and give the names of the modules that are its own."""
    page = (ROOT / "docs" / "migrate.md").read_text(encoding="utf-8")
    modules = dict(_MODULE.findall(page))
    copied = (ROOT / "appliance" / "broadcast.py").read_text(encoding="utf-8")
    for name, text in {**modules, "appliance/broadcast.py": copied}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return [*modules]
