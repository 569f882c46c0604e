"""The documents of a configuration, as they are written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import pytest

from appliance.cli import describing
from appliance.cli.serving import Request
from appliance.core.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def written(file: Path, document: Literal["openapi", "asyncapi"]) -> dict[str, Any]:
    request = Request(file=file, listen=(), overrides=(), state_dir=None, environment={})
    told: dict[str, Any] = json.loads(describing.written(request, document))
    return told


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "appliance.toml"
    file.write_text(
        '[[listen]]\nurl = "tcp://127.0.0.1:8080"\nauth = "optional"\n'
        '[paths]\n"/ws" = "cryptointel"\n[limits]\npage = 7\n[channels.market]\nenabled = false\n'
    )
    return file


def test_the_document_of_http_is_that_of_the_configuration(file: Path) -> None:
    told = written(file, "openapi")
    topic, *others = told["paths"]["/api/v1/topics/{topic}/events"]["get"]["parameters"]
    assert "signals:all" in topic["examples"]
    assert "market:summary" not in topic["examples"]
    assert next(each for each in others if each["name"] == "limit")["schema"]["default"] == 7
    assert {} in told["paths"]["/ws/stats"]["get"]["security"]
    assert "/websocket-client.js" in told["paths"]


def test_the_document_of_the_sockets_is_that_of_the_configuration(file: Path) -> None:
    told = written(file, "asyncapi")
    assert told["servers"]["listener"]["host"] == "127.0.0.1:8080"
    assert told["servers"]["listener"]["protocol"] == "ws"
    assert all(name.startswith("cryptointel.") for name in told["channels"]["ws"]["messages"])


def test_a_wrong_configuration_is_told(file: Path) -> None:
    file.write_text("[limits]\npages = 7\n")
    with pytest.raises(SettingsError, match=r"limits\.pages"):
        written(file, "openapi")
