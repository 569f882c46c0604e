from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs
import pytest

from appliance.core.errors import PluginError, SettingsError
from appliance.loading import bundle, plugin
from appliance.loading.importer import ALL
from appliance.loading.lineup import Lineup
from appliance.settings.load import load
from tests.loading import dropping
from tests.loading.dropping import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.loading.plugin import Plugin
    from appliance.settings.load import Loaded


@attrs.frozen
class Desk:
    """Writes plugins and configurations, and reads them."""

    folder: Path

    def plugin(
        self, file: str, *channels: str, sources: tuple[str, ...] = (), source: str | None = None
    ) -> Plugin:
        text = dropping.plugin(*channels, sources=sources, source=source, settings="most: int = 1")
        return plugin.load(bundle.read(write(self.folder / f"{file}.py", text), most=100_000))

    def loaded(self, text: str = "") -> Loaded:
        return load(file=write(self.folder / "appliance.toml", text), environment={})

    def lineup(self, *plugins: Plugin, text: str = "") -> Lineup:
        return Lineup(self.loaded(text)).first(plugins, faults=(), strict=True, warn=print)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield Desk(tmp_path)
    for name in [name for name in sys.modules if name.startswith(ALL)]:
        del sys.modules[name]


def test_the_first_lineup_has_the_channels_of_all(desk: Desk) -> None:
    lineup = desk.lineup(desk.plugin("fees", "fees"), desk.plugin("tides", "tides", "waves"))
    assert list(lineup.channels) == ["fees", "tides", "waves"]


def test_the_first_lineup_raises_faults_when_it_is_strict(desk: Desk) -> None:
    lineup, fault = Lineup(desk.loaded("[channels.fee]")), PluginError("broken.py: is broken")
    fees = desk.plugin("fees", "fees")
    found = lineup.first([fees], faults=[fault], strict=False, warn=print)
    assert list(found.channels) == ["fees"], "the table may be that of the broken one"
    with pytest.raises(PluginError, match=r"broken\.py: is broken"):
        lineup.first([fees], faults=[fault], strict=True, warn=print)
    with pytest.raises(SettingsError, match="there is no channel `fee`"):
        lineup.first([fees], faults=(), strict=False, warn=print)


def test_what_comes_is_put_and_nothing_else(desk: Desk) -> None:
    before = desk.lineup(desk.plugin("fees", "fees"))
    tides = desk.plugin("tides", "tides")
    after = before.having(tides)
    step = after.step_from(before)
    assert ([each.channel.name for each in step.puts], step.takes) == (["tides"], ())
    step = after.lacking(tides).step_from(after)
    assert ([each.channel.name for each in step.puts], step.takes) == ([], ("tides",))


def test_what_is_replaced_is_put_and_what_it_has_no_more_is_taken(desk: Desk) -> None:
    old = desk.plugin("fees", "fees", "tides")
    before = desk.lineup(desk.plugin("waves", "waves"), old)
    after = before.having(desk.plugin("fees", "fees", "foam"), instead_of=old)
    step = after.step_from(before)
    assert ([each.channel.name for each in step.puts], step.takes) == (["fees", "foam"], ("tides",))


def test_names_that_clash_are_refused(desk: Desk) -> None:
    with pytest.raises(PluginError, match=r"more\.py: 'fees' is already registered by .*fees\.py"):
        desk.lineup(desk.plugin("fees", "fees")).having(desk.plugin("more", "fees"))


def test_what_does_not_fit_the_configuration_is_blamed_on_the_file_with_the_line(desk: Desk) -> None:
    lineup = attrs.evolve(desk.lineup(), loaded=desk.loaded("[channels.fees]\nmost = 'much'"))
    fees = desk.plugin("fees", "fees")
    with pytest.raises(PluginError) as caught:
        lineup.having(fees)
    assert str(caught.value).startswith(f"{fees.file}: {desk.folder}/appliance.toml:2: channels.fees.most: ")


def test_what_is_wrong_with_others_is_not_blamed_on_it(desk: Desk) -> None:
    sea = desk.plugin("sea", sources=("sea",))
    lineup = desk.lineup(sea, desk.plugin("tides", "tides", source="sea")).lacking(sea)
    assert lineup.channels == {}
    assert list(lineup.having(desk.plugin("fees", "fees")).channels) == ["fees"]


def test_a_source_that_another_needs_cannot_be_taken_from_it(desk: Desk) -> None:
    sea = desk.plugin("sea", "foam", sources=("sea",))
    lineup = desk.lineup(sea, desk.plugin("tides", "tides", source="sea"))
    with pytest.raises(
        PluginError, match=r"sea\.py: channel `tides` could not go on with it: .*no source `sea`"
    ):
        lineup.having(desk.plugin("sea", "foam"), instead_of=sea)


def test_what_a_plugin_is_to_others_is_known(desk: Desk) -> None:
    sea = desk.plugin("sea", "foam", sources=("sea",))
    tides = desk.plugin("tides", "tides", source="sea")
    lineup = desk.lineup(sea, tides, text='[channels.froth]\nplugin = "foam"')
    assert lineup.channels_of(sea) == ("foam", "froth")
    assert lineup.complaints_of(tides) == ()
    without = lineup.lacking(sea)
    assert without.channels_of(tides) == ()
    [told] = without.complaints_of(tides)
    assert "channels.tides.source: there is no source `sea`" in told
    [told] = without.wrong("channels.froth")
    assert "channels.froth.plugin: there is no channel `foam`" in told


