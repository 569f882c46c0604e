"""The bill of materials (SBOM) of the built file, in CycloneDX: what is in it, from whom, under which licence.

Must not know how the file is made. It is written here, as a library for it would be larger than what it lists; a test
holds it against the standard's schema.
"""

from __future__ import annotations

import json
import re
import uuid
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_EXPRESSION = re.compile(r"[A-Za-z0-9.+-]+( (OR|AND|WITH) [A-Za-z0-9.+-]+)*")
_BY_CLASSIFIER = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
}
_NAMESPACE = uuid.UUID("4a1b4e0c-5a3b-5d0c-9a52-6b0f3c1f6f6e")
"""Any will do, as long as it stays: the same file has the same bill."""


def write(metadata: str, report: Mapping[str, Any], *, digest: str) -> str:
    """Write the bill of a file with this SHA-256, from the appliance's own metadata and pip's report of the rest."""
    own = _headers(metadata)
    packages = sorted(
        (item["metadata"] | {"hash": _hash(item)} for item in report["install"]), key=_reference
    )
    references = {str(canonicalize_name(each["name"])): _reference(each) for each in packages}
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}",
        "version": 1,
        "metadata": {"component": _component(own | {"hash": digest}, kind="application")},
        "components": [_component(each, kind="library") for each in packages],
        "dependencies": [
            {"ref": _reference(each), "dependsOn": _needs(each.get("requires_dist", ()), references)}
            for each in (own, *packages)
        ],
    }
    return json.dumps(bill, indent=2) + "\n"


def _headers(metadata: str) -> dict[str, Any]:
    """Read a METADATA file into the form that pip reports."""
    headers = HeaderParser().parsestr(metadata)
    return {
        "name": headers["Name"],
        "version": headers["Version"],
        "summary": headers["Summary"],
        "license_expression": headers["License-Expression"],
        "requires_dist": headers.get_all("Requires-Dist", []),
    }


def _hash(item: Mapping[str, Any]) -> str:
    """Give the SHA-256 of the package's archive, which is one of those in the lock."""
    return str(item["download_info"]["archive_info"]["hashes"]["sha256"])


def _reference(package: Mapping[str, Any]) -> str:
    return f"pkg:pypi/{canonicalize_name(package['name'])}@{package['version']}"


def _component(package: Mapping[str, Any], *, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": _reference(package),
        "name": package["name"],
        "version": package["version"],
        "description": package.get("summary") or "",
        "hashes": [{"alg": "SHA-256", "content": package["hash"]}],
        "licenses": _licences(package),
        "purl": _reference(package),
    }


def _licences(package: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give an SPDX expression where the package's own words allow, else these words."""
    if expression := package.get("license_expression"):
        return [{"expression": expression}]
    words = (package.get("license") or "").strip()
    if _EXPRESSION.fullmatch(words):
        return [{"expression": words}]
    known = [_BY_CLASSIFIER[each] for each in package.get("classifier", ()) if each in _BY_CLASSIFIER]
    if known:
        return [{"expression": " OR ".join(known)}]
    return [{"license": {"name": words.partition("\n")[0]}}] if words else []


def _needs(requirements: Iterable[str], references: Mapping[str, str]) -> Sequence[str]:
    """Give those of the packed packages that one requires, on this Python and without its extras."""
    read = [Requirement(each) for each in requirements]
    names = {
        canonicalize_name(each.name)
        for each in read
        if each.marker is None or each.marker.evaluate({"extra": ""})
    }
    return sorted(references[name] for name in names if name in references)
