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
from appliance.loading.configured import Arrangement, Configured, arrange, configure
from appliance.loading.files import builtin_folder
from appliance.settings.fields import Secret  # noqa: TC001 - the reader resolves these annotations when it runs
from appliance.settings.load import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.loading.complaints import Complaint


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
GENERAL = "enabled, plugin, source, mode, message, publish, stale_after, required, history"
KINDS = "leaving, ocean, publish, unlucky, vault"
TIDES = channel("tides", source="ocean")
WAVES = channel("waves", source="ocean")


def catalogue(*channels: Channel, folder: Path, more: tuple[Source, ...] = ()) -> Catalogue:
    sources = [
        *more,
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
        more: tuple[Source, ...] = (),
    ) -> dict[str, Configured]:
        self.file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        loaded = load(file=self.file, environment={})
        known = catalogue(*channels, folder=self.folder, more=more)
        found = configure(known, loaded, faults=faults, warn=warn)
        return {configured.channel.name: configured for configured in found}

    def mistakes(self, text: str, *channels: Channel, more: tuple[Source, ...] = ()) -> list[str]:
        """The mistakes, each behind the number of its line, where it has one."""
        with pytest.raises(SettingsError) as caught:
            self(text, *channels, more=more)
        assert {mistake.origin for mistake in caught.value.mistakes} == {str(self.file)}
        return [str(mistake).removeprefix(f"{self.file}:").strip() for mistake in caught.value.mistakes]


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return Configuration(tmp_path)


def test_without_a_word_every_channel_is_as_its_plugin_wants_it() -> None:
    catalogue = collect([builtin_folder()])
    found = configure(catalogue, load(file=None, environment={}))
    assert {configured.channel.name for configured in found} == catalogue.channels.keys()
    rows = {id(configured.rows) for configured in found if configured.rows is not None}
    assert len(rows) == 1, "those that have a source have one market"


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
        (
            "2: channels.fees.symbol: is not a known key; did you mean `symbols`? "
            f"(known here: symbols, most, {GENERAL})"
        ),
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
        "leaving.py: SystemExit: 3: a plugin must not end the process",
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


ALIASES = """
    [channels.fees]
    enabled = false
    most = 5

    [channels.fx]
    plugin = "fees"
    most = 7
    source = "ocean"
    history.count = 3

    [sources.ocean]
    depth = 1
"""


def test_a_channel_can_be_there_under_several_names(configuration: Configuration) -> None:
    found = configuration(ALIASES, FEES)
    assert found.keys() == {"fx"}
    assert found["fx"].channel == attrs.evolve(FEES, name="fx")
    assert found["fx"].settings == FeesSettings(most=7)
    assert found["fx"].rows == Ocean(OceanSettings(depth=1))
    assert found["fx"].retention.count == 3
    found = configuration('[channels.fx]\nplugin = "fees"\n[channels.fees]\nplugin = "fees"', FEES)
    assert list(found) == ["fees", "fx"]
    assert configuration('[channels.fx]\nplugin = "fees"\nenabled = false', FEES).keys() == {"fees"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[channels.fx]\nplugin = "fee"',
            "2: channels.fx.plugin: there is no channel `fee`; did you mean `fees`?",
        ),
        ('[channels.Fx]\nplugin = "fees"', "1: channels.Fx: 'Fx' is no name for a channel: a-z, 0-9 and _"),
        ('[channels.system]\nplugin = "fees"', "1: channels.system: 'system' is the appliance's own channel"),
        ('[channels.other]\nplugin = "fees"', "1: channels.other: channel `other` is registered by "),
        (
            '[channels.fx]\nplugin = "fees"\nmosst = 1',
            "3: channels.fx.mosst: is not a known key; did you mean `most`",
        ),
    ],
)
def test_another_name_that_cannot_be_is_told_with_its_line(
    configuration: Configuration, text: str, told: str
) -> None:
    [mistake] = configuration.mistakes(text, FEES, channel("other", produce=produce))
    assert mistake.startswith(told)


def test_a_channel_that_is_another_of_none_is_told(configuration: Configuration) -> None:
    assert configuration.mistakes('[channels.fx]\nplugin = "fx"', FEES) == [
        "2: channels.fx.plugin: there is no channel `fx`; there are fees"
    ]


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ("", Mode.LOG, "fees"),
        ('mode = "state"', Mode.STATE, "fees"),
        ('mode = "log"\nmessage = "fee_update"', Mode.LOG, "fee_update"),
    ],
)
def test_mode_and_message_are_the_channels_choice_until_it_is_told(
    configuration: Configuration, text: str, mode: Mode, message: str
) -> None:
    found = configuration(f"[channels.fees]\n{text}", FEES)["fees"].channel
    assert (found.mode, found.message) == (mode, message)


