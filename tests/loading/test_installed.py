from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import PluginError
from appliance.loading.installed import Installed, installed
from appliance.loading.probe import probe
from appliance.settings.load import load
from tests.loading import dropping
from tests.loading.dropping import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Install = "Callable[..., Path]"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Installs a package as pip would, with entry points."""
    site, before = tmp_path / "site", set(sys.modules)
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def install(name: str, points: str, **files: str) -> Path:
        info = site / f"{name}-1.0.dist-info"
        write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        write(info / "entry_points.txt", f"[appliance.plugins]\n{points}\n")
        for file, text in files.items():
            write(site / f"{file.replace('__', '/')}.py", text)
        return site

    yield install
    for module in set(sys.modules) - before:
        del sys.modules[module]


def test_what_packages_name_is_found_by_name(install: Callable[..., Path]) -> None:
    site = install(
        "sea", "waves = sea.waves\nfees = sea_fees:hooks", sea__init="", sea__waves="", sea_fees=""
    )
    (site / "sea" / "init.py").rename(site / "sea" / "__init__.py")
    assert list(installed()) == [
        Installed("fees", "sea_fees:hooks", site / "sea_fees.py"),
        Installed("waves", "sea.waves", site / "sea" / "waves.py"),
    ]


def test_a_module_or_what_is_in_one_may_have_the_hooks(install: Callable[..., Path]) -> None:
    text = dropping.plugin("fees")
    methods = "class Hooks:\n    @hookimpl\n    def register_channels(self): return register_channels()\n"
    install("sea", "a = one_sea\nb = two_sea:Hooks()", one_sea=text)
    site = install("more", "b = two_sea:hooks", two_sea=f"{text}\n{methods}\nhooks = Hooks()")
    one, two = (
        Installed("a", "one_sea", site / "one_sea.py"),
        Installed("b", "two_sea:hooks", site / "two_sea.py"),
    )
    for each in (one, two):
        plugin = each.load()
        assert (plugin.name, plugin.origin, plugin.file) == (each.name, "installed", each.file)
        assert [channel.name for channel in plugin.channels] == ["fees"]
        plugin.forget()
    assert "one_sea" in sys.modules, "it is a package like any other"


def test_one_that_does_not_load_is_told_with_its_package(install: Callable[..., Path]) -> None:
    site = install("sea", "fees = broken_sea", broken_sea="\n1 / 0")
    [found] = installed()
    with pytest.raises(PluginError) as caught:
        found.load()
    assert str(caught.value).startswith(f"{site}/broken_sea.py:1: ZeroDivisionError: division by zero")
    assert "the entry point 'fees' of appliance.plugins" in str(caught.value)


def test_one_that_is_not_there_is_told(install: Callable[..., Path]) -> None:
    install("sea", "fees = no_such_sea")
    [found] = installed()
    with pytest.raises(PluginError, match="No module named 'no_such_sea'"):
        found.load()


async def test_it_is_probed_as_any_other(install: Callable[..., Path]) -> None:
    install(
        "sea",
        "fees = good_sea\nwaves = bad_sea",
        good_sea=dropping.plugin("fees"),
        bad_sea="import os; os._exit(3)",
    )
    good, bad = installed()
    loaded = load(file=None, environment={})
    assert (await probe(good, loaded)).channels == ["fees"]
    with pytest.raises(PluginError, match=r"bad_sea\.py: ends the process \(status 3\)"):
        await probe(bad, loaded)
    assert "good_sea" not in sys.modules
