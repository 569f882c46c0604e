from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING

import pytest

from appliance import hookspecs
from appliance.api import Mode
from appliance.core.errors import PluginError
from appliance.loading.catalogue import collect
from appliance.loading.files import builtin_folder

if TYPE_CHECKING:
    from pathlib import Path

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
    from appliance.api import Channel, Mode, hookimpl

    class NoAttrs: ...

    async def produce(feed, settings): ...

    @hookimpl
    def register_channels():
        return [Channel(**{{"mode": Mode.STATE, "message": "fee_update", {fields}}})]
"""

SOURCE = """
    from appliance.api import Source, hookimpl

    @hookimpl
    def register_sources():
        return [Source(kind="tides", open=print, Settings=int)]
"""

HOOK = """
    from appliance.api import Channel, Mode, Source, hookimpl

    {hook}
"""


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return file


def refused(*folders: Path) -> str:
    with pytest.raises(PluginError) as caught:
        collect(folders)
    return str(caught.value)


def hook_refused(folder: Path, hook: str) -> str:
    """The message for a plugin whose hooks are this text, without the name of its file."""
    file = write(folder, "plugin.py", HOOK.format(hook=hook.replace("\n", "\n    ")))
    told = refused(folder)
    assert told.startswith(str(file))
    return told.removeprefix(str(file))


def test_what_the_files_of_all_folders_register_is_there(tmp_path: Path) -> None:
    file = write(tmp_path / "mine", "good.py", GOOD)
    catalogue = collect([builtin_folder(), tmp_path / "mine"])
    assert {"price", "signals", "fees", "tides"} < catalogue.channels.keys()
    assert {"simulated", "tides", "fees"} <= catalogue.sources.keys()
    assert catalogue.channels["tides"].mode is Mode.LOG
    assert catalogue.channel_files["fees"] == catalogue.source_files["fees"] == file
    assert catalogue.channel_files["price"] == builtin_folder() / "price.py"


def test_no_folder_is_an_empty_catalogue() -> None:
    assert collect([]).channels == {}


def test_a_file_that_does_not_load_is_told(tmp_path: Path) -> None:
    file = write(tmp_path, "broken.py", "import nothing_of_this_name")
    assert refused(tmp_path).startswith(f"{file}:1: ModuleNotFoundError")


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
    write(
        tmp_path, "plugin.py", HOOK.format(hook="@hookimpl\n    def register_channels():\n        return ()")
    )
    assert collect([tmp_path]).channels == {}


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
    ],
)
def test_a_channel_that_cannot_be_is_refused(tmp_path: Path, fields: str, words: str) -> None:
    file = write(tmp_path, "plugin.py", CHANNEL.format(fields=fields))
    told = refused(tmp_path)
    assert told.startswith(str(file))
    assert words in told


def test_settings_of_a_source_are_an_attrs_class_too(tmp_path: Path) -> None:
    write(tmp_path, "plugin.py", SOURCE)
    assert "Settings of source 'tides' is no attrs class: decorate it with attrs.frozen" in refused(tmp_path)


def test_who_asks_for_them_is_told_all_faults_and_has_the_rest(tmp_path: Path) -> None:
    broken = write(tmp_path / "mine", "broken.py", "import nothing_of_this_name")
    write(tmp_path / "mine", "good.py", GOOD)
    wrong = write(tmp_path / "mine", "wrong.py", SOURCE)
    faults: list[PluginError] = []
    folders = [tmp_path / "nowhere", tmp_path / "mine", builtin_folder()]
    catalogue = collect(folders, blame=faults.append)
    assert {"price", "fees", "tides"} < catalogue.channels.keys()
    assert [str(fault).partition(" ")[0].rstrip(":") for fault in faults] == [
        str(tmp_path / "nowhere"),
        f"{broken}:1",
        str(wrong),
    ]


def test_a_name_that_is_taken_is_told_with_the_owner(tmp_path: Path) -> None:
    file = write(tmp_path, "mine.py", CHANNEL.format(fields='"name": "price", "source": "simulated"'))
    owner = builtin_folder() / "price.py"
    told = f"{file}: 'price' is already registered by {owner}: rename one of them"
    assert refused(builtin_folder(), tmp_path) == told


def test_a_kind_of_source_that_is_taken_is_told_with_the_owner(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", "one.py", GOOD), write(tmp_path / "b", "two.py", SOURCE)
    told = f"{second}: Settings of source 'tides'"
    assert refused(tmp_path / "a", tmp_path / "b").startswith(told)
    second.write_text(second.read_text().replace("Settings=int", ""))
    told = f"{second}: 'tides' is already registered by {first}: rename one of them"
    assert refused(tmp_path / "a", tmp_path / "b") == told
