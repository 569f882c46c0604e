from __future__ import annotations

import pwd
from pathlib import Path

from appliance.ops.doctor.words import quoted, user_name


def test_a_path_is_as_a_shell_takes_it() -> None:
    assert quoted(Path("/var/lib/appliance")) == "/var/lib/appliance"
    assert quoted(Path("/a folder")) == "'/a folder'"


def test_a_user_has_its_name_or_its_number() -> None:
    root = pwd.getpwuid(0).pw_name
    assert user_name(0) == root
    assert user_name(2**31 - 7) == str(2**31 - 7)
