from __future__ import annotations

import gc
import sys
import weakref
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import structlog
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.core.errors import PluginError, SettingsError
from appliance.loading import ledger
from appliance.loading.examination import Task, examine
from appliance.loading.importer import ALL
from appliance.loading.probe import probe
from appliance.runtime.turnover import Turnover
from appliance.settings.load import load
from tests.loading.dropping import logged, pack, plugin, remove, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from appliance.loading.configured import Configured
    from appliance.loading.examination import Finding
    from appliance.settings.load import Loaded

SOON = 20
"""Seconds that a stated condition may take on a busy machine."""


class Stage:
    """Stands for the roster: which channels there are, in which version, and what was done to them."""

    def __init__(self) -> None:
        self.there: dict[str, Configured] = {}
        self.done: list[str] = []
        self.fails: set[str] = set()
        self._changed = trio.Event()

    async def put(self, configured: Configured) -> None:
        await trio.lowlevel.checkpoint()
        name = configured.channel.name
        self.done.append(f"put {name}")
        self.there[name] = configured
        if name in self.fails:
            self.fails.discard(name)
            raise ValueError("no room")
        self._change()

    async def take(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        self.done.append(f"take {name}")
        del self.there[name]
        self._change()

    @property
    def versions(self) -> dict[str, Any]:
        found = {}
        for name, configured in self.there.items():
            made_by: Any = configured.channel.produce if configured.rows is None else configured.rows
            if hasattr(made_by, "version"):
                found[name] = made_by.version
        return found

    async def until(self, **versions: object) -> None:
        """Wait until just these channels of dropped-in plugins are there, in these versions."""
        with trio.fail_after(SOON):
            while self.versions != versions:
                await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@pytest.fixture
def log() -> Iterator[structlog.testing.LogCapture]:
    captured = structlog.testing.LogCapture()
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[captured])
    yield captured
    structlog.configure(processors=before)


async def here(what: Any, loaded: Loaded) -> Finding:
    """Examine as the probe does, but in this process: for what is tried many times."""
    await trio.lowlevel.checkpoint()
    finding = examine(Task(what, loaded, seconds=10, memory=2**31))
    if finding.error:
        raise PluginError(finding.error)
    return finding


@attrs.define(eq=False)
class Folder:
    """A folder of plugins, a configuration, and the turnover of both."""

    path: Path
    text: str = ""
    examine: Callable[..., Any] = here
    stage: Stage = attrs.field(factory=Stage)
    ended: dict[str, str] = attrs.field(factory=dict)
    turnover: Turnover = attrs.field(init=False)

    @property
    def plugins(self) -> Path:
        return self.path / "plugins"

    def loaded(self, *overrides: str) -> Loaded:
        file = write(self.path / "appliance.toml", f'plugins_dir = ["{self.plugins}"]\n{self.text}')
        return load(file=file, environment={}, overrides=["plugins.settle=0", *overrides])

    async def begin(self, *overrides: str) -> None:
        self.plugins.mkdir(exist_ok=True)
        self.plugins.chmod(0o755)
        self.turnover = Turnover(
            self.loaded(*overrides),
            ledger=self.path / ledger.FILE_NAME,
            conduct=self.ended.get,
            examine=self.examine,
        )
        for configured in await self.turnover.assemble(strict=False, warn=print):
            await self.stage.put(configured)
        self.stage.done.clear()

    def drop(self, name: str, text: str) -> Path:
        return write(self.plugins / name, text)

    async def serve(self, nursery: trio.Nursery) -> None:
        await nursery.start(self.turnover.run, self.stage)

    def forget(self) -> None:
        """Let go of all plugins, for among what is left of many tests each search takes long."""
        for each in self.turnover.plugins:
            each.forget()

    async def look(self) -> list[str]:
        """Look once, and give what was done."""
        self.stage.done.clear()
        await self.turnover.look()
        return list(self.stage.done)

    def state(self, name: str) -> ledger.PluginState:
        [found] = [state for state in self.turnover.states if state.file.endswith(f"/{name}")]
        return found

    def kept(self) -> dict[str, str]:
        """What `appliance plugins list` would say of this folder."""
        found = ledger.read(self.path / ledger.FILE_NAME).plugins
        return {each.file.rpartition("/")[2]: each.state for each in found if each.origin == "folder"}


