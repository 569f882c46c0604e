"""The manual and the annotated file, held against the code: a key or a default that differs fails here."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from appliance.core.errors import SettingsError
from appliance.loading.catalogue import collect
from appliance.loading.configured import configure
from appliance.settings import document, schema
from appliance.settings.access import CertificateSettings, ClaimSettings, KeySettings, TokenSettings
from appliance.settings.fields import mark
from appliance.settings.load import load
from appliance.settings.structure import fill
from appliance.settings.tree import Settings
from appliance.settings.views import ViewSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLE = "# an example; no default"
COMMENTED = re.compile(r"^#(?=[\w\[\"])", re.MULTILINE)
ABSENT = (document.NONE, document.REQUIRED)
EMPTY_VALUES = ("[]", "{}")
MADE = {"postgres": "channels.fills", "record": "channels.tape"}
"""The channel that is shown with a source of a kind."""

LEAST: dict[str, dict[str, str]] = {
    "channels.fills": {"table": "fills", "key": "symbol", "time": "at"},
    "channels.tape": {"folder": "tapes"},
    "sources.replay": {"file": "tape.jsonl.gz"},
}
"""What has to be given for the other keys to have their defaults."""

EMPTY = {
    "[[auth.keys]]": KeySettings,
    "[[auth.tokens]]": TokenSettings,
    "[auth.tokens.claims]": ClaimSettings,
    "[[auth.certificates]]": CertificateSettings,
    "[[auth.anonymous.views]]": ViewSettings,
    "[[auth.keys.views]]": ViewSettings,
    "[[auth.tokens.views]]": ViewSettings,
    "[[auth.certificates.views]]": ViewSettings,
}
"""Lists of tables that are empty by default, and what is in them."""

PLACE = re.compile(r"\[\d+\]")


@pytest.fixture(scope="module")
def annotated(root: Path) -> str:
    return (root / "config" / "appliance.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def manual(root: Path) -> str:
    return (root / "docs" / "configuration.md").read_text(encoding="utf-8")


def uncommented(text: str) -> str:
    return COMMENTED.sub("", text)


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """The lines of the text below each header of a table, which is empty at the top."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in uncommented(text).splitlines():
        if line.startswith("["):
            found.append((line, []))
        else:
            found[-1][1].append(line)
    return found


def only_defaults(text: str) -> str:
    """The text with every default set, without examples, and without lists of tables that are empty by default."""
    kept = [(header, lines) for header, lines in blocks(text) if header not in EMPTY]
    return "\n".join(
        line for header, lines in kept for line in (header, *(each for each in lines if EXAMPLE not in each))
    )


