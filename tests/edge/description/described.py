"""The documents as they are made for the tests that look at them, and schemas in them as validators."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from appliance.edge.description.operation import Audience
from appliance.edge.http import app, documents
from appliance.settings.tree import Settings
from tests import schemas
from tests.edge.promised import closed

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

ASSETS = {"/": app.Asset(b"", "text/html"), "/client.js": app.Asset(b"", "text/javascript")}


def audience(settings: Settings | None = None, **more: Any) -> Audience:
    return Audience(settings=settings or Settings(), **{"auth": "required", **more})


def openapi(settings: Settings | None = None, **more: Any) -> dict[str, Any]:
    return documents.write_openapi(partial(app.described, assets=ASSETS), audience(settings, **more))


def asyncapi(settings: Settings | None = None, **more: Any) -> dict[str, Any]:
    return documents.write_asyncapi(audience(settings, **more), host="localhost:8443", secure=True)


def checker(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Make a schema of the document one that allows no fields but those described."""
    return schemas.checker({**closed(schema), "components": closed(document["components"])})


def misfits(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """Say how a value is not what a schema of the document says."""
    return schemas.misfits(checker(document, schema), value)


def operation(document: dict[str, Any], method: str, target: str) -> dict[str, Any]:
    """Give what the document says of a request."""
    path = target.partition("?")[0]
    for template, methods in document["paths"].items():
        if re.fullmatch(re.sub(r"\{[a-z]+\}", "[^/]+", template), path):
            found: dict[str, Any] = methods[method.lower()]
            return found
    raise AssertionError(f"{path} is not described")


def answer(described: dict[str, Any], status: int) -> dict[str, Any]:
    """Give the schema of an operation's answer with this status."""
    schema: dict[str, Any] = described["responses"][f"{status}"]["content"]["application/json"]["schema"]
    return schema