BY_HAND = ("plugins.watch='no'",)
"""Look only when told to."""


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Folder]:
    """One that is looked at when told to."""
    found = Folder(tmp_path)
    await found.begin(*BY_HAND)
    async with trio.open_nursery() as nursery:
        await found.serve(nursery)
        yield found
        nursery.cancel_scope.cancel()
    found.forget()


async def test_a_new_file_is_a_new_channel_and_a_removed_one_none(folder: Folder) -> None:
    file = folder.drop("fees.py", plugin("fees", "tides"))
    assert await folder.look() == ["put fees", "put tides"]
    assert folder.state("fees.py").channels == ("fees", "tides")
    remove(file)
    assert await folder.look() == ["take fees", "take tides"]
    assert folder.kept() == {}


async def test_a_changed_file_restarts_its_channels_and_no_other(folder: Folder) -> None:
    folder.drop("fees.py", plugin("fees", "tides"))
    folder.drop("waves.py", plugin("waves"))
    await folder.look()
    folder.drop("fees.py", plugin("fees", "foam", version=2))
    assert await folder.look() == ["take tides", "put fees", "put foam"]
    assert folder.stage.versions == {"fees": 2, "foam": 2, "waves": 1}


async def test_what_is_written_again_unchanged_is_not_loaded_again(folder: Folder) -> None:
    folder.drop("fees.py", plugin("fees"))
    await folder.look()
    folder.drop("fees.py", plugin("fees"))
    assert await folder.look() == []
    assert await folder.look() == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (plugin("fees", before="1 / 0"), ":1: ZeroDivisionError: division by zero"),
        ("def broken(:\n", ":1: SyntaxError: invalid syntax"),
        ("import nothing_of_this_name\n", ":1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        (plugin("price"), ": 'price' is already registered by "),
        (plugin("fees", source="ocean"), "channels.fees.source: there is no source `ocean`"),
        (plugin("fees").replace("register_channels", "register_chanels"), "unknown hook 'register_chanels'"),
        (plugin("fees", settings="most: int"), "channels.fees.most: is required: a whole number"),
    ],
)
async def test_a_change_that_fails_leaves_what_runs(
    folder: Folder, log: structlog.testing.LogCapture, text: str, told: str
) -> None:
    file = folder.drop("fees.py", plugin("fees"))
    await folder.look()
    folder.drop("fees.py", text)
    assert await folder.look() == []
    assert await folder.look() == []
    state = folder.state("fees.py")
    assert (state.state, state.channels) == ("refused", ("fees",))
    assert state.error.startswith(str(file))
    assert told in state.error
    assert logged(log, "plugin refused") == [state.error], "once for each change"
    assert folder.kept() == {"fees.py": "refused"}
    folder.drop("fees.py", plugin("fees", version=2))
    assert await folder.look() == ["put fees"]
    assert folder.kept() == {"fees.py": "loaded"}


async def test_a_file_that_becomes_what_it_was_is_in_order_without_a_restart(folder: Folder) -> None:
    folder.drop("fees.py", plugin("fees"))
    await folder.look()
    folder.drop("fees.py", "broken")
    await folder.look()
    assert folder.kept() == {"fees.py": "refused"}
    folder.drop("fees.py", plugin("fees"))
    assert await folder.look() == []
    assert folder.kept() == {"fees.py": "loaded"}


async def test_a_refused_file_is_gone_when_it_is_removed(folder: Folder) -> None:
    remove_me = folder.drop("fees.py", "broken")
    await folder.look()
    assert folder.kept() == {"fees.py": "refused"}
    remove(remove_me)
    assert await folder.look() == []
    assert folder.kept() == {}


