"""No block of the documents is left out: each is run by a test, or it is said here why it is nothing to run."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.documents import (
    test_ara_document,
    test_cryptointel_document,
    test_data_ws_document,
    test_trading_stream_document,
)
from tests.e2e.documents.blocks import FOLDER, NAMES, Block, block, blocks
from tests.e2e.documents.systems import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODULES = (
    test_ara_document,
    test_cryptointel_document,
    test_data_ws_document,
    test_trading_stream_document,
)

COUNTS = {
    "ara": {"javascript": 6, "python": 3, "": 2},
    "cryptointel": {"json": 10, "javascript": 1, "jsx": 1, "bash": 1, "": 1},
    "data-ws": {"bash": 4, "json": 1, "javascript": 1, "python": 1, "": 1},
    "trading-stream": {"json": 10, "": 3, "javascript": 1, "bash": 2},
}
"""The blocks of each document, by language: those without one are addresses, and a picture."""

NOT_RUN = {
    block("data-ws", "bash", "Docker"): "it builds the old system's own image; no client does that",
    block("data-ws", "", "🔄 Data Flow"): "it is a picture",
}

WRITTEN_AT = ROOT.parent / "shared" / "spec"
"""Where the documents come from; not everywhere is that beside the checkout."""


def running_tests() -> Iterator[Callable[..., Any]]:
    for module in MODULES:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_"):
                yield function


def parameters(test: Callable[..., Any]) -> Iterator[tuple[str, list[Any]]]:
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "parametrize":
            yield mark.args[0], [*mark.args[1]]


def run_by(test: Callable[..., Any]) -> set[Block]:
    """Give the blocks that a test runs."""
    return {value for _, values in parameters(test) for value in values if isinstance(value, Block)}


@pytest.mark.parametrize("name", NAMES)
def test_every_block_is_run_or_is_nothing_to_run(name: str) -> None:
    everything = set(blocks(name))
    run = {block for test in running_tests() for block in run_by(test)}

    assert everything - run == {block for block in NOT_RUN if block.document == name}
    assert run.isdisjoint(NOT_RUN)


@pytest.mark.parametrize("name", NAMES)
def test_the_documents_have_the_blocks_that_these_tests_are_written_for(name: str) -> None:
    found = blocks(name)
    fences = (FOLDER / f"{name}.md").read_text(encoding="utf-8").count("```")

    assert Counter(block.language for block in found) == COUNTS[name]
    assert fences == 2 * len(found)


@pytest.mark.parametrize("language", ["javascript", "jsx"])
def test_every_script_runs_where_it_has_to(language: str) -> None:
    """JavaScript in Node and in Chromium, which the fixture `stage` sees to; what draws, in Chromium."""
    scripts = {block for name in NAMES for block in blocks(name) if block.language == language}
    staged = [test for test in running_tests() if "stage" in inspect.signature(test).parameters]
    shown = {test: dict(parameters(test)).get("stage", ["node", "chromium"]) for test in staged}
    wanted = ["node", "chromium"] if language == "javascript" else ["chromium"]

    assert scripts
    assert {block for test in staged if shown[test] == wanted for block in run_by(test)} >= scripts


if WRITTEN_AT.is_dir():  # only where the project is worked on: elsewhere the copies are all that there is

    @pytest.mark.parametrize("name", [*NAMES, "README"])
    def test_the_copies_are_the_documents(name: str) -> None:
        assert (FOLDER / f"{name}.md").read_bytes() == (WRITTEN_AT / f"{name}.md").read_bytes()