def test_another_configuration_is_taken_unless_it_has_new_mistakes(desk: Desk) -> None:
    sea = desk.plugin("sea", sources=("sea",))
    tides = desk.plugin("tides", "tides", source="sea")
    lineup = desk.lineup(sea, tides, desk.plugin("fees", "fees")).lacking(sea)
    moved = desk.loaded("# lines\n# more\n[channels.fees]\nmost = 2\n")
    told = lineup.told(moved, complete=True, warn=print)
    assert [each.channel.name for each in told.step_from(lineup).puts] == ["fees"]
    for text, path in (
        ("[channels.fees]\nmost = 'much'", "channels.fees.most"),
        ("[channels.fee]", "channels.fee"),
        ("[limits]\nsessions = 0", "limits.sessions"),
    ):
        with pytest.raises(SettingsError) as caught:
            lineup.told(desk.loaded(text), complete=True, warn=print)
        assert [mistake.path for mistake in caught.value.mistakes] == [path]
    lineup.told(desk.loaded("[channels.fee]"), complete=False, warn=print)


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
FILLS = "[channels.fills]\nsource = 'well'\nbucket = 'tin'\n"


def well(desk: Desk) -> Plugin:
    return plugin.load(bundle.read(write(desk.folder / "well.py", WELL), most=100_000))


def test_a_channel_that_a_source_makes_comes_and_goes_with_the_source(desk: Desk) -> None:
    empty = attrs.evolve(desk.lineup(), loaded=desk.loaded(FILLS))
    source = well(desk)
    lineup = empty.having(source)
    assert lineup.channels_of(source) == ("fills",)
    assert [each.channel.message for each in lineup.step_from(empty).puts] == ["event"]
    gone = lineup.lacking(source)
    assert gone.step_from(lineup).takes == ("fills",)
    [told] = gone.wrong("channels.fills")
    assert "channels.fills.source: there is no source `well`" in told


def test_a_channel_that_a_source_makes_comes_and_goes_with_the_configuration(desk: Desk) -> None:
    before = desk.lineup(well(desk))
    after = before.told(desk.loaded(FILLS), complete=True, warn=print)
    assert [each.channel.name for each in after.step_from(before).puts] == ["fills"]
    other = after.told(desk.loaded(FILLS.replace("tin", "oak")), complete=True, warn=print)
    [changed] = other.step_from(after).puts
    assert changed.told.bucket == "oak"
    assert other.told(desk.loaded(), complete=True, warn=print).step_from(other).takes == ("fills",)


def test_a_channel_that_a_source_makes_gives_way_to_one_that_is_registered(desk: Desk) -> None:
    source, fills = well(desk), desk.plugin("fills", "fills")
    before = desk.lineup(source, text=FILLS)
    after = before.having(fills)
    assert (after.channels_of(source), after.channels_of(fills)) == ((), ("fills",))
    [put] = after.step_from(before).puts
    assert (put.channel.message, put.told.bucket) == ("fills", "tin")
    back = after.lacking(fills)
    [put] = back.step_from(after).puts
    assert put.channel.message == "event"


def test_what_the_configuration_tells_a_source_that_comes_must_fit_it(desk: Desk) -> None:
    loaded = desk.loaded("[channels.fees]\nsource = 'deep'\nbucket = 5\n[sources.deep]\nkind = 'well'\n")
    lineup = attrs.evolve(desk.lineup(desk.plugin("fees", "fees")), loaded=loaded)
    with pytest.raises(PluginError, match=r"well\.py: .*appliance\.toml:3: channels\.fees\.bucket: "):
        lineup.having(well(desk))


def test_a_source_and_a_channel_that_has_it_may_come_in_turn(desk: Desk) -> None:
    text = "[channels.fees]\nsource = 'well'\nbucket = 'tin'\nmost = 5\n"
    empty = attrs.evolve(desk.lineup(), loaded=desk.loaded(text))
    source, fees = well(desk), desk.plugin("fees", "fees")
    with pytest.raises(PluginError, match="there is no source `well`"):
        empty.having(fees)
    first = empty.having(source)
    [told] = first.complaints_of(source)
    assert "channels.fees.most: is not a known key" in told
    both = first.having(fees)
    assert list(both.channels) == ["fees"]
    assert both.complaints_of(source) == both.complaints_of(fees) == ()


def test_what_is_wrong_with_a_channel_of_another_is_not_said_of_its_source(desk: Desk) -> None:
    sea = desk.plugin("sea", sources=("sea",))
    lineup = attrs.evolve(desk.lineup(), loaded=desk.loaded("[channels.fees]\nsource = 'sea'\n"))
    assert lineup.having(sea).complaints_of(sea) == (), "a channel may yet come, and the source makes none"


def test_a_source_that_a_channel_is_made_by_cannot_be_taken_from_it(desk: Desk) -> None:
    source = well(desk)
    with pytest.raises(PluginError, match="channel `fills` could not go on with it"):
        desk.lineup(source, text=FILLS).having(desk.plugin("well", "wells"), instead_of=source)


def test_a_lineup_is_never_changed(desk: Desk) -> None:
    before = desk.lineup(desk.plugin("fees", "fees"))
    channels, plugins = before.channels, before.plugins
    before.having(desk.plugin("tides", "tides"))
    before.lacking(plugins[0])
    assert (before.channels, before.plugins) == (channels, plugins)
    assert before.catalogue(without=plugins[0]).channels == {}