async def test_when_the_one_that_held_a_name_goes_the_other_comes(folder: Folder) -> None:
    first = folder.drop("a.py", plugin("fees"))
    folder.drop("b.py", plugin("fees", "waves", version=2))
    assert await folder.look() == ["put fees"]
    assert f"'fees' is already registered by {first}" in folder.state("b.py").error
    remove(first)
    assert await folder.look() == ["take fees", "put fees", "put waves"]
    assert folder.stage.versions == {"fees": 2, "waves": 2}


async def test_a_file_that_is_renamed_keeps_its_channel(folder: Folder) -> None:
    file = folder.drop("a.py", plugin("fees"))
    await folder.look()
    file.rename(folder.plugins / "b.py")
    assert await folder.look() == ["take fees", "put fees"]
    assert folder.kept() == {"b.py": "loaded"}


async def test_a_changed_source_restarts_the_channels_that_use_it(folder: Folder) -> None:
    folder.drop("ocean.py", plugin(sources=["ocean"]))
    folder.drop("tides.py", plugin("tides", source="ocean"))
    folder.drop("waves.py", plugin("waves"))
    await folder.look()
    folder.drop("ocean.py", plugin(sources=["ocean"], version=2))
    assert await folder.look() == ["put tides"]
    assert folder.stage.versions == {"tides": 2, "waves": 1}


async def test_a_source_that_others_use_cannot_be_taken_out_of_a_file(folder: Folder) -> None:
    folder.drop("ocean.py", plugin("foam", sources=["ocean"]))
    folder.drop("tides.py", plugin("tides", source="ocean"))
    await folder.look()
    folder.drop("ocean.py", plugin("foam", version=2))
    assert await folder.look() == []
    told = folder.state("ocean.py").error
    assert "channel `tides` could not go on with it: " in told
    assert "there is no source `ocean`" in told


async def test_a_source_that_goes_takes_its_channels_along_until_it_returns(folder: Folder) -> None:
    ocean = folder.drop("ocean.py", plugin(sources=["ocean"]))
    folder.drop("tides.py", plugin("tides", source="ocean"))
    await folder.look()
    remove(ocean)
    assert await folder.look() == ["take tides"]
    state = folder.state("tides.py")
    assert (state.state, state.channels) == ("incomplete", ())
    assert "there is no source `ocean`" in state.error
    folder.drop("ocean.py", plugin(sources=["ocean"], version=2))
    assert await folder.look() == ["put tides"]
    assert folder.kept() == {"ocean.py": "loaded", "tides.py": "loaded"}


async def test_one_plugin_runs_under_several_names(folder: Folder) -> None:
    folder.text = """
        [channels.fees]
        enabled = false
        [channels.fx]
        plugin = "fees"
        most = 5
        history.count = 3
    """
    # The plugin is not there yet, and so nothing can be said of its tables.
    folder.drop("fees.py", plugin("fees", settings="most: int = 1"))
    await folder.begin(*BY_HAND)
    async with trio.open_nursery() as nursery:
        await folder.serve(nursery)
        fx = folder.stage.there["fx"]
        assert (fx.channel.name, fx.settings.most, fx.retention.count) == ("fx", 5, 3)
        assert "fees" not in folder.stage.there
        folder.drop("fees.py", plugin("fees", settings="most: int = 1", version=2))
        assert await folder.look() == ["put fx"]
        folder.drop("fees.py", plugin("fees", "fx", settings="most: int = 1", version=3))
        assert await folder.look() == []
        assert "channels.fx: channel `fx` is registered by" in folder.state("fees.py").error
        remove(folder.plugins / "fees.py")
        assert await folder.look() == ["take fx"]
        nursery.cancel_scope.cancel()


async def test_settings_that_do_not_fit_are_told_with_their_line_and_can_be_put_right(folder: Folder) -> None:
    folder.text = "[sources.unused]\nkind = 'publish'\n"
    await folder.turnover.reload_all(folder.loaded(*BY_HAND))
    file = folder.drop("fees.py", plugin("fees", settings="most: int"))
    await folder.look()
    place = f"{folder.path}/appliance.toml"
    assert (
        folder.state("fees.py").error == f"{file}: {place}: channels.fees.most: is required: a whole number"
    )
    folder.text = "[channels.fees]\nmost = 5\n"
    await folder.turnover.reload_all(folder.loaded(*BY_HAND))
    await folder.stage.until(fees=1)
    assert folder.stage.there["fees"].settings.most == 5


