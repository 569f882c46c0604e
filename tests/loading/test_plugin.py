from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

import pytest

from appliance import hookspecs
from appliance.api import Mode
from appliance.core.errors import PluginError
from appliance.loading import bundle, plugin
from appliance.loading.importer import ALL
from tests.loading.dropping import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.loading.plugin import Plugin

GOOD = """
    import attrs
    from appliance.api import Channel, Mode, Source, hookimpl

    @attrs.frozen
    class Rows:
        settings: object

        async def produce(self, feed, settings): ...

    async def produce(feed, settings): ...

    @hookimpl
    def register_channels():
        return [
            Channel(name="fees", mode=Mode.STATE, message="fee_update", produce=produce),
            Channel(name="tides", mode=Mode.LOG, message="tide", source="tides", topics=("all", "sea:*", "*")),
        ]

    @hookimpl
    def register_sources():
        return (Source(kind=kind, open=Rows) for kind in ("tides", "fees"))
"""

CHANNEL = """
    import attrs
    from appliance.api import Channel, Mode, hookimpl

    class NoAttrs: ...

    Taken = attrs.make_class("Taken", ["most", "history"])

    async def produce(feed, settings): ...

    @hookimpl
    def register_channels():
        return [Channel(**{{"mode": Mode.STATE, "message": "fee_update", {fields}}})]
"""

SOURCE = """
    import attrs
    from appliance.api import Channel, Mode, Source, hookimpl

    @attrs.frozen
    class OfChannel:
        table: str = ""
        mode: str = ""

    @attrs.frozen
    class OfSource:
        depth: int = 1
        kind: str = ""

    @attrs.frozen
    class Good:
        table: str = ""

    LOG = {{"mode": Mode.LOG, "message": "event"}}

    @hookimpl
    def register_sources():
        return [Source(kind="tides", open=print, {fields})]
"""

HOOK = """
    from appliance.api import Channel, Mode, Source, hookimpl

    {hook}
"""


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith(ALL)]:
        del sys.modules[name]


def load(file: Path) -> Plugin:
    return plugin.load(bundle.read(file, most=100_000))


def refused(file: Path) -> str:
    before = {name for name in sys.modules if name.startswith(ALL)}
    with pytest.raises(PluginError) as caught:
        load(file)
    assert {name for name in sys.modules if name.startswith(ALL)} == before, "nothing of it is left"
    return str(caught.value)


def hook_refused(folder: Path, hook: str) -> str:
    """The message for a plugin whose hooks are this text, without the name of its file."""
    file = write(folder / "plugin.py", HOOK.format(hook=hook.replace("\n", "\n    ")))
    told = refused(file)
    assert told.startswith(str(file))
    return told.removeprefix(str(file))


def test_a_plugin_is_what_it_registers(tmp_path: Path) -> None:
    file = write(tmp_path / "good.py", GOOD)
    found = load(file)
    assert (found.name, found.file, found.origin) == ("good", file, "folder")
    assert [channel.name for channel in found.channels] == ["fees", "tides"]
    assert [source.kind for source in found.sources] == ["tides", "fees"]
    assert found.channels[1].mode is Mode.LOG
    assert found.digest == bundle.read(file, most=100_000).digest
    assert len(found.hooks.register_channels()) == 1


def test_a_plugin_that_is_forgotten_can_still_be_used_by_who_has_it(tmp_path: Path) -> None:
    found = load(write(tmp_path / "good.py", GOOD))
    found.forget()
    assert not any(name.startswith(ALL) for name in sys.modules)
    assert found.channels[0].produce is not None


def test_a_misspelt_hook_is_named_with_those_there_are(tmp_path: Path) -> None:
    told = hook_refused(tmp_path, "@hookimpl\ndef register_chanels():\n    return []")
    assert "unknown hook 'register_chanels'" in told
    for name, _ in inspect.getmembers(hookspecs, inspect.isfunction):
        assert name in told


def test_a_hook_that_wants_arguments_is_refused(tmp_path: Path) -> None:
    assert "'app'" in hook_refused(tmp_path, "@hookimpl\ndef register_channels(app):\n    return []")


def test_a_file_without_a_hook_is_told_what_marks_one(tmp_path: Path) -> None:
    told = hook_refused(tmp_path, "def register_channels():\n    return []")
    assert "has no hook" in told
    assert "@hookimpl" in told


def test_a_hook_may_return_nothing_at_all(tmp_path: Path) -> None:
    text = HOOK.format(hook="@hookimpl\n    def register_channels():\n        return ()")
    assert load(write(tmp_path / "plugin.py", text)).channels == ()


