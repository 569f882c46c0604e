from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from attrs.validators import gt

from appliance.api import Channel, Feed, History, Mode, Source
from appliance.core.errors import PluginError, SettingsError
from appliance.core.history import Retention
from appliance.loading.catalogue import Catalogue, collect
from appliance.loading.configured import Configured, configure
from appliance.loading.files import builtin_folder
from appliance.settings.load import load

if TYPE_CHECKING:
    from pathlib import Path


@attrs.frozen(kw_only=True)
class FeesSettings:
    symbols: tuple[str, ...] = ("BTC",)
    most: float = attrs.field(default=100.0, validator=gt(0))


@attrs.frozen(kw_only=True)
class OceanSettings:
    depth: int


@attrs.frozen
class Ocean:
    settings: OceanSettings

    async def produce(self, feed: Feed, settings: object) -> None:
        await feed.publish({"depth": self.settings.depth, "for": str(settings)}, key="all")


async def produce(_feed: Feed, _settings: object) -> None:
    await trio.sleep_forever()


def unlucky(_settings: object) -> Ocean:
    raise OSError("no luck")


def channel(name: str, **fields: Any) -> Channel:
    return Channel(name=name, mode=Mode.LOG, message=name, **fields)


FEES = channel("fees", produce=produce, Settings=FeesSettings, history=History(count=7, age=None, bytes=70))
TIDES = channel("tides", source="ocean")
WAVES = channel("waves", source="ocean")


def catalogue(*channels: Channel, folder: Path) -> Catalogue:
    sources = [
        Source(kind="ocean", open=Ocean, Settings=OceanSettings),
        Source(kind="unlucky", open=unlucky),
    ]
    return Catalogue(
        channels={channel.name: channel for channel in channels},
        sources={source.kind: source for source in sources},
        source_files={source.kind: folder / f"{source.kind}.py" for source in sources},
    )


@attrs.frozen
class Configuration:
    """Some channels, and the file of the configuration."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "appliance.toml"

    def __call__(self, text: str, *channels: Channel) -> dict[str, Configured]:
        self.file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        found = configure(catalogue(*channels, folder=self.folder), load(file=self.file, environment={}))
        return {configured.channel.name: configured for configured in found}

    def mistakes(self, text: str, *channels: Channel) -> list[str]:
        """The mistakes, each behind the number of its line, where it has one."""
        with pytest.raises(SettingsError) as caught:
            self(text, *channels)
        assert {mistake.origin for mistake in caught.value.mistakes} == {str(self.file)}
        return [str(mistake).removeprefix(f"{self.file}:").strip() for mistake in caught.value.mistakes]


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return Configuration(tmp_path)


def test_without_a_word_every_channel_is_as_its_plugin_wants_it() -> None:
    catalogue = collect([builtin_folder()])
    found = configure(catalogue, load(file=None, environment={}))
    assert {configured.channel.name for configured in found} == catalogue.channels.keys()
    rows = {id(configured.rows) for configured in found}
    assert len(rows) == 1, "all have one market"


def test_settings_are_filled(configuration: Configuration) -> None:
    assert configuration("", FEES)["fees"].settings == FeesSettings()
    text = """
        [channels.fees]
        symbols = ["ETH", "SOL"]
    """
    assert configuration(text, FEES)["fees"].settings == FeesSettings(symbols=("ETH", "SOL"))


def test_settings_come_from_the_environment_too(tmp_path: Path) -> None:
    loaded = load(file=None, environment={"APPLIANCE_CHANNELS__FEES__MOST": "5"})
    [found] = configure(catalogue(FEES, folder=tmp_path), loaded)
    assert found.settings == FeesSettings(most=5)


def test_mistakes_in_settings_carry_their_lines(configuration: Configuration) -> None:
    text = """
        [channels.fees]
        symbol = ["ETH"]
        most = -1

        [channels.fee]
        [channels.tides]
        source = "oceans"

        [sources.ocean]
        depth = "deep"

        [sources.lake]
        [sources.pond]
        kind = "puddle"
    """
    assert configuration.mistakes(text, FEES, TIDES, WAVES) == [
        "2: channels.fees.symbol: is not a known key; did you mean `symbols`? (known here: symbols, most)",
        "3: channels.fees.most: must be more than 0, not -1",
        "5: channels.fee: there is no channel `fee`; did you mean `fees`?",
        "7: channels.tides.source: there is no source `oceans`; did you mean `ocean`?",
        '10: sources.ocean.depth: expected a whole number, found text ("deep")',
        "12: sources.lake: there is no kind of source `lake`; there are ocean, unlucky",
        "14: sources.pond.kind: there is no kind of source `puddle`; there are ocean, unlucky",
    ]


def test_a_source_with_a_mistake_is_no_mistake_of_its_channels(configuration: Configuration) -> None:
    mistakes = configuration.mistakes("[sources.ocean]\ndepth = 1.5", TIDES, WAVES)
    assert len(mistakes) == 1
    assert mistakes[0].startswith("2: sources.ocean.depth: expected a whole number")


def test_a_source_goes_by_its_kind(configuration: Configuration) -> None:
    found = configuration("[sources.ocean]\ndepth = 5", FEES, TIDES, WAVES)
    assert found["tides"].rows == Ocean(OceanSettings(depth=5))
    assert found["tides"].rows is found["waves"].rows, "it is opened once"
    assert found["fees"].rows is None


def test_there_may_be_several_sources_of_one_kind(configuration: Configuration) -> None:
    text = """
        [sources.pacific]
        kind = "ocean"
        depth = 10

        [sources.ocean]
        depth = 5

        [channels.tides]
        source = "pacific"
    """
    found = configuration(text, TIDES, WAVES)
    assert found["tides"].rows == Ocean(OceanSettings(depth=10))
    assert found["waves"].rows == Ocean(OceanSettings(depth=5))


def test_a_source_that_nobody_wants_needs_no_settings(configuration: Configuration) -> None:
    assert configuration("", FEES)["fees"].rows is None
    assert configuration("[channels.tides]\nenabled = false", FEES, TIDES).keys() == {"fees"}
    assert configuration.mistakes("", TIDES) == ["sources.ocean.depth: is required: a whole number"]


def test_a_channel_of_its_own_rows_can_be_given_a_source(configuration: Configuration) -> None:
    text = """
        channels.fees.source = "ocean"
        sources.ocean.depth = 3
    """
    assert configuration(text, FEES)["fees"].rows == Ocean(OceanSettings(depth=3))


def test_a_disabled_channel_is_not_there(configuration: Configuration) -> None:
    text = """
        [channels.fees]
        enabled = false
    """
    assert configuration(text, FEES) == {}


def test_a_source_that_cannot_be_opened_is_its_plugins_fault(configuration: Configuration) -> None:
    with pytest.raises(PluginError, match=r"unlucky\.py: OSError: no luck"):
        configuration("[sources.unlucky]")


@pytest.mark.parametrize(
    ("text", "retention"),
    [
        ("", Retention(count=7, age=None, size=70)),
        ("count = 3", Retention(count=3, age=None, size=70)),
        ('age = "5m"', Retention(count=7, age=300, size=70)),
        ('bytes = "2KiB"', Retention(count=7, age=None, size=2048)),
    ],
)
def test_what_is_kept_is_the_channels_choice_until_it_is_told(
    configuration: Configuration, text: str, retention: Retention
) -> None:
    assert configuration(f"[channels.fees.history]\n{text}", FEES)["fees"].retention == retention