async def test_a_channel_whose_settings_changed_starts_anew_and_no_other(folder: Folder) -> None:
    folder.drop("fees.py", plugin("fees", settings="most: int = 1"))
    folder.drop("waves.py", plugin("waves"))
    await folder.look()
    folder.stage.done.clear()
    folder.text = "[channels.fees]\nmost = 5\n"
    await folder.turnover.reload_all(folder.loaded(*BY_HAND))
    assert folder.stage.done == ["put fees"]
    assert folder.stage.there["fees"].settings.most == 5
    await folder.turnover.reload_all(folder.loaded(*BY_HAND))
    assert folder.stage.done == ["put fees"]


async def test_a_configuration_with_a_mistake_changes_nothing(folder: Folder) -> None:
    folder.drop("fees.py", plugin("fees", settings="most: int = 1"))
    await folder.look()
    folder.text = "[channels.fees]\nmost = 'much'\n[channels.fee]\n"
    folder.stage.done.clear()
    with pytest.raises(SettingsError) as caught:
        await folder.turnover.reload_all(folder.loaded(*BY_HAND))
    assert [mistake.path for mistake in caught.value.mistakes] == ["channels.fees.most", "channels.fee"]
    assert folder.stage.done == []
    assert folder.stage.there["fees"].settings.most == 1


async def test_what_is_missing_already_does_not_keep_a_configuration_from_being_taken(folder: Folder) -> None:
    ocean = folder.drop("ocean.py", plugin(sources=["ocean"]))
    folder.drop("tides.py", plugin("tides", source="ocean"))
    await folder.look()
    remove(ocean)
    await folder.look()
    folder.text = "[channels.price]\nenabled = false\n"
    folder.stage.done.clear()
    await folder.turnover.reload_all(folder.loaded(*BY_HAND))
    assert folder.stage.done == ["take price"]


async def test_another_list_of_folders_is_taken_over(folder: Folder) -> None:
    folder.drop("fees.py", plugin("fees"))
    await folder.look()
    write(folder.path / "more" / "waves.py", plugin("waves"))
    await folder.turnover.reload_all(folder.loaded(*BY_HAND, f'plugins_dir=["{folder.path}/more"]'))
    assert sorted(await folder.look()) == ["put waves", "take fees"]


async def test_a_channel_that_cannot_start_is_put_back_as_it_was(folder: Folder) -> None:
    file = folder.drop("fees.py", plugin("fees"))
    await folder.look()
    folder.stage.fails = {"waves"}
    folder.drop("fees.py", plugin("fees", "waves", version=2))
    assert await folder.look() == ["put fees", "put waves", "take waves", "put fees"]
    assert folder.stage.versions == {"fees": 1}
    assert folder.state("fees.py").error == f"{file}: channel `waves` cannot start: no room"


async def test_a_file_that_others_can_write_is_refused_until_they_cannot(folder: Folder) -> None:
    file = folder.drop("fees.py", plugin("fees"))
    await folder.look()
    file.chmod(0o666)
    assert await folder.look() == []
    assert folder.state("fees.py").error.endswith(f"run `chmod go-w {file}`")
    assert folder.stage.versions == {"fees": 1}
    file.chmod(0o644)
    assert await folder.look() == []
    assert folder.kept() == {"fees.py": "loaded"}


async def test_all_are_refused_while_others_can_write_the_folder(folder: Folder) -> None:
    folder.plugins.chmod(0o777)
    folder.drop("fees.py", plugin("fees"))
    await folder.look()
    assert f"{folder.plugins}: can be written by its group and others" in folder.state("fees.py").error
    folder.plugins.chmod(0o755)
    assert await folder.look() == ["put fees"]


