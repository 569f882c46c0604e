"""The command line of `appliance describe`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from appliance.cli.main import cli


@pytest.mark.parametrize("document", ["openapi", "asyncapi"])
def test_without_a_configuration_the_default_is_described(document: str) -> None:
    done = CliRunner().invoke(cli, ["describe", document, "--listen", "tls://127.0.0.1:9443"])
    assert done.exit_code == 0
    assert document in json.loads(done.stdout)
    if document == "asyncapi":
        listener = json.loads(done.stdout)["servers"]["listener"]
        assert (listener["host"], listener["protocol"]) == ("127.0.0.1:9443", "wss")


@pytest.mark.parametrize("words", [["describe"], ["describe", "everything"]])
def test_what_to_describe_is_one_of_two(words: list[str]) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert "openapi" in done.stderr
