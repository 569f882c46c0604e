"""The page docs/security.md: its examples load, its commands run, and its figures are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, get_args

import pytest

from appliance.access import fetching, key_sets, principals, refusals, secret_text
from appliance.access.certificates import Certificates
from appliance.access.key_sets import KeySets
from appliance.access.keys import Keys
from appliance.access.tokens import Tokens
from appliance.settings.access import Algorithm, AuthSettings, ClaimSettings, TokenSettings
from appliance.settings.load import load
from appliance.settings.tree import AuditSettings
from tests.authoring import PATIENCE, ROOT

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "security.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What stands for /etc/appliance."""
    (tmp_path / "keys").mkdir()
    for name in ("desk", "tokens"):
        file = tmp_path / "keys" / name
        file.write_text("a-secret-text-that-is-long-enough-for-any-of-them")
        file.chmod(0o600)
    return tmp_path


def blocks(page: str, kind: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page) if found == kind]


def test_the_examples_load(page: str, folder: Path) -> None:
    examples = blocks(page, "toml")
    assert len(examples) == 7
    file = folder / "appliance.toml"
    for example in examples:
        file.write_text(example.replace("/etc/appliance", str(folder)))
        auth = load(file=file, environment={}).settings.auth
        Certificates(auth.certificates)
        Keys(auth.keys)
        Tokens(auth.tokens, KeySets())


def test_the_commands_run_as_they_stand(page: str, folder: Path) -> None:
    program = folder / "appliance"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m appliance.cli.main "$@"\n')
    program.chmod(0o755)
    tokens = next(example for example in blocks(page, "toml") if "secret_file" in example)
    config = tokens[tokens.index("[[auth.tokens]]", 1) :].replace("/etc/appliance", str(folder))
    (folder / "appliance.toml").write_text(config)
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "XDG_STATE_HOME": str(folder / "state"),
        "HOME": str(folder),
    }
    for script in blocks(page, "sh"):
        done = subprocess.run(
            ["sh", "-euc", script],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 4,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert secret_text.identify((folder / "desk.key").read_text().strip())
    assert (folder / "ann.token").read_text().count(".") == 2


def test_the_figures_are_those_of_the_code(page: str) -> None:
    for figure in (
        f"at most {principals.LONGEST} characters",
        f"every {key_sets.AGAIN:.0f} seconds",
        f"at most {fetching.LARGEST // 1024} KiB",
        f"At most {refusals.MOST} addresses",
        f"`audit.queue` lines wait, {AuditSettings().queue:,}",
        f"`auth.expiry_warning` before that, {AuthSettings().expiry_warning:.0f} seconds",
    ):
        assert figure in " ".join(page.split())
    defaults = TokenSettings(name="x", algorithms=("HS256",))
    assert (float(defaults.leeway), float(defaults.jwks_every)) == (30.0, 300.0)
    assert defaults.require == ("exp",)


def test_every_algorithm_and_every_claim_is_told(page: str) -> None:
    flat = page.replace("`RS256`…`RS512`", "`RS256` `RS384` `RS512`").replace(
        "`PS256`…`PS512`", "`PS256` `PS384` `PS512`"
    )
    assert [name for name in get_args(Algorithm) if f"`{name}`" not in flat] == []
    names = ClaimSettings()
    claims = (
        names.principal,
        names.read,
        names.publish,
        names.sessions,
        names.subscriptions,
        names.addresses,
    )
    assert [name for name in claims if f"`{name}`" not in page] == []


def test_every_kind_of_principal_is_told(page: str) -> None:
    assert [kind for kind in get_args(principals.Kind) if f"| `{kind}` |" not in page] == []


AUDITED = re.compile(r'^(\w+) = structlog\.get_logger\("audit"\)', re.MULTILINE)


def events(source: str, call: str) -> set[str]:
    """Give the names of the events that are told by a call: the first text, or one of two."""
    found = re.findall(rf'{call}\(\s*"([^"]+)"(?:[^,()]* else "([^"]+)")?', source)
    return {name for names in found for name in names if name}


def test_every_event_of_the_audit_log_is_told_and_no_other(page: str) -> None:
    table = page.partition("## Audit log")[2].partition("- **Floods")[0]
    told = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall("`(.*?)`", row)
    }
    found = set()
    for file in (ROOT / "appliance").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        for logger in AUDITED.findall(source):
            found |= events(source, rf"\b(?:{logger}\.\w+|log\.info)")
        if file.parent.name == "cli":
            found |= events(source, r"\.note")
    assert found == told
