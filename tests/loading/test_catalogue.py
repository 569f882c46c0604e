from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import PluginError
from appliance.loading import bundle, plugin
from appliance.loading.catalogue import Catalogue, collect
from appliance.loading.files import builtin_folder
from appliance.loading.importer import ALL
from tests.loading import dropping
from tests.loading.dropping import write

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.loading.plugin import Plugin


def load(file: Path) -> Plugin:
    return plugin.load(bundle.read(file, most=100_000))


def refused(*folders: Path) -> str:
    with pytest.raises(PluginError) as caught:
        collect(folders)
    return str(caught.value)


def test_what_the_plugins_of_all_folders_register_is_there(tmp_path: Path) -> None:
    file = write(tmp_path / "mine" / "fees.py", dropping.plugin("fees", sources=["tides", "waves"]))
    catalogue = collect([builtin_folder(), tmp_path / "mine"])
    assert {"price", "signals", "fees"} < catalogue.channels.keys()
    assert {"simulated", "tides", "waves"} <= catalogue.sources.keys()
    assert catalogue.channel_files["fees"] == catalogue.source_files["tides"] == file
    assert catalogue.channel_files["price"] == builtin_folder() / "price.py"


def test_no_folder_is_an_empty_catalogue() -> None:
    assert collect([]).channels == {}


def test_a_file_that_does_not_load_is_told(tmp_path: Path) -> None:
    file = write(tmp_path / "broken.py", "import nothing_of_this_name")
    assert refused(tmp_path).startswith(f"{file}:1: ModuleNotFoundError")


def test_a_file_that_others_can_write_is_not_loaded(tmp_path: Path) -> None:
    file = write(tmp_path / "plugins" / "fees.py", dropping.plugin("fees"))
    file.chmod(0o666)
    assert refused(file.parent).startswith(f"{file}: can be written by its group and others")


def test_who_asks_for_them_is_told_all_faults_and_has_the_rest(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    broken = write(mine / "broken.py", "import nothing_of_this_name")
    write(mine / "good.py", dropping.plugin("fees", "tides"))
    clash = write(mine / "later.py", dropping.plugin("waves", "tides"))
    faults: list[PluginError] = []
    catalogue = collect([tmp_path / "nowhere", mine, builtin_folder()], blame=faults.append)
    assert {"price", "fees", "tides"} < catalogue.channels.keys()
    assert "waves" not in catalogue.channels, "all of a plugin, or nothing"
    assert [str(fault).partition(" ")[0].rstrip(":") for fault in faults] == [
        str(tmp_path / "nowhere"),
        f"{broken}:1",
        str(clash),
    ]


def test_a_name_that_is_taken_is_told_with_the_owner(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py", dropping.plugin("price"))
    modules = {name for name in sys.modules if name.startswith(ALL)}
    told = f"{file}: 'price' is already registered by {builtin_folder() / 'price.py'}: rename one of them"
    faults: list[PluginError] = []
    collect([builtin_folder(), tmp_path], blame=faults.append)
    assert [str(fault) for fault in faults] == [told]
    assert not any(
        getattr(module, "__file__", None) == str(file)
        for name, module in sys.modules.items()
        if name.startswith(ALL) and name not in modules
    ), "it is forgotten"


def test_a_kind_of_source_that_is_taken_is_told_with_the_owner(tmp_path: Path) -> None:
    first = load(write(tmp_path / "one.py", dropping.plugin(sources=["tides"])))
    second = load(write(tmp_path / "two.py", dropping.plugin("waves", sources=["tides"])))
    with pytest.raises(PluginError) as caught:
        Catalogue.of([first, second])
    assert (
        str(caught.value)
        == f"{second.file}: 'tides' is already registered by {first.file}: rename one of them"
    )


def test_a_plugin_may_not_use_a_name_twice(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="'tides' is already registered by"):
        Catalogue.of([load(write(tmp_path / "one.py", dropping.plugin("tides", "tides")))])


def test_names_can_be_asked_for_before_anything_is_added(tmp_path: Path) -> None:
    catalogue = Catalogue.of([load(write(tmp_path / "one.py", dropping.plugin("tides", sources=["ocean"])))])
    catalogue.check(tmp_path / "two.py", ["ocean"], ["tides"])
    for channels, kinds in ((["tides"], []), ([], ["ocean"])):
        with pytest.raises(PluginError, match=r"two\.py: '\w+' is already registered by .*one\.py"):
            catalogue.check(tmp_path / "two.py", channels, kinds)
