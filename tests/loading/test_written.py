"""What attrs and dataclasses write, in processes that have made no class yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.anew import printed

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = """
import sys
from pathlib import Path
from appliance.loading.written import kept
compiled = []
sys.addaudithook(lambda event, about: event == "compile" and compiled.append(about[1]))
"""
MAKE = """
import attrs
with kept(Path(sys.argv[1])):
    @attrs.frozen
    class Place:
        number: int
        name: str = "here"
assert (Place(1), repr(Place(1)), len({Place(1), Place(1), Place(2)})) == (Place(1), "Place(number=1, name='here')", 2)
print([name for name in compiled if "Place" in name or name == "<string>"])
"""


BY_DATACLASSES = """from dataclasses import dataclass
    def looked_at(cls):
        assert cls.__init__.__annotations__ == {"number": int, "name": str, "return": None}
        return cls
    @looked_at
    @dataclass(frozen=True)"""


def made(place: Path, *, but: tuple[str, str] = ("", ""), seed: int = 0, flag: str = "-u") -> str:
    """What a fresh process has compiled to make a class, which is another one with the text replaced."""
    code = BEGIN + MAKE.replace(*but)
    return printed(code, place, python=[flag], environment={"PYTHONHASHSEED": str(seed)})


COMPILED = "['<attrs generated methods __main__.Place>']"


def test_what_was_compiled_once_is_taken_whatever_a_process_hashes_with(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    assert made(place, seed=1) == COMPILED
    assert made(place, seed=2) == "[]"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_dataclasses_write_is_kept_too(tmp_path: Path) -> None:
    instead = ("@attrs.frozen", BY_DATACLASSES)
    assert "'<string>'" in made(tmp_path / "kept", but=instead)
    assert made(tmp_path / "kept", but=instead) == "[]"


def test_a_class_that_has_changed_is_compiled_and_the_one_before_forgotten(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    made(place)
    changed = ("attrs.frozen", "attrs.define(unsafe_hash=True)")
    assert made(place, but=changed) == COMPILED
    assert made(place, but=changed) == "[]"
    assert made(place) == COMPILED


def test_what_is_damaged_counts_for_nothing(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    made(place)
    whole = place.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"i\0\0\0\0", b"\xff" * 100):
        place.write_bytes(content)
        assert made(place) == COMPILED
        assert made(place) == "[]"


def test_where_nothing_can_be_kept_all_goes_on(tmp_path: Path) -> None:
    assert made(tmp_path / "missing" / "kept") == COMPILED
    assert made(tmp_path / "kept", flag="-B") == COMPILED
    assert list(tmp_path.iterdir()) == []


def test_both_compile_as_before_afterwards(tmp_path: Path) -> None:
    after = ("assert", "@attrs.frozen\nclass OtherPlace:\n    pass\nassert")
    made(tmp_path / "kept", but=after)
    assert "OtherPlace" in made(tmp_path / "kept", but=after)
    after = ("assert", "import dataclasses\n@dataclasses.dataclass\nclass OtherPlace:\n    pass\nassert")
    made(tmp_path / "kept", but=after)
    assert "<string>" in made(tmp_path / "kept", but=after)
