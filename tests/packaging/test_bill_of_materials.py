"""What stands beside the built file: its checksum, and what it is made of."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import zipfile
from typing import TYPE_CHECKING, Any

import bill_of_materials
import pytest

import appliance

if TYPE_CHECKING:
    from pathlib import Path

OWN = "Metadata-Version: 2.4\nName: Some.Thing\nVersion: 2.0\nSummary: It does\nLicense-Expression: MIT\n"


@pytest.fixture(scope="module")
def text(zipapp: Path) -> str:
    return zipapp.with_name("appliance.cdx.json").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def bill(text: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(text)
    return read


def test_the_checksum_is_that_of_the_file(zipapp: Path) -> None:
    command = ["sha256sum", "--strict", "-c", f"{zipapp.name}.sha256"]
    done = subprocess.run(command, cwd=zipapp.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{zipapp.name}: OK\n")


def test_the_bill_keeps_to_the_standard(text: str) -> None:
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415 - seconds, in all that collect tests
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415 - as above

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"library"', '"thing"'))


def test_it_is_about_this_file(bill: dict[str, Any], zipapp: Path) -> None:
    component = bill["metadata"]["component"]
    assert (component["name"], component["version"]) == ("stream-appliance", appliance.__version__)
    assert component["hashes"] == [
        {"alg": "SHA-256", "content": hashlib.sha256(zipapp.read_bytes()).hexdigest()}
    ]
    assert component["licenses"] == [{"expression": "MIT"}]


def test_it_lists_what_is_locked_with_a_hash_of_the_lock(bill: dict[str, Any], root: Path) -> None:
    lock = (root / "packaging" / "requirements.txt").read_text(encoding="utf-8")
    entries = re.findall(r"(?m)^(\S+)==(\S+) \\\n((?:    --hash=.*\n)+)", lock)
    hashes = {f"pkg:pypi/{name}@{version}": text for name, version, text in entries}
    listed = {each["purl"]: each["hashes"][0]["content"] for each in bill["components"]}
    assert listed.keys() == hashes.keys()
    assert [purl for purl, digest in listed.items() if f"sha256:{digest}" not in hashes[purl]] == []


def test_it_lists_what_is_packed(bill: dict[str, Any], zipapp: Path) -> None:
    names = "\n".join(zipfile.ZipFile(zipapp).namelist())
    packed = re.findall(r"(?m)^site-packages/([^/]+)-([^/-]+)\.dist-info/METADATA$", names)
    listed = {(each["name"].lower().replace("-", "_"), each["version"]) for each in bill["components"]}
    assert {(name.lower(), version) for name, version in packed} - listed == {
        ("stream_appliance", appliance.__version__)
    }


def test_each_part_has_a_licence_and_none_stands_alone(bill: dict[str, Any]) -> None:
    assert [each["name"] for each in bill["components"] if not each["licenses"]] == []
    needed = {reference for each in bill["dependencies"] for reference in each["dependsOn"]}
    assert {each["bom-ref"] for each in bill["components"]} == needed


@pytest.mark.parametrize(
    ("metadata", "licences"),
    [
        ({"license_expression": "MIT OR Apache-2.0", "license": "no"}, [{"expression": "MIT OR Apache-2.0"}]),
        ({"license": "MIT"}, [{"expression": "MIT"}]),
        (
            {"license": "Apache 2.0", "classifier": ["License :: OSI Approved :: Apache Software License"]},
            [{"expression": "Apache-2.0"}],
        ),
        ({"license": "Our own words\nand many more"}, [{"license": {"name": "Our own words"}}]),
        ({"classifier": ["License :: OSI Approved :: MIT License"]}, [{"expression": "MIT"}]),
        ({}, []),
    ],
)
def test_a_licence_is_an_expression_where_that_is_sure(
    metadata: dict[str, Any], licences: list[dict[str, Any]]
) -> None:
    read = json.loads(bill_of_materials.write(OWN, report({"name": "part", **metadata}), digest="0" * 64))
    assert read["components"][0]["licenses"] == licences


def test_what_another_python_or_an_extra_needs_is_left_out() -> None:
    wanted = ["part>=1; python_version >= '3'", "old; python_version < '3'", "extra; extra == 'more'"]
    own = OWN + "".join(f"Requires-Dist: {each}\n" for each in wanted)
    packages = [{"name": name} for name in ("Part", "old", "extra")]
    read = json.loads(bill_of_materials.write(own, report(*packages), digest="0" * 64))
    own_needs = {each["ref"]: each["dependsOn"] for each in read["dependencies"]}
    assert own_needs["pkg:pypi/some-thing@2.0"] == ["pkg:pypi/part@1.0"]


def report(*packages: dict[str, Any]) -> dict[str, Any]:
    """As pip writes it."""
    archive = {"archive_info": {"hashes": {"sha256": "a" * 64}}}
    return {
        "install": [{"metadata": {"version": "1.0", **each}, "download_info": archive} for each in packages]
    }
