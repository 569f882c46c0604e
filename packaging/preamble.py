"""What the zipapp runs first: a Python that its compiled parts were not built for is refused in a line.

Must not import anything that is packed.
"""

import importlib.machinery
import sys
from pathlib import Path

packed = {path.name.split(".")[1] for path in Path(globals()["site_packages"]).glob("msgspec/_core.*.so")}
loadable = {suffix.lstrip(".").removesuffix(".so") for suffix in importlib.machinery.EXTENSION_SUFFIXES}
if not packed & loadable:
    sys.exit(
        f"{Path(globals()['archive']).name} is built for {', '.join(packed)}, and {sys.executable} is "
        f"{sys.implementation.cache_tag}: start it with the Python it is built for, or build it with this one"
    )