def keys(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all values, with `[]` for any place in a list of tables."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from keys(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from keys(inner, f"{path}[]")
    else:
        yield path


def plugin_settings(root: Path) -> dict[str, type[attrs.AttrsInstance]]:
    """The settings of the built-in channels and sources, by the table that they stand in."""
    built_in = collect([root / "plugins"])
    found = {f"channels.{name}": channel.Settings for name, channel in built_in.channels.items()}
    for kind, source in built_in.sources.items():
        found[f"sources.{kind}"] = source.Settings
        if source.ChannelSettings is not None:
            found[MADE[kind]] = source.ChannelSettings
    return found


def plain_rows(cls: type[attrs.AttrsInstance]) -> dict[str, document.Row]:
    """The keys of a table itself; those of lists of tables in it are shown as the list's default."""
    return {row.key: row for row in document.rows(cls) if row.path == row.key}


def test_the_annotated_file_changes_nothing(root: Path) -> None:
    assert load(file=root / "config" / "appliance.toml", environment={}).settings == Settings()


def test_the_annotated_file_shows_the_defaults(annotated: str, tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text(only_defaults(annotated), encoding="utf-8")
    shown = load(file=file, environment={}).settings
    assert attrs.evolve(shown, sources={}, channels={}) == Settings()


def test_the_annotated_file_shows_every_key_and_no_other(annotated: str, root: Path) -> None:
    table = tomllib.loads(uncommented(annotated))
    shown = {re.sub(r"^(channels|sources)\.\w+", r"\1.<name>", path) for path in keys(table)}
    shown = {re.sub(r"^(aliases|paths|.*\[\]\.values|.*\[\]\.subject)\..*", r"\1", path) for path in shown}
    options = {
        f"{table.partition('.')[0]}.<name>.{row.path}"
        for table, cls in plugin_settings(root).items()
        for row in document.rows(cls)
    }
    known = {row.path for row in document.rows() if row.key != "<option>"}
    assert sorted(shown) == sorted(known | options)


def test_examples_are_marked_where_there_is_no_default(annotated: str, root: Path) -> None:
    rows = [
        *document.rows(),
        *(r for cls in plugin_settings(root).values() for r in plain_rows(cls).values()),
    ]
    marked = {
        line.partition(" = ")[0].removeprefix("#")
        for line in annotated.splitlines()
        if line.endswith(EXAMPLE)
    }
    examples, empty = (
        {
            row.path.rpartition(".")[2]
            for row in rows
            if row.default in defaults and not row.path.endswith((".<option>", "listen[].url"))
        }
        for defaults in (ABSENT, EMPTY_VALUES)
    )
    assert examples <= marked <= examples | empty


def test_the_annotated_file_shows_the_defaults_in_lists(annotated: str) -> None:
    shown: dict[str, set[tuple[str, str]]] = {header: set() for header in EMPTY}
    for header, lines in blocks(annotated):
        if header in EMPTY:
            settings = [line for line in lines if " = " in line and EXAMPLE not in line and line[0] != "#"]
            shown[header] |= {(key, value) for key, _, value in (line.partition(" = ") for line in settings)}
    assert shown == {
        header: {
            (row.key, row.default)
            for row in document.sections(cls)[0].rows
            if row.default not in (*ABSENT, *EMPTY_VALUES)
        }
        for header, cls in EMPTY.items()
    }


def test_examples_are_right(annotated: str, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    for name in ("alice", "tokens"):
        secret = tmp_path / "keys" / name
        secret.write_text("hunter2", encoding="utf-8")
        secret.chmod(0o600)
    file = tmp_path / "appliance.toml"
    text = uncommented(annotated).replace("/etc/appliance", str(tmp_path))
    # Certificates are for a listener that asks for them.
    text = text.replace('client_certificates = "off"', 'client_certificates = "optional"')
    file.write_text(text, encoding="utf-8")
    shown = load(file=file, environment={}).settings
    assert [key.name for key in shown.auth.keys] == ["alice", "bob"]
    assert shown.listen[0].limits.sessions == 1000


def test_the_annotated_file_shows_the_defaults_of_plugins(annotated: str, root: Path) -> None:
    table = tomllib.loads(only_defaults(annotated))
    for path, cls in plugin_settings(root).items():
        form, _, name = path.partition(".")
        shown = table.get(form, {}).get(name, {})
        with_default = {key for key, row in plain_rows(cls).items() if row.default not in ABSENT}
        lists = {key for key in schema.attributes(cls) if key not in plain_rows(cls)}
        least = LEAST.get(path, {})
        options = {key: value for key, value in shown.items() if key in schema.attributes(cls)}
        assert options.keys() == with_default | lists, path
        assert fill(cls, {**options, **least}) == fill(cls, least)


def test_the_manual_holds_what_the_code_prints(manual: str) -> None:
    _, _, rest = manual.partition(document.BEGIN)
    printed, _, after = rest.partition(document.END)
    assert printed.strip() == document.markdown(), (
        "print it anew with `python -m appliance.settings.document`"
    )
    assert after.strip() == ""


def test_the_manual_shows_the_options_of_plugins(manual: str, root: Path) -> None:
    shown = {
        tuple(row)
        for row in re.findall(
            r"^\| `((?:sources|channels)\.[^`]+)` \| (.+?) \| `(.+?)` \|", manual, re.MULTILINE
        )
    }
    assert shown == {
        (f"{path}.{row.path}", row.kind, row.default)
        for path, cls in plugin_settings(root).items()
        for row in document.rows(cls)
    }


def test_the_examples_of_the_manual_load(manual: str, root: Path, tmp_path: Path) -> None:
    examples = re.findall(r"^```toml\n(.*?)^```", manual, re.DOTALL | re.MULTILINE)
    assert len(examples) == 5
    for name in ("app", "partner"):
        (tmp_path / name).write_text("hunter2", encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    file = tmp_path / "appliance.toml"
    for example in examples:
        file.write_text(example.replace("/etc/appliance/keys", str(tmp_path)), encoding="utf-8")
        if "wss://" not in example:
            assert configure(collect([root / "plugins"]), load(file=file, environment={}))


def test_the_mistakes_of_the_manual_are_those_that_are_told(manual: str, tmp_path: Path) -> None:
    (said,) = re.findall(r"^```\n(appliance\.toml:2: .*?)^```", manual, re.DOTALL | re.MULTILINE)
    (example,) = (
        text
        for text in re.findall(r"^```toml\n(.*?)^```", manual, re.DOTALL | re.MULTILINE)
        if "wss:" in text
    )
    file = tmp_path / "appliance.toml"
    file.write_text(example, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        _ = load(file=file, environment={"APPLIANCE_LOG_LEVEL": "debug"}).settings
    assert str(caught.value).replace(f"{tmp_path}/", "") == said.strip()


def test_the_command_prints_what_the_manual_holds(root: Path) -> None:
    command = [sys.executable, "-m", "appliance.settings.document"]
    printed = subprocess.run(
        command, cwd=root, check=True, capture_output=True, text=True, encoding="utf-8"
    ).stdout
    assert printed == f"{document.BEGIN}\n\n{document.markdown()}\n\n{document.END}\n"


def test_rows_say_all_of_a_key() -> None:
    rows = {row.path: row for row in document.rows()}
    assert rows["limits.message_bytes"] == document.Row(
        path="limits.message_bytes",
        key="message_bytes",
        kind='a size such as "64KiB"',
        range="at least 125B",
        default='"64KiB"',
        environment="APPLIANCE_LIMITS__MESSAGE_BYTES",
        reloads=True,
        doc="Largest message from a client",
    )
    assert rows["auth.keys[].name"].reloads, "it lies in a list that reloads"
    assert rows["listen[].url"].default == document.REQUIRED
    assert rows["channels.<name>.history.age"].environment == "APPLIANCE_CHANNELS__<NAME>__HISTORY__AGE"


def test_every_setting_of_the_tree_has_its_row_or_its_table() -> None:
    headers = {section.header.strip("[]").partition(".")[0] for section in document.sections()}
    tops = {row.key for row in document.sections()[0].rows}
    assert {a.name for a in attrs.fields(Settings) if mark(a).doc} == (headers | tops) - {""}