def test_a_mistyped_key_of_all_channels_is_told_the_nearest(configuration: Configuration) -> None:
    [told] = configuration.mistakes('[channels.plain]\nmesage = "x"', channel("plain", produce=produce))
    assert told.startswith("2: channels.plain.mesage: is not a known key; did you mean `message`?")


# A source has options of its own in the tables of its channels.


@attrs.frozen(kw_only=True)
class WellSettings:
    bucket: str | None = None
    rope: str | None = None
    every: float = 5.0
    password: Secret | None = None

    def __attrs_post_init__(self) -> None:
        if (self.bucket is None) == (self.rope is None):
            raise ValueError("needs either `bucket` or `rope`, and not both")


EVENTS = channel("event", source="well", history=History(count=9))
WELL = Source(
    kind="well",
    open=lambda _: Vault(),
    ChannelSettings=WellSettings,
    topics_on_demand=True,
    durable=True,
    channel=EVENTS,
)
DRAWN = """
    [channels.fees]
    source = "well"
    bucket = "tin"
    most = 7
"""


def test_what_a_table_says_to_the_source_is_not_the_channels(configuration: Configuration) -> None:
    found = configuration(DRAWN, FEES, more=(WELL,))["fees"]
    assert found.settings == FeesSettings(most=7)
    assert found.told == WellSettings(bucket="tin")
    assert isinstance(found.rows, Vault)


def test_a_producer_is_told_the_channels_own_settings_by_a_source_that_has_none_for_it(
    configuration: Configuration,
) -> None:
    found = configuration("[sources.ocean]\ndepth = 5\n[channels.fees]\nmost = 7", FEES, TIDES)
    assert found["fees"].told == FeesSettings(most=7)
    assert found["tides"].told is found["tides"].settings


def test_mistakes_in_what_the_source_is_told_carry_their_lines(configuration: Configuration) -> None:
    text = """
        [channels.fees]
        source = "well"
        most = -1
        every = "often"
        buckt = "tin"
        [channels.tides]
        source = "well"
        bucket = "tin"
        rope = "hemp"
    """
    assert configuration.mistakes(text, FEES, TIDES, more=(WELL,)) == [
        "3: channels.fees.most: must be more than 0, not -1",
        '4: channels.fees.every: expected a number, found text ("often")',
        "5: channels.fees.buckt: is not a known key; did you mean `bucket`?",
        "6: channels.tides: needs either `bucket` or `rope`, and not both",
    ]


def test_secrets_of_what_the_source_is_told_come_from_files_and_stay_secret(
    configuration: Configuration,
) -> None:
    file = configuration.folder / "password"
    file.write_text("hunter2")
    file.chmod(0o644)
    warnings: list[str] = []
    text = f"{DRAWN}\n    password_file = '{file}'"
    told = configuration(text, FEES, more=(WELL,), warn=warnings.append)["fees"].told
    assert told.password == "hunter2"
    assert "hunter2" not in repr(told)
    assert len(warnings) == 1
    mistakes = configuration.mistakes(f"{text}\n    rope = 'hunter2'", FEES, more=(WELL,))
    assert mistakes == ["1: channels.fees: needs either `bucket` or `rope`, and not both"]


def test_what_the_source_is_told_comes_from_the_environment_too(tmp_path: Path) -> None:
    environment = {
        "APPLIANCE_CHANNELS__FEES__SOURCE": "well",
        "APPLIANCE_CHANNELS__FEES__BUCKET": "5",
        "APPLIANCE_CHANNELS__FEES__EVERY": "2",
    }
    loaded = load(file=None, environment=environment)
    [found] = configure(catalogue(FEES, folder=tmp_path, more=(WELL,)), loaded)
    assert found.told == WellSettings(bucket="5", every=2)