async def test_a_changed_submodule_is_a_change_of_its_plugin(folder: Folder) -> None:
    write(folder.plugins / "fees" / "__init__.py", "from .rows import *\n")
    write(folder.plugins / "fees" / "rows.py", plugin("fees"))
    assert await folder.look() == ["put fees"]
    write(folder.plugins / "fees" / "rows.py", plugin("fees", version=2))
    assert await folder.look() == ["put fees"]
    assert folder.stage.versions == {"fees": 2}
    write(folder.plugins / "fees" / "notes.txt", "what the plugin writes itself is no change")
    assert await folder.look() == []
    remove(folder.plugins / "fees" / "rows.py")
    assert await folder.look() == []
    assert "No module named 'fees.rows'" in folder.state("fees").error


async def test_an_archive_brings_what_it_needs(folder: Folder) -> None:
    text = plugin("fees", before="import parts.one")
    pack(folder.plugins / "fees.zip", {"fees.py": text, "parts/one.py": "number = 1"})
    assert await folder.look() == ["put fees"]
    assert "parts" not in sys.modules
    pack(folder.plugins / "fees.zip", {"fees.py": text})
    assert await folder.look() == []
    assert "No module named 'parts'" in folder.state("fees.zip").error


async def test_what_is_replaced_is_forgotten(folder: Folder) -> None:
    before = {name for name in sys.modules if name.startswith(f"{ALL}.")}
    gone = []
    for version in range(12):
        folder.drop("fees.py", plugin("fees", version=version))
        await folder.look()
        made: Any = folder.stage.there["fees"].channel.produce
        gone.append(weakref.ref(made))
        del made
    remove(folder.plugins / "fees.py")
    await folder.look()
    assert {name for name in sys.modules if name.startswith(f"{ALL}.")} == before
    gc.collect()
    assert [reference() for reference in gone] == [None] * 12


async def test_a_quarantined_plugin_is_told_and_starts_again_when_its_file_is_written(folder: Folder) -> None:
    folder.drop("fees.py", plugin("fees"))
    await folder.look()
    folder.ended["fees"] = "it floods"
    assert await folder.look() == []
    state = folder.state("fees.py")
    assert (state.state, state.error) == ("quarantined", "channel `fees`: it floods")
    assert folder.kept() == {"fees.py": "quarantined"}
    folder.drop("fees.py", plugin("fees"))
    assert await folder.look() == ["put fees"]


async def test_a_state_keeps_the_time_at_which_it_began(folder: Folder) -> None:
    folder.drop("fees.py", plugin("fees"))
    await folder.look()
    since = folder.state("fees.py").since
    folder.drop("waves.py", plugin("waves"))
    await folder.look()
    assert folder.state("fees.py").since == since
    folder.drop("fees.py", "broken")
    await folder.look()
    assert folder.state("fees.py").since > since


async def test_everybody_is_told_which_plugins_are_in(tmp_path: Path) -> None:
    folder, told = Folder(tmp_path), list[list[str]]()
    folder.drop("fees.py", plugin("fees"))
    turnover = Turnover(
        folder.loaded(*BY_HAND),
        examine=here,
        tell=lambda plugins: told.append([each.name for each in plugins if each.origin == "folder"]),
    )
    await turnover.assemble(strict=True, warn=print)
    async with trio.open_nursery() as nursery:
        await nursery.start(turnover.run, folder.stage)
        folder.drop("waves.py", plugin("waves"))
        await turnover.look()
        await turnover.look()
        nursery.cancel_scope.cancel()
    assert told == [["fees"], ["fees", "waves"]]


async def test_the_start_has_all_there_is_and_goes_without_what_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.drop("fees.py", plugin("fees"))
    broken = folder.drop("broken.py", "1 / 0")
    clash = folder.drop("more.py", plugin("fees"))
    await folder.begin(*BY_HAND)
    assert {"price", "fees"} <= folder.stage.there.keys()
    assert [str(fault).partition(": ")[0] for fault in folder.turnover.faults] == [f"{broken}:1", str(clash)]
    async with trio.open_nursery() as nursery:
        await folder.serve(nursery)
        assert folder.stage.done == [], "all was there already"
        remove(folder.plugins / "fees.py")
        assert await folder.look() == ["take fees", "put fees"]
        nursery.cancel_scope.cancel()


