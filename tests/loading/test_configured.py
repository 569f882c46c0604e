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
from appliance.settings.fields import Secret  # noqa: TC001 - the reader resolves these annotations when it runs
from appliance.settings.load import load

if TYPE_CHECKING:
    from collections.abc import Callable
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


@attrs.frozen
class Vault:
    """Settings with a secret, whose rows nobody sees."""

    password: Secret | None = None

    async def produce(self, _feed: Feed, _settings: object) -> None:
        await trio.sleep_forever()


def vault(settings: Vault) -> Vault:
    return settings


def leaving(_settings: object) -> Ocean:
    raise SystemExit(3)


def channel(name: str, **fields: Any) -> Channel:
    return Channel(name=name, mode=Mode.LOG, message=name, **fields)


FEES = channel("fees", produce=produce, Settings=FeesSettings, history=History(count=7, age=None, bytes=70))
KINDS = "leaving, ocean, publish, unlucky, vault"
TIDES = channel("tides", source="ocean")
WAVES = channel("waves", source="ocean")


def catalogue(*channels: Channel, folder: Path) -> Catalogue:
    sources = [
        Source(kind="ocean", open=Ocean, Settings=OceanSettings),
        Source(kind="unlucky", open=unlucky),
        Source(kind="leaving", open=leaving),
        Source(kind="vault", open=vault, Settings=Vault),
        Source(kind="publish", open=lambda _: Vault(), topics_on_demand=True),
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

    def __call__(
        self,
        text: str,
        *channels: Channel,
        faults: tuple[PluginError, ...] = (),
        warn: Callable[[str], object] | None = None,
    ) -> dict[str, Configured]:
        self.file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        loaded = load(file=self.file, environment={})
        found = configure(catalogue(*channels, folder=self.folder), loaded, faults=faults, warn=warn)
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
        f"12: sources.lake: there is no kind of source `lake`; there are {KINDS}",
        f"14: sources.pond.kind: there is no kind of source `puddle`; there are {KINDS}",
    ]


def test_mistakes_of_all_kinds_are_told_together_in_the_order_of_the_file(
    configuration: Configuration,
) -> None:
    text = """
        state_dir = 5
        plugns_dir = []

        [channels.fees]
        most = -1
        history = { cuont = 1 }
        symbol = []

        [channels.fee]

        [limits]
        sessions = 0

        [sources.ocean]
        depth = "deep"

        [stop]
        deadline = "1h"
    """
    assert [mistake.partition(": ")[0] for mistake in configuration.mistakes(text, FEES, TIDES)] == [
        *("1", "2", "5", "6", "7", "9", "12", "15", "18")
    ]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("channels = 5", "channels"),
        ("channels.tides = 5", "channels.tides"),
        ('[channels.tides]\nenabled = "no"', "channels.tides.enabled"),
        ("[channels.tides]\nsource = 5", "channels.tides.source"),
        ("sources = 5", "sources"),
        ("[channels.tides]\nsource = 'lake'\n[sources]\nlake = 5", "sources.lake"),
        ("[channels.tides]\nsource = 'lake'\n[sources.lake]\nkind = 5", "sources.lake.kind"),
        ("plugins_dir = 5\n[channels.others]\n[sources.ocean]\ndepth = 5", "plugins_dir"),
        ("plugins_dir = [5]\n[channels.tides]\nsource = 'others'", "plugins_dir[0]"),
    ],
)
def test_nothing_is_said_of_what_a_mistake_leaves_unknown(
    configuration: Configuration, text: str, path: str
) -> None:
    [told] = configuration.mistakes(text, TIDES)
    assert told.split(": ")[1] == path


@pytest.mark.parametrize("text", ["channels = 5", "channels.swell = 5"])
def test_a_channel_whose_table_is_none_lacks_no_settings(configuration: Configuration, text: str) -> None:
    swell = channel("swell", produce=produce, Settings=OceanSettings)
    assert configuration.mistakes("", swell) == ["channels.swell.depth: is required: a whole number"]
    [told] = configuration.mistakes(text, swell)
    assert "expected a table" in told