def test_a_key_that_both_would_take_is_a_mistake_where_it_stands(configuration: Configuration) -> None:
    both = channel("both", source="well", Settings=WellSettings)
    text = """
        [channels.both]
        bucket = "tin"
    """
    assert configuration.mistakes(text, both, more=(WELL,)) == [
        (
            "2: channels.both.bucket: is a setting of channel `both` and of sources of kind `well`: "
            "give the channel another source, or rename the setting in the plugin of one of them"
        )
    ]
    text = """
        [channels.fees]
        source = "well"
        bucket = "tin"
    """
    every = attrs.make_class("Every", {"every": attrs.field(default=3.0, type=float)}, frozen=True)
    found = configuration(text, channel("fees", produce=produce, Settings=every), more=(WELL,))["fees"]
    assert (found.settings.every, found.told.every) == (3.0, 5.0)


@pytest.mark.parametrize(
    "text",
    [
        '[channels.fees]\nsource = "wall"\nbucket = "tin"',
        '[channels.fees]\nsource = 5\nbucket = "tin"',
        '[channels.fees]\nsource = "deep"\nbucket = "tin"\n[sources.deep]\nkind = "wall"',
        '[channels.fees]\nsource = "deep"\nbucket = "tin"\n[sources.deep]\nkind = 5',
    ],
)
def test_options_that_may_be_those_of_a_source_that_is_not_known_are_not_judged(
    configuration: Configuration, text: str
) -> None:
    [told] = configuration.mistakes(text, FEES, more=(WELL,))
    assert "bucket" not in told


def test_options_are_judged_where_the_source_is_known_and_cannot_be_opened(
    configuration: Configuration,
) -> None:
    text = '[channels.fees]\nsource = "well"\nbukkit = "tin"\n[sources.well]\ndepth = 5'
    assert [told.partition(": is")[0] for told in configuration.mistakes(text, FEES, more=(WELL,))] == [
        "1: channels.fees: needs either `bucket` or `rope`, and not both",
        "3: channels.fees.bukkit",
        "5: sources.well.depth",
    ]


@pytest.mark.parametrize(
    ("declared", "text", "durable"),
    [
        (History(), "", False),
        (History(durable=True), "", True),
        (History(durable=True), "history.durable = false", False),
        (History(), "history.durable = true", True),
        (History(), 'source = "well"\nbucket = "tin"', True),
        (History(), 'source = "well"\nbucket = "tin"\nhistory.durable = false', False),
    ],
)
def test_what_is_durable_is_the_channels_choice_or_its_sources_until_it_is_told(
    configuration: Configuration, declared: History, text: str, durable: object
) -> None:
    kept = channel("kept", produce=produce, history=declared)
    assert configuration(f"[channels.kept]\n{text}", kept, more=(WELL,))["kept"].durable is durable


# A source can make channels of names that no plugin registers.

FILLS = """
    [channels.fills]
    source = "well"
    bucket = "tin"
    mode = "state"
    message = "fill"
"""


def test_a_source_makes_a_channel_of_a_name_that_nobody_registers(configuration: Configuration) -> None:
    found = configuration(FILLS, FEES, more=(WELL,))
    assert list(found) == ["fees", "fills"]
    fills = found["fills"]
    assert fills.channel == attrs.evolve(EVENTS, name="fills", mode=Mode.STATE, message="fill", open=True)
    assert fills.told == WellSettings(bucket="tin")
    assert (fills.retention.count, fills.durable) == (9, True)
    assert fills.file == configuration.folder / "well.py"


def test_there_may_be_several_of_them_from_several_sources_of_the_kind(configuration: Configuration) -> None:
    text = """
        [sources.deep]
        kind = "well"
        [channels]
        fills = { source = "deep", bucket = "tin" }
        spills = { source = "deep", rope = "hemp" }
        others = { source = "well", rope = "hemp" }
        none = { source = "well", rope = "hemp", enabled = false }
    """
    found = configuration(text, more=(WELL,))
    assert list(found) == ["fills", "spills", "others"]
    assert found["fills"].rows is found["spills"].rows is not found["others"].rows


def test_a_name_that_is_registered_is_that_channel_whatever_its_source_could_make(
    configuration: Configuration,
) -> None:
    found = configuration(DRAWN, FEES, more=(WELL,))
    assert found["fees"].channel == attrs.evolve(FEES, open=True)


