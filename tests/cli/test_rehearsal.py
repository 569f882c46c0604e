"""A plugin is loaded as the appliance would load it: with the same checks, beside the same plugins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from appliance.cli.rehearsal import rehearse
from appliance.core.errors import ApplianceError
from appliance.settings.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = "import attrs\nimport trio\nfrom appliance.api import Channel, Mode, Source, hookimpl\n"
CHANNEL = """
@attrs.frozen
class Settings:
    pace: float = 1.0

async def produce(feed, settings):
    await feed.publish({{"pace": settings.pace}}, key="BTC")
    await trio.sleep_forever()

@hookimpl
def register_channels():
    return [Channel(name="{name}", mode=Mode.LOG, message="mine", produce=produce, Settings=Settings)]
"""
SOURCE = """
@attrs.frozen
class Rows:
    settings: object

    async def produce(self, feed, settings):
        await feed.publish({"price": 1}, key="GOLD")
        await trio.sleep_forever()

@hookimpl
def register_sources():
    return [Source(kind="metals", open=Rows)]
"""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with capture_logs():
        yield


def plugin(folder: Path, name: str = "mine", text: str = "") -> Path:
    folder.mkdir(mode=0o755, exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(HEAD + (text or CHANNEL.format(name=name)))
    file.chmod(0o644)
    return file


async def told(file: Path, configuration: str = "", *, seconds: float = 0.05) -> list[str]:
    """What is told of a plugin, without the times of events; at the end what was raised."""
    config = file.parent.parent / "appliance.toml"
    config.write_text(configuration)
    lines: list[str] = []
    try:
        await rehearse(file, load(file=config, environment={}), seconds=seconds, tell=lines.append)
    except ApplianceError as error:
        lines.append(f"{type(error).__name__}: {error}")
    return [line.split(maxsplit=1)[1] if line.startswith("  2") else line for line in lines]


async def test_a_good_plugin_is_shown_with_its_channels_and_events(tmp_path: Path) -> None:
    file = plugin(tmp_path / "plugins")
    assert await told(file) == [
        f"{file}: loaded as the appliance would load it",
        "  channel mine (log), messages of type mine",
        "events of 0.05 s:",
        'mine:BTC  1  {"pace":1.0}',
        "mine: 1 event, 20.0 a second",
        f"{file}: good",
    ]


async def test_without_seconds_nothing_runs(tmp_path: Path) -> None:
    lines = await told(plugin(tmp_path / "plugins"), seconds=0)
    assert [line for line in lines if "event" in line] == []
    assert lines[-1].endswith("mine.py: good")


async def test_its_settings_are_those_of_the_configuration(tmp_path: Path) -> None:
    lines = await told(plugin(tmp_path / "plugins"), "[channels.mine]\npace = 2\n")
    assert 'mine:BTC  1  {"pace":2.0}' in lines


async def test_it_runs_under_each_of_its_names(tmp_path: Path) -> None:
    lines = await told(plugin(tmp_path / "plugins"), '[channels.slow]\nplugin = "mine"\npace = 60\n')
    assert 'mine:BTC  1  {"pace":1.0}' in lines
    assert 'slow:BTC  1  {"pace":60.0}' in lines


async def test_a_channel_that_is_switched_off_does_not_run(tmp_path: Path) -> None:
    lines = await told(plugin(tmp_path / "plugins"), "[channels.mine]\nenabled = false\n")
    assert [line for line in lines if "mine:BTC" in line] == []
    assert lines[-1].endswith("mine.py: good")


async def test_a_source_needs_a_channel_that_names_it(tmp_path: Path) -> None:
    file = plugin(tmp_path / "plugins", "metals", SOURCE)
    assert await told(file) == [
        f"{file}: loaded as the appliance would load it",
        "  source metals",
        '  nothing runs: no channel has `source = "metals"`; a configuration can say so',
        f"{file}: good",
    ]
    lines = await told(file, '[channels.price]\nsource = "metals"\n')
    assert "  channel price (state), messages of type price_update" in lines
    assert 'price:GOLD  1  {"price":1}' in lines


async def test_a_plugin_of_a_plugins_folder_is_loaded_once(tmp_path: Path) -> None:
    file = plugin(tmp_path / "plugins")
    lines = await told(file, f'plugins_dir = ["{file.parent}"]\n')
    assert lines[-1] == f"{file}: good"


async def test_another_plugin_that_is_refused_is_no_mistake_of_this_one(tmp_path: Path) -> None:
    file = plugin(tmp_path / "plugins")
    broken = plugin(tmp_path / "plugins", "broken", "1 / 0\n")
    lines = await told(file, f'plugins_dir = ["{file.parent}", "{tmp_path}/nowhere"]\n')
    assert lines[0].startswith(f"warning: another plugin is refused: {tmp_path}/nowhere")
    assert lines[1] == f"warning: another plugin is refused: {broken}:4: ZeroDivisionError: division by zero"
    assert lines[-1] == f"{file}: good"


async def test_a_name_that_another_plugin_has_is_refused(tmp_path: Path) -> None:
    file = plugin(tmp_path / "plugins")
    other = plugin(tmp_path / "others", "other", CHANNEL.format(name="mine"))
    [problem] = await told(file, f'plugins_dir = ["{other.parent}"]\n')
    assert problem == (f"PluginError: {file}: 'mine' is already registered by {other}: rename one of them")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def x(:\n", r":4: SyntaxError: invalid syntax"),
        ("import nothing_of_this_name\n", r":4: ModuleNotFoundError: No module named"),
        (CHANNEL.format(name="price"), r": 'price' is already registered by .*: rename one of them"),
        (CHANNEL.format(name="Mine"), r": 'Mine' is no name for a channel"),
        ("@hookimpl\ndef register_chanels():\n    return []\n", r": unknown hook 'register_chanels'"),
        ("pass\n", r": has no hook: mark one of"),
        ("while True:\n    pass\n", r":[45]: is not imported within 0\.5 s \(plugins\.check_within\)"),
    ],
)
async def test_what_is_wrong_is_told_with_file_and_remedy(tmp_path: Path, text: str, problem: str) -> None:
    file = plugin(tmp_path / "plugins", text=text)
    [line] = await told(file, '[plugins]\ncheck_within = "500ms"\n')
    assert re.match(f"PluginError: {re.escape(str(file))}{problem}", line)


async def test_a_plugin_that_others_can_write_is_refused(tmp_path: Path) -> None:
    file = plugin(tmp_path / "plugins")
    file.chmod(0o666)
    [line] = await told(file)
    assert line.endswith(f"run `chmod go-w {file}`")


async def test_mistakes_in_its_settings_are_told_with_their_line(tmp_path: Path) -> None:
    [line] = await told(plugin(tmp_path / "plugins"), '[channels.mine]\npace = "fast"\n')
    assert f"{tmp_path}/appliance.toml:2: channels.mine.pace: " in line


async def test_mistakes_in_the_configuration_are_told(tmp_path: Path) -> None:
    [line] = await told(plugin(tmp_path / "plugins"), "[limits]\nsesions = 5\n")
    assert line.startswith(f"SettingsError: {tmp_path}/appliance.toml:2: limits.sesions: ")