async def test_a_strict_start_raises_all_that_is_wrong(tmp_path: Path) -> None:
    folder = Folder(tmp_path, text="[channels.fees]\nmost = 1\n[limits]\nsessions = 0\n")
    folder.drop("fees.py", plugin("fees"))
    broken = folder.drop("broken.py", "1 / 0")
    turnover = Turnover(folder.loaded(), examine=here)
    with pytest.raises(SettingsError) as caught:
        await turnover.assemble(strict=True, warn=print)
    told = [str(mistake) for mistake in caught.value.mistakes]
    assert [text.split(": ")[1] for text in told] == [
        "channels.fees.most",
        "limits.sessions",
        "ZeroDivisionError",
    ]
    assert told[-1].startswith(f"{broken}:1: ")


async def test_a_folder_that_is_not_there_at_the_start_is_a_fault(tmp_path: Path) -> None:
    turnover = Turnover(Folder(tmp_path).loaded(), examine=here)
    with pytest.raises(PluginError, match=r"cannot be read .* correct plugins_dir"):
        await turnover.assemble(strict=True, warn=print)


async def test_a_mistake_in_settings_stops_the_start_strict_or_not(tmp_path: Path) -> None:
    folder = Folder(tmp_path, text="[channels.fees]\nmost = 1\n")
    folder.drop("fees.py", plugin("fees"))
    with pytest.raises(SettingsError, match=r"channels\.fees\.most: is not a known key"):
        await folder.begin()