@pytest.mark.parametrize(
    ("returned", "shown"),
    [
        ("None", "None"),
        ("5", "5"),
        ("Mode.STATE", "'s'"),
        ('"fees"', "'f'"),
        ('{"fees": 1}', "'fees'"),
        ("[Channel]", "<class 'appli"),
        ('[Source(kind="tides", open=print)]', "Source("),
        ('Channel(name="fees", mode=Mode.LOG, message="fee", source="tides")', "Channel("),
    ],
)
def test_a_hook_that_returns_something_else_is_refused(tmp_path: Path, returned: str, shown: str) -> None:
    told = hook_refused(tmp_path, f"@hookimpl\ndef register_channels():\n    return {returned}")
    assert told.startswith(f": register_channels returned {shown}")
    assert told.endswith("it returns a tuple of Channel")


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("return [1 / 0]", 5, "ZeroDivisionError: division by zero"),
        ("yield 1 / 0", 5, "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", 5, "SystemExit: 3"),
        ("return [Channel(name='fees')]", 5, "TypeError: Channel.__init__() missing"),
    ],
)
def test_a_hook_that_raises_is_named_with_the_line(tmp_path: Path, body: str, line: int, words: str) -> None:
    told = hook_refused(tmp_path, f"@hookimpl\ndef register_channels():\n    {body}")
    assert told.startswith(f":{line}: {words}")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ('"name": "fees"', "channel 'fees' has either `produce` or `source`"),
        ('"name": "fees", "produce": produce, "source": "x"', "either `produce` or `source`"),
        ('"name": "Fees", "source": "x"', "'Fees' is no name for a channel: a-z"),
        ('"name": "fees:BTC", "source": "x"', "'fees:BTC' is no name for a channel"),
        ('"name": "", "source": "x"', "'' is no name for a channel"),
        ('"name": 5, "source": "x"', "'name' must be <class 'str'>"),
        ('"name": "system", "source": "x"', "'system' is the appliance's own channel"),
        ('"name": "fees", "source": "x", "mode": "log"', "'mode' must be <enum 'Mode'>"),
        ('"name": "fees", "source": "x", "topics": "all"', "'topics' must be <class 'tuple'>"),
        ('"name": "fees", "source": "x", "topics": ("a b",)', "cannot have the topic 'a b'"),
        ('"name": "fees", "source": "x", "topics": ("",)', "cannot have the topic ''"),
        ('"name": "fees", "source": "x", "topics": ("a*b",)', "cannot have the topic 'a*b'"),
        ('"name": "fees", "source": "x", "history": {"count": 5}', "'history' must be"),
        (
            '"name": "fees", "source": "x", "Settings": NoAttrs',
            "Settings of channel 'fees' is no attrs class",
        ),
        (
            '"name": "fees", "source": "x", "Settings": Taken',
            "Settings of channel 'fees' has `history`, which means something else in every such table: rename it",
        ),
    ],
)
def test_a_channel_that_cannot_be_is_refused(tmp_path: Path, fields: str, words: str) -> None:
    file = write(tmp_path / "plugin.py", CHANNEL.format(fields=fields))
    told = refused(file)
    assert told.startswith(str(file))
    assert words in told


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("Settings=int", "Settings of source 'tides' is no attrs class: decorate it with attrs.frozen"),
        ("Settings=OfSource", "Settings of source 'tides' has `kind`, which means something else"),
        ("ChannelSettings=dict", "ChannelSettings of source 'tides' is no attrs class"),
        (
            "ChannelSettings=OfChannel",
            "ChannelSettings of source 'tides' has `mode`, which means something else",
        ),
        ("channel='events'", "`channel` of source 'tides' is 'events'; it is a Channel"),
        ("channel=Channel(name='events', **LOG)", "channel 'events' has either `produce` or `source`"),
        ("channel=Channel(name='events', source='tides', Settings=OfChannel, **LOG)", "has `mode`"),
    ],
)
def test_a_source_that_cannot_be_is_refused(tmp_path: Path, fields: str, words: str) -> None:
    file = write(tmp_path / "plugin.py", SOURCE.format(fields=fields))
    told = refused(file)
    assert told.startswith(str(file))
    assert words in told


def test_a_source_may_have_settings_for_its_channels_and_make_channels(tmp_path: Path) -> None:
    channel = "Channel(name='events', source='tides', Settings=Good, **LOG)"
    fields = f"Settings=OfChannel, ChannelSettings=Good, channel={channel}"
    [source] = load(write(tmp_path / "plugin.py", SOURCE.format(fields=fields))).sources
    assert source.channel is not None
    assert source.channel.Settings is source.ChannelSettings


@pytest.mark.parametrize("name", ["fees", "a", "fees_2"])
def test_a_name_that_fits_needs_no_word(name: str) -> None:
    assert plugin.unfit(name) == ""


@pytest.mark.parametrize("name", ["", "Fees", "2fees", "my fees", plugin.OWN])
def test_a_name_that_does_not_fit_is_told_why(name: str) -> None:
    assert plugin.unfit(name).startswith(repr(name))