def test_applications_may_publish_into_a_channel_that_the_source_for_them_makes(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text('[channels.fills]\nsource = "publish"\n[channels.price]\nenabled = false')
    built_in = collect([builtin_folder()])
    found = {each.channel.name: each for each in configure(built_in, load(file=file, environment={}))}
    assert found.keys() == {*built_in.channels, "fills"} - {"price"}
    assert found["fills"].publishable
    assert not found["fills"].durable
    assert (found["fills"].channel.mode, found["fills"].channel.message) == (Mode.LOG, "event")


MAKER = "(or give it a `source` of kind well)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[channels.fill]", f"1: channels.fill: there is no channel `fill`; there are fees, tides {MAKER}"),
        (
            "[channels.fes]\nenabled = false",
            f"1: channels.fes: there is no channel `fes`; did you mean `fees`? {MAKER}",
        ),
        (
            '[channels.fills]\nsource = "vault"',
            f"1: channels.fills: there is no channel `fills`; there are fees, tides {MAKER}",
        ),
        (
            '[channels.fills]\nsource = "wall"',
            "2: channels.fills.source: there is no source `wall`; did you mean `well`?",
        ),
        (
            '[sources.deep]\nkind = "wall"\n[channels.fills]\nsource = "deep"',
            "2: sources.deep.kind: there is no kind of source `wall`; did you mean `well`?",
        ),
        ('[channels.fills]\nsource = "well"', "1: channels.fills: needs either `bucket` or `rope`"),
        (
            '[channels.fills]\nsource = "well"\nbukket = "tin"\nrope = "hemp"',
            "3: channels.fills.bukket: is not a known key; did you mean `bucket`?",
        ),
        (
            '[channels.Fills]\nsource = "well"\nbucket = "tin"',
            "1: channels.Fills: 'Fills' is no name for a channel",
        ),
        ("[channels.fills]\nsource = 5\nbucket = 'tin'", "2: channels.fills.source: expected text, found"),
        ("[channels.fills]\nplugin = 5", "2: channels.fills.plugin: expected text, found"),
        ("channels.fills = 5", "1: channels.fills: expected a table, found"),
    ],
)
def test_a_channel_that_cannot_be_made_is_told_with_its_line_and_what_is_right(
    configuration: Configuration, text: str, told: str
) -> None:
    sources = "\n[sources.ocean]\ndepth = 5"
    [mistake] = configuration.mistakes(text + sources, FEES, TIDES, more=(WELL,))
    assert mistake.startswith(told)


def test_a_name_that_a_missing_plugin_may_have_is_made_unless_its_options_say_otherwise(
    configuration: Configuration,
) -> None:
    text = """
        [channels.fills]
        source = "well"
        bucket = "tin"

        [channels.theirs]
        source = "well"
        bucket = "tin"
        option_of_theirs = 5
    """
    file = configuration.folder / "appliance.toml"
    file.write_text(textwrap.dedent(text))
    loaded = load(file=file, environment={})
    found = arrange(catalogue(folder=configuration.folder, more=(WELL,)), loaded, complete=False)
    assert (list(found.places), found.complaints) == (["fills"], ())


# What is arranged again keeps what did not change.


@attrs.frozen(eq=False)
class Unequal:
    most: int = 1


class Arranging:
    """Arranges the same channels again and again, by another configuration."""

    def __init__(self, folder: Path, *channels: Channel) -> None:
        self.folder = folder
        self.catalogue = catalogue(*channels, folder=folder, more=(WELL,))
        self.now = Arrangement()

    def __call__(self, text: str = "", *, anew: bool = True) -> dict[str, Configured]:
        file = self.folder / "appliance.toml"
        file.write_text(text, encoding="utf-8")
        loaded = load(file=file, environment={})
        self.now = arrange(self.catalogue, loaded, before=self.now, anew=anew)
        return self.now.channels

    def complaints(self, about: str) -> list[Complaint]:
        return [each for each in self.now.complaints if each.about == about]


FILLED = "channels.fills = { source = 'well', bucket = 'tin' }\n"
UNEQUAL = channel("unequal", produce=produce, Settings=Unequal)
DEEP = "[sources.ocean]\ndepth = 5\n"