async def test_an_installed_plugin_that_is_refused_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: structlog.testing.LogCapture
) -> None:
    for name, text in (("good_sea", plugin("waves")), ("bad_sea", "1 / 0")):
        write(tmp_path / "site" / f"{name}.py", text)
        info = tmp_path / "site" / f"{name}-1.0.dist-info"
        write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        write(info / "entry_points.txt", f"[appliance.plugins]\n{name} = {name}\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    folder = Folder(tmp_path)
    await folder.begin(*BY_HAND)
    assert "waves" in folder.stage.there
    assert folder.state("good_sea.py").state == "loaded"
    assert folder.state("bad_sea.py").state == "refused"
    assert logged(log, "plugin refused") == []
    async with trio.open_nursery() as nursery:
        await folder.serve(nursery)
        assert logged(log, "plugin refused") == [folder.state("bad_sea.py").error]
        nursery.cancel_scope.cancel()
    sys.modules.pop("good_sea")


# What follows is watched, and probed in processes, as in service.


@pytest.fixture(params=["events", "looks"])
async def live(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Folder]:
    found = Folder(tmp_path, examine=probe)
    often = "1h" if request.param == "events" else "100ms"
    await found.begin(
        f"plugins.watch='{request.param}'", f"plugins.look_every='{often}'", "plugins.settle=0.2"
    )
    async with trio.open_nursery() as nursery:
        await found.serve(nursery)
        yield found
        nursery.cancel_scope.cancel()
    found.forget()


async def test_files_are_seen_as_they_come_change_and_go(live: Folder) -> None:
    live.drop("fees.py", plugin("fees"))
    await live.stage.until(fees=1)
    live.drop("fees.py", plugin("fees", version=2))
    await live.stage.until(fees=2)
    write(live.plugins / "waves" / "__init__.py", "from .rows import *\n")
    write(live.plugins / "waves" / "rows.py", plugin("waves"))
    await live.stage.until(fees=2, waves=1)
    write(live.plugins / "waves" / "rows.py", plugin("waves", version=2))
    await live.stage.until(fees=2, waves=2)
    remove(live.plugins / "waves")
    remove(live.plugins / "fees.py")
    await live.stage.until()


async def test_a_burst_of_changes_loads_the_last_one_alone(live: Folder) -> None:
    for version in range(50):
        live.drop("fees.py", plugin("fees", version=version))
        await trio.sleep(0.005)
    await live.stage.until(fees=49)
    assert live.stage.done.count("put fees") == 1


async def test_a_half_written_file_is_waited_for(live: Folder, log: structlog.testing.LogCapture) -> None:
    text = plugin("fees")
    with (live.plugins / "fees.py").open("w", encoding="utf-8") as file:
        for start in range(0, len(text), 100):
            file.write(text[start : start + 100])
            file.flush()
            await trio.sleep(0.02)
    (live.plugins / "fees.py").chmod(0o644)
    await live.stage.until(fees=1)
    assert logged(log, "plugin refused") == []


async def test_the_dance_of_an_editor_is_one_change(live: Folder) -> None:
    file = live.drop("fees.py", plugin("fees"))
    await live.stage.until(fees=1)
    live.stage.done.clear()
    draft = write(live.plugins / ".fees.py.swp", plugin("fees", version=2))
    file.rename(live.plugins / "fees.py~")
    await trio.sleep(0.05)
    draft.rename(file)
    await live.stage.until(fees=2)
    assert live.stage.done == ["put fees"]


async def test_a_file_that_flickers_is_as_it_is_in_the_end(live: Folder) -> None:
    live.drop("fees.py", plugin("fees"))
    await live.stage.until(fees=1)
    live.stage.done.clear()
    for _ in range(10):
        remove(live.plugins / "fees.py")
        await trio.sleep(0.01)
        live.drop("fees.py", plugin("fees"))
        await trio.sleep(0.01)
    live.drop("last.py", plugin("last"))
    await live.stage.until(fees=1, last=1)
    assert live.stage.done == ["put last"]


async def test_a_folder_may_vanish_and_return(tmp_path: Path, log: structlog.testing.LogCapture) -> None:
    live = Folder(tmp_path, examine=probe)
    await live.begin("plugins.look_every='200ms'", "plugins.settle=0.1")
    async with trio.open_nursery() as nursery:
        await live.serve(nursery)
        live.drop("fees.py", plugin("fees"))
        await live.stage.until(fees=1)
        away = live.plugins.rename(live.path / "away")
        await live.stage.until()
        assert [entry["event"] for entry in log.entries].count("plugins folder") == 1
        away.rename(live.plugins)
        await live.stage.until(fees=1)
        live.drop("fees.py", plugin("fees", version=2))
        await live.stage.until(fees=2)
        nursery.cancel_scope.cancel()


async def test_a_bad_file_keeps_nobody_from_anything(tmp_path: Path) -> None:
    live = Folder(tmp_path, examine=probe)
    await live.begin("plugins.settle=0", "plugins.check_within=1")
    async with trio.open_nursery() as nursery:
        await live.serve(nursery)
        longest = 0.0

        async def pulse() -> None:
            nonlocal longest
            while True:
                before = trio.current_time()
                await trio.sleep(0.01)
                longest = max(longest, trio.current_time() - before)

        nursery.start_soon(pulse)
        only_here = (
            f"import threading\nwith open({str(tmp_path / 'tries')!r}, 'a') as tries:\n    tries.write('x')\n"
            "while threading.current_thread() is not threading.main_thread():\n    pass\n"
        )
        live.drop("here.py", plugin("here", before=only_here))
        live.drop("loop.py", plugin("loop", before="while True: pass"))
        live.drop("fees.py", plugin("fees"))
        await live.stage.until(fees=1)
        with trio.fail_after(SOON):
            while len([state for state in live.turnover.states if state.state == "refused"]) < 2:  # noqa: ASYNC110 - nobody tells of states
                await trio.sleep(0.05)
        assert "loop.py:1: is not imported within 1 s (plugins.check_within)" in live.state("loop.py").error
        assert "is not imported within 1 s here, though it was in the probe" in live.state("here.py").error
        assert longest < 1, "the loop was never blocked for as long as a file loops"
        live.drop("more.py", plugin("more"))
        await live.stage.until(fees=1, more=1)
        await live.turnover.look()
        assert (tmp_path / "tries").read_text() == "xx", (
            "in the probe and here, and not with each change of others"
        )
        nursery.cancel_scope.cancel()


# Against a model: whatever happens in whatever order, what runs in the end is what the rules say.

NAMES = ("a", "b")
Text = tuple[tuple[str, ...], bool, bool, int]
"""Channels, whether it has the source, whether its channels use it, a version; a version of 0 is broken."""

TEXTS = st.tuples(
    st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(tuple),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
)
STEPS = st.lists(
    st.tuples(st.sampled_from("xyz"), st.one_of(TEXTS, TEXTS, st.none()), st.integers(0, 3)),
    min_size=4,
    max_size=16,
)
"""A file, its text or None to remove it, and whether to look then: mostly."""


@attrs.define
class Model:
    """The rules, for files that are texts: what runs, and what waits for others to change."""

    files: dict[str, Text] = attrs.field(factory=dict)
    seen: dict[str, Text] = attrs.field(factory=dict)
    runs: dict[str, Text] = attrs.field(factory=dict)
    waits: dict[str, Text] = attrs.field(factory=dict)

    def look(self) -> None:
        before = dict(self.runs)
        changed = [name for name in sorted(self.files) if self.files[name] != self.seen.get(name)]
        for name in [name for name in self.seen if name not in self.files]:
            for known in (self.seen, self.runs, self.waits):
                known.pop(name, None)
        for name in changed:
            self.seen[name] = text = self.files[name]
            self.waits.pop(name, None)
            if text[3] and self.runs.get(name) != text:
                self.bring(name, text)
        while before != self.runs:
            before = dict(self.runs)
            for name in [name for name in self.seen if name in self.waits]:
                self.bring(name, self.waits[name])

    def bring(self, name: str, text: Text) -> None:
        """Let it run if it clashes with nothing, has the source that it uses, and takes it from nobody."""
        others = [other for key, other in self.runs.items() if key != name]
        own = self.runs.get(name)
        has_source = any(other[1] for other in others)
        clashes = {channel for other in others for channel in other[0]} & set(text[0])
        clashes |= {"source"} if text[1] and has_source else set()
        lacks = text[2] and text[0] and not (text[1] or has_source)
        used = any(other[2] and other[0] for other in others)
        robs = own is not None and own[1] and not text[1] and not has_source and used
        if clashes or lacks or robs:
            self.waits[name] = text
        else:
            self.waits.pop(name, None)
            self.runs[name] = text

    def channels(self) -> dict[str, int]:
        source = [text[3] for text in self.runs.values() if text[1]]
        return {
            channel: source[0] if text[2] else text[3]
            for text in self.runs.values()
            for channel in text[0]
            if source or not text[2]
        }


def written(text: Text) -> str:
    channels, has_source, uses_source, version = text
    return plugin(
        *channels,
        sources=["sea"] if has_source else [],
        source="sea" if uses_source else None,
        version=version,
        before="" if version else "1 / 0",
    )


def modules() -> set[str]:
    """The plugins that are imported, each by the package of its modules."""
    return {name for name in sys.modules if name.startswith(f"{ALL}.") and name.count(".") == 1}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_what_runs_in_the_end_is_what_the_rules_say(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any, int]]
) -> None:
    async def main() -> None:
        folder, model, before = Folder(tmp_path_factory.mktemp("turnover")), Model(), modules()
        await folder.begin(*BY_HAND)
        async with trio.open_nursery() as nursery:
            await folder.serve(nursery)
            for name, text, look in [*steps, ("x", None, 1)]:
                path = folder.plugins / f"{name}.py"
                if text is not None:
                    model.files[name] = text
                    write(path, written(text))
                elif model.files.pop(name, None) is not None:
                    remove(path)
                if look:
                    ran, old = folder.stage.versions, dict(model.runs)
                    done = await folder.look()
                    model.look()
                    assert folder.stage.versions == model.channels()
                    assert old != model.runs or not done, "what does not change is left alone"
                    assert {f"put {name}" for name in model.channels().keys() - ran.keys()} <= set(done)
            nursery.cancel_scope.cancel()
        assert len(modules() - before) == len(folder.turnover.plugins), "nothing stays of what does not run"
        folder.forget()
        assert modules() == before

    with structlog.testing.capture_logs():
        trio.run(main)