def test_faults_of_plugins_stand_beside_mistakes_and_after_them(configuration: Configuration) -> None:
    fault = PluginError("broken.py:1: ModuleNotFoundError")
    text = """
        [channels.fees]
        most = -1

        [channels.of_the_broken_one]
        [sources.unlucky]
        [sources.leaving]
    """
    with pytest.raises(SettingsError) as caught:
        configuration(text, FEES, faults=(fault,))
    assert [str(mistake).replace(f"{configuration.folder}/", "") for mistake in caught.value.mistakes] == [
        "appliance.toml:2: channels.fees.most: must be more than 0, not -1",
        "broken.py:1: ModuleNotFoundError",
        "unlucky.py: OSError: no luck",
        "leaving.py: SystemExit: 3",
    ]


def test_plugins_alone_at_fault_are_told_as_such(configuration: Configuration) -> None:
    faults = (PluginError("a.py: is broken"), PluginError("b.py: is broken"))
    with pytest.raises(PluginError) as caught:
        configuration("[channels.of_the_broken_one]", FEES, faults=faults)
    assert str(caught.value).splitlines() == ["a.py: is broken", "b.py: is broken"]


def test_names_that_need_quotes_have_their_lines_too(configuration: Configuration) -> None:
    text = """
        [channels."my fees"]
        [sources."deep sea"]
        kind = "ocean"
        depth = "deep"
    """
    assert configuration.mistakes(text, FEES) == [
        '1: channels."my fees": there is no channel `my fees`; did you mean `fees`?',
        '4: sources."deep sea".depth: expected a whole number, found text ("deep")',
    ]


def test_what_should_be_said_of_a_plugins_secret_is_said(configuration: Configuration) -> None:
    password = configuration.folder / "password"
    password.write_text("hunter2")
    password.chmod(0o644)
    warnings: list[str] = []
    configuration(f'[sources.vault]\npassword_file = "{password}"', FEES, warn=warnings.append)
    assert warnings == [f"{password} can be read by everyone; take that away with `chmod o-r {password}`"]


def test_an_empty_name_is_no_name_of_a_source(configuration: Configuration) -> None:
    assert configuration.mistakes('[channels.fees]\nsource = ""\n[sources.ocean]\nkind = ""', FEES) == [
        f"2: channels.fees.source: there is no source ``; there are {KINDS}",
        f"4: sources.ocean.kind: there is no kind of source ``; there are {KINDS}",
    ]


@pytest.mark.parametrize(
    ("text", "publishable"),
    [
        ("", False),
        ("[channels.fees]\npublish = true", True),
        ('[channels.fees]\nsource = "publish"', True),
        ('[channels.fees]\nsource = "publish"\npublish = false', False),
        ('[channels.fees]\nsource = "desk"\n[sources.desk]\nkind = "publish"', True),
        ('[channels.fees]\nsource = "publish"\n[sources.publish]\nkind = "vault"', False),
    ],
)
def test_applications_may_publish_where_the_rows_are_theirs_or_it_is_said(
    configuration: Configuration, text: str, publishable: object
) -> None:
    assert configuration(text, FEES)["fees"].publishable is publishable


def test_any_topic_may_be_asked_for_where_the_source_cannot_name_them(configuration: Configuration) -> None:
    text = '[channels.tides]\nsource = "publish"\n[sources.ocean]\ndepth = 1'
    found = configuration(text, TIDES, WAVES)
    assert found["tides"].channel == attrs.evolve(TIDES, open=True)
    assert found["waves"].channel == WAVES


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
        ('age = "none"', Retention(count=7, age=None, size=70)),
        ('bytes = "2KiB"', Retention(count=7, age=None, size=2048)),
    ],
)
def test_what_is_kept_is_the_channels_choice_until_it_is_told(
    configuration: Configuration, text: str, retention: Retention
) -> None:
    assert configuration(f"[channels.fees.history]\n{text}", FEES)["fees"].retention == retention


def test_a_bound_of_age_can_be_taken_away(configuration: Configuration) -> None:
    [found] = configuration(
        '[channels.aged.history]\nage = "none"', channel("aged", produce=produce)
    ).values()
    assert History().age is not None
    assert found.retention.age is None
