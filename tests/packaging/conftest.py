"""The modules of the build are scripts in `packaging/`, which no package holds."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent.parent / "packaging"))
