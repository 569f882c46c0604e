from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from appliance.api import Source
from appliance.loading.catalogue import Catalogue
from appliance.loading.complaints import Complaints
from appliance.loading.opened import Opened, Sources, are_equal
from appliance.settings.load import load

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from appliance.api import Feed


@attrs.frozen(kw_only=True)
class OceanSettings:
    depth: int = 1


@attrs.frozen(eq=False)
class Ocean:
    settings: OceanSettings

    async def produce(self, feed: Feed, settings: object) -> None:  # noqa: ARG002 - the interface of all sources
        await trio.sleep_forever()


def unlucky(_settings: object) -> Ocean:
    raise OSError("no luck")


OCEAN = Source(kind="ocean", open=Ocean, Settings=OceanSettings)
UNLUCKY = Source(kind="unlucky", open=unlucky)


@attrs.frozen
class Coast:
    folder: Path

    def sources(
        self,
        text: str,
        *,
        before: Mapping[str, Opened] | None = None,
        anew: bool = True,
        ocean: Source = OCEAN,
    ) -> tuple[Sources, Complaints]:
        file = self.folder / "appliance.toml"
        file.write_text(text, encoding="utf-8")
        loaded = load(file=file, environment={})
        complaints = Complaints(loaded, complete=True, warn=None)
        catalogue = Catalogue(
            sources={"ocean": ocean, "unlucky": UNLUCKY},
            source_files={kind: self.folder / f"{kind}.py" for kind in ("ocean", "unlucky")},
        )
        return Sources(catalogue, loaded, complaints, before=before or {}, anew=anew), complaints


@pytest.fixture
def coast(tmp_path: Path) -> Coast:
    return Coast(tmp_path)


def test_a_source_is_opened_once_by_its_name_or_its_kind(coast: Coast) -> None:
    sources, complaints = coast.sources("[sources.lake]\nkind = 'ocean'\ndepth = 5")
    assert sources.names == {"ocean", "unlucky", "lake"}
    assert (sources.kind("lake"), sources.kind("ocean")) == ("ocean", "ocean")
    assert sources.known("lake") is sources.known("ocean") is OCEAN
    lake, ocean = sources.open("lake"), sources.open("ocean")
    assert lake is not None
    assert ocean is not None
    assert (lake.settings, ocean.settings) == (OceanSettings(depth=5), OceanSettings())
    assert sources.open("lake") is lake
    assert sources.opened == {"lake": lake, "ocean": ocean}
    assert list(complaints) == []


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        ("", "lake", "sources.lake: there is no kind of source `lake`"),
        (
            "[sources.lake]\nkind = 'ocaen'",
            "lake",
            "sources.lake.kind: there is no kind of source `ocaen`; did",
        ),
        ("[sources.ocean]\ndepth = 'deep'", "ocean", "sources.ocean.depth: expected a whole number"),
        ("", "unlucky", "OSError: no luck"),
    ],
)
def test_what_cannot_be_opened_is_complained_of_once(coast: Coast, text: str, name: str, told: str) -> None:
    sources, complaints = coast.sources(text)
    assert sources.open(name) is None
    assert sources.open(name) is None
    [complaint] = complaints.about(f"sources.{name}")
    assert told in str(complaint)
    assert sources.opened == {}


def test_a_source_whose_kind_was_lost_is_not_known_and_not_complained_of_again(coast: Coast) -> None:
    sources, complaints = coast.sources("[sources.ocean]\nkind = 5")
    assert sources.is_lost("ocean")
    assert (sources.known("ocean"), sources.open("ocean")) == (None, None)
    assert list(complaints) == []


def test_a_source_that_cannot_be_opened_is_known(coast: Coast) -> None:
    sources, _ = coast.sources("[sources.ocean]\ndepth = 'deep'")
    assert sources.known("ocean") is OCEAN
    assert sources.known("lake") is None


@pytest.mark.parametrize("anew", [True, False])
def test_a_source_as_before_is_the_same(coast: Coast, *, anew: bool) -> None:
    first, _ = coast.sources("")
    before = first.open("ocean")
    again, _ = coast.sources("", before=first.opened, anew=anew)
    assert again.open("ocean") is before
    deeper, _ = coast.sources("[sources.ocean]\ndepth = 2", before=first.opened, anew=anew)
    assert deeper.open("ocean") is not before
    newer, _ = coast.sources("", before=first.opened, anew=anew, ocean=attrs.evolve(OCEAN))
    assert newer.open("ocean") is not before


def test_settings_are_compared_by_what_they_hold() -> None:
    @attrs.frozen(eq=False)
    class Unequal:
        most: Any = 1

    assert are_equal(Unequal(), Unequal())
    assert not are_equal(Unequal(), Unequal(2))
    assert not are_equal(Unequal(), OceanSettings())