@pytest.mark.parametrize("anew", [True, False])
def test_what_did_not_change_is_the_same_object(tmp_path: Path, *, anew: bool) -> None:
    arranging = Arranging(tmp_path, FEES, TIDES, UNEQUAL)
    before = arranging(FILLED + DEEP)
    after = arranging(FILLED + DEEP, anew=anew)
    assert all(after[name] is before[name] for name in ("fees", "tides", "unequal", "fills"))


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (f"{DEEP}[channels.fees]\nmost = 5", {"fees"}),
        (f"{DEEP}[channels.fees]\nhistory.count = 5", {"fees"}),
        (f"{DEEP}[channels.fees]\nstale_after = 5", {"fees"}),
        (f"{DEEP}[channels.fees]\nmode = 'state'", {"fees"}),
        (f"{DEEP}[channels.fees]\nhistory.durable = true", {"fees"}),
        (f"{DEEP}[channels.fills]\nsource = 'well'\nbucket = 'oak'", {"fills"}),
        (f"{DEEP}[channels.fills]\nsource = 'well'\nbucket = 'tin'", set()),
        ("[sources.ocean]\ndepth = 6", {"tides", "waves"}),
        (f"{DEEP}[sources.lake]\nkind = 'ocean'\ndepth = 1\n[channels.tides]\nsource = 'lake'", {"tides"}),
    ],
)
def test_only_what_changed_is_another_object(tmp_path: Path, text: str, changed: set[str]) -> None:
    arranging = Arranging(tmp_path, FEES, TIDES, WAVES)
    before = arranging(FILLED + DEEP)
    after = arranging(text if "fills" in text else FILLED + text)
    assert {name for name in after if after[name] is not before[name]} == changed


def test_another_source_of_a_kind_is_opened_anew_for_all_its_channels(tmp_path: Path) -> None:
    arranging = Arranging(tmp_path, FEES, TIDES, WAVES)
    before = arranging(DEEP)
    arranging.catalogue.sources["ocean"] = Source(kind="ocean", open=Ocean, Settings=OceanSettings)
    after = arranging(DEEP, anew=False)
    assert {name for name in after if after[name] is not before[name]} == {"tides", "waves"}
    assert after["tides"].rows is after["waves"].rows is not before["tides"].rows


def test_what_a_file_holds_that_settings_name_is_seen_when_they_are_filled_anew(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("one")
    password.chmod(0o600)
    arranging = Arranging(tmp_path, channel("safe", source="vault"))
    text = f"[sources.vault]\npassword_file = '{password}'"
    before = arranging(text)
    password.write_text("two")
    assert arranging(text, anew=False)["safe"] is before["safe"]
    assert arranging(text)["safe"] is not before["safe"]


def test_what_a_file_holds_that_the_source_is_told_of_is_seen_too(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("one")
    password.chmod(0o600)
    arranging = Arranging(tmp_path)
    text = f"[channels.fills]\nsource = 'well'\nbucket = 'tin'\npassword_file = '{password}'"
    before = arranging(text)
    password.write_text("two")
    assert arranging(text, anew=False)["fills"] is before["fills"]
    assert arranging(text)["fills"].told.password == "two"


def test_a_plugin_that_registers_the_name_takes_the_place_of_what_a_source_made_and_gives_it_back(
    tmp_path: Path,
) -> None:
    arranging = Arranging(tmp_path)
    made = arranging(FILLED)["fills"]
    fills = channel("fills", produce=produce)
    arranging.catalogue.channels["fills"] = fills
    registered = arranging(FILLED, anew=False)["fills"]
    assert registered.channel == attrs.evolve(fills, open=True)
    assert registered.told == WellSettings(bucket="tin")
    del arranging.catalogue.channels["fills"]
    assert arranging(FILLED, anew=False)["fills"].channel == made.channel
    assert arranging("") == {}


def test_another_version_of_a_source_makes_its_channels_anew(tmp_path: Path) -> None:
    arranging = Arranging(tmp_path, FEES)
    before = arranging(FILLED)
    arranging.catalogue.sources["well"] = attrs.evolve(WELL, durable=False)
    after = arranging(FILLED, anew=False)
    assert {name for name in after if after[name] is not before[name]} == {"fills"}
    assert not after["fills"].durable


def test_what_is_wrong_is_left_out_and_complained_of(tmp_path: Path) -> None:
    arranging = Arranging(tmp_path, FEES, TIDES, WAVES, channel("sad", source="unlucky"))
    found = arranging("[channels.fees]\nmost = -1\n[channels.waves]\nsource = 'ocaen'\n")
    assert found == {}
    [fees], [waves] = arranging.complaints("channels.fees"), arranging.complaints("channels.waves")
    assert "appliance.toml:2: channels.fees.most: must be more than 0" in str(fees)
    assert "there is no source `ocaen`; did you mean `ocean`?" in str(waves)
    assert "sources.ocean.depth: is required" in str(arranging.complaints("channels.tides")[0])
    assert "unlucky.py: OSError: no luck" in str(arranging.complaints("channels.sad")[0])
