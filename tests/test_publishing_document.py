"""Runs the examples of docs/publishing.md, and holds its lists against the code."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest
import trio

from appliance import broadcast
from appliance.edge.certificates import ensure
from appliance.edge.http import publish
from appliance.edge.tls import server_context
from appliance.loading.catalogue import collect
from appliance.loading.configured import configure
from appliance.loading.files import builtin_folder
from appliance.runtime import intake, submission
from appliance.runtime.within import Within
from appliance.settings.load import load
from appliance.settings.tree import PublishSettings
from appliance.testing import record
from tests.edge.http.publishing import COUNTS, Office, elsewhere
from tests.edge.stage import PATIENCE
from tests.runtime.intaking import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio.testing import MockClock

BLOCK = re.compile(r"^<!-- (\S+) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEY = "sk_of_the_model"


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "publishing.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the page."""
    folder = tmp_path_factory.mktemp("page")
    for name, _, text in BLOCK.findall(page):
        if "." in name:
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def office(folder: Path) -> Iterator[Office]:
    """A server as the page configures it, on TLS."""
    pair = ensure(folder, names=(), valid=30 * 86_400.0, renew_before=86_400.0, now=time.time())
    loaded = load(file=folder / "publish.toml", environment={})
    channels = configure(collect([builtin_folder()]), loaded)
    scene = Scene(channels=channels, settings=loaded.settings.publish)
    context = server_context(pair.certificate, pair.key)
    with elsewhere(Office(scene, tls=context, entries=loaded.settings.auth.keys)) as office:
        yield office


def shape(value: Any) -> Any:
    """What stays the same from run to run."""
    if isinstance(value, dict):
        return {name: "…" if name in {"epoch", "offset"} else shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else value


def section(page: str, heading: str) -> str:
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def first_column(text: str) -> list[str]:
    return re.findall(r"^\| `?([\w.]+)\b.*?`? \|", text, re.MULTILINE)


def test_each_request_gets_its_answer(page: str, folder: Path, office: Office) -> None:
    examples = [(name, text) for name, _, text in BLOCK.findall(page) if name in {"request", "answer"}]
    assert [name for name, _ in examples] == ["request", "answer"] * (len(examples) // 2)
    for (_, request), (_, answer) in zip(examples[::2], examples[1::2], strict=True):
        assert "https://localhost:8443/" in request
        done = subprocess.run(
            ["sh", "-c", request.replace("https://localhost:8443", office.url)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        assert shape(json.loads(done.stdout)) == shape(json.loads(answer))


def test_the_application_publishes(root: Path, folder: Path, office: Office) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "application.py"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "APPLIANCE_URL": office.url,
            "APPLIANCE_KEY": KEY,
            "APPLIANCE_CERTIFICATE": "certificate.pem",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{COUNTS['total']} ['predictions', 'alerts']\n"
    newest = {
        name: msgspec.json.decode(entry.body)
        for name in ("predictions:AAPL", "price:AAPL", "alerts:all")
        if (entry := office.scene.hub.topic(name).latest) is not None
    }
    assert newest["predictions:AAPL"]["confidence"] == 0.85
    assert newest["price:AAPL"]["price"] == 149.5
    assert newest["alerts:all"]["severity"] == "high"


async def test_the_plugin_publishes(folder: Path, autojump_clock: MockClock) -> None:
    catalogue = collect([builtin_folder(), folder / "plugins"])
    channels = configure(catalogue, load(file=folder / "publish.toml", environment={}))
    scene = Scene(channels=channels)
    with broadcast.inside(Within(scene.intake, lambda: COUNTS)):
        beats = await record(catalogue.channels["pulse"], seconds=20.5)
    assert [event.data["beat"] for event in beats] == list(range(21))
    assert autojump_clock.current_time() >= 20.5
    assert [alert["message"] for alert in scene.published("alerts:type:pulse")] == [
        "beat 0",
        "beat 10",
        "beat 20",
    ]


def test_every_status_is_told(page: str) -> None:
    used = {
        HTTPStatus[name].value for name in re.findall(r"HTTPStatus\.([A-Z_]+)", inspect.getsource(publish))
    }
    assert {int(status) for status in first_column(section(page, "Answers")) if status.isdigit()} == used | {
        405
    }


def test_every_field_of_an_event_is_told(page: str) -> None:
    told = [name for name in first_column(section(page, "An event")) if name != "Field"]
    scene = Scene()

    async def answer() -> str:
        with pytest.raises(submission.RefusedError) as caught:
            await scene.intake.take(submission.Submission(events=[{"nothing": 1}]), Everybody())
        return str(caught.value)

    assert f"it has {', '.join(told)};" in trio.run(answer)


@attrs.frozen
class Everybody:
    name: str = "everybody"

    def may_publish(self, _channel: str) -> bool:
        return True


def test_every_function_is_told(page: str) -> None:
    text = section(page, "From Python")
    told = dict(re.findall(r"^\| `([\w.]+)\((.*?)\)` \|", text, re.MULTILINE))
    named = {
        **{
            name: getattr(broadcast, name)
            for name in ("broadcast_prediction_update", "broadcast_market_data", "send_alert", "publish")
        },
        **{
            f"connection_manager.{name}": getattr(broadcast.connection_manager, name)
            for name in ("get_connection_count", "get_channels")
        },
    }
    assert told == {name: ", ".join(inspect.signature(what).parameters) for name, what in named.items()}
    parameters = inspect.signature(broadcast.configure).parameters
    assert f"configure(url, key=…, certificate=…, timeout={parameters['timeout'].default})" in text
    assert list(parameters) == ["url", "key", "certificate", "timeout"]
    variables = set(re.findall(r"APPLIANCE_\w+", inspect.getsource(broadcast)))
    assert set(re.findall(r"^\| `(APPLIANCE_\w+)`", text, re.MULTILINE)) == variables


def test_the_bounds_are_told(page: str) -> None:
    assert f"{intake.MOST_PLACES:,} places" in page
    assert f"up to {submission.MOST_FLAWS} of them" in page
    told = set(re.findall(r"`publish\.(\w+)`", page))
    assert told == {field.name for field in attrs.fields(PublishSettings)}


def test_what_the_page_links_to_is_there(page: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page)
    assert [link for link in links if not (root / "docs" / link).exists()] == []
    headings = {
        f"#{heading.lower().replace(' ', '-').replace(',', '')}"
        for heading in re.findall(r"(?m)^## (.+)$", page)
    }
    assert set(re.findall(r"\]\((#[^)]+)\)", page)) == headings
