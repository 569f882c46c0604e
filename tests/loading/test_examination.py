from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from appliance.loading import bundle
from appliance.loading.examination import Finding, Task, examine
from appliance.settings.load import load
from tests.loading import dropping
from tests.loading.dropping import write

if TYPE_CHECKING:
    from pathlib import Path


def examined(file: Path, text: str = "") -> Finding:
    configuration = write(file.parent.parent / "appliance.toml", text)
    loaded = load(file=configuration, environment={})
    return examine(Task(bundle.read(file, most=100_000), loaded, seconds=1, memory=1))


def test_what_is_good_is_told_by_its_names(tmp_path: Path) -> None:
    file = write(tmp_path / "p" / "fees.py", dropping.plugin("fees", "tides", sources=["sea"]))
    assert examined(file) == Finding(["fees", "tides"], ["sea"])
    assert not any(getattr(module, "__file__", None) == str(file) for module in sys.modules.values())


def test_what_does_not_load_is_told(tmp_path: Path) -> None:
    file = write(tmp_path / "p" / "fees.py", "import nothing_of_this_name")
    assert examined(file).error.startswith(f"{file}:1: ModuleNotFoundError")


def test_what_runs_out_of_memory_is_told_the_bound(tmp_path: Path) -> None:
    file = write(tmp_path / "p" / "fees.py", "raise MemoryError")
    assert examined(file).error.endswith("it may take 1 bytes to be imported (plugins.check_memory)")


def test_mistakes_in_its_settings_are_told_by_themselves(tmp_path: Path) -> None:
    file = write(tmp_path / "p" / "fees.py", dropping.plugin("fees", settings="most: int"))
    place = tmp_path / "appliance.toml"
    assert examined(file).mistakes == [f"{place}: channels.fees.most: is required: a whole number"]
    text = "[channels.fees]\nmost = 1\n[channels.fx]\nplugin = 'fees'\nmost = 'x'\n"
    [told] = examined(file, text).mistakes
    assert told.startswith(f"{place}:5: channels.fx.most: expected a whole number")


def test_nothing_is_said_of_what_other_plugins_may_have(tmp_path: Path) -> None:
    file = write(tmp_path / "p" / "fees.py", dropping.plugin("fees", source="elsewhere"))
    text = "[channels.other]\n[channels.fx]\nplugin = 'other'\n[sources.lake]\nkind = 'lake'\n"
    assert examined(file, text) == Finding(["fees"], [])


def test_a_source_that_cannot_be_opened_is_the_plugins_fault(tmp_path: Path) -> None:
    text = dropping.plugin("fees", sources=["sea"], source="sea").replace("open=Rows", "open=lambda s: 1 / 0")
    file = write(tmp_path / "p" / "fees.py", text)
    found = examined(file)
    assert found.mistakes == []
    assert "ZeroDivisionError: division by zero" in found.error
    assert found.error.startswith(f"{file}:")


WELL = """
    import attrs, trio
    from appliance.api import Channel, Mode, Source, hookimpl

    @attrs.frozen(kw_only=True)
    class Bucket:
        bucket: str

    class Rows:
        async def produce(self, feed, settings):
            await trio.sleep_forever()

    @hookimpl
    def register_sources():
        made = Channel(name="events", mode=Mode.LOG, message="event", source="well")
        return [Source(kind="well", open=lambda _: Rows(), ChannelSettings=Bucket, channel=made)]
"""


def test_what_a_source_is_told_by_the_tables_of_its_channels_is_examined(tmp_path: Path) -> None:
    file, place = write(tmp_path / "p" / "well.py", WELL), tmp_path / "appliance.toml"
    text = "[channels]\nfills = { source = 'well', bucket = 5 }\nspills = { source = 'well' }\n"
    assert examined(file, text).mistakes == [
        f"{place}:2: channels.fills.bucket: expected text, found a number (5)",
        f"{place}:3: channels.spills.bucket: is required: text",
    ]


def test_options_of_a_channel_that_another_plugin_may_register_are_not_judged(tmp_path: Path) -> None:
    file = write(tmp_path / "p" / "well.py", WELL)
    text = "[channels]\nfees = { source = 'well', bucket = 'tin', most = 5 }\n"
    assert examined(file, text) == Finding([], ["well"])
    fees = write(tmp_path / "p" / "fees.py", dropping.plugin("fees", settings="most: int"))
    assert examined(fees, text) == Finding(["fees"], [])
