"""The options that say what somebody may do."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from appliance.access.views import KeptView
from appliance.cli.granting import granting, views_of


def given(*arguments: str) -> tuple[dict[str, Any], tuple[KeptView, ...], str]:
    found: dict[str, Any] = {}
    views: list[KeptView] = []

    @click.command()
    @granting
    def command(**granted: Any) -> None:
        views.extend(views_of(granted))
        found.update(granted)

    done = CliRunner().invoke(command, arguments)
    return found, tuple(views), done.output


def test_what_is_not_said() -> None:
    found, views, _ = given()
    assert (found["read"], found["publish"], found["monitor"], views) == ((), (), None, ())


def test_what_is_shown_is_one_entry_of_its_topics() -> None:
    options = ("--hide", "a", "--hide", "b", "--fields", "c", "--only", 'x = "1"', "--rate", "0.5")
    found, views, _ = given(
        "--read", "price:*", "--no-monitor", *options, "--on", "price:BTC", "--on", "trades:*"
    )
    assert (found["read"], found["monitor"]) == (("price:*",), False)
    assert found.keys().isdisjoint({"hide", "fields", "only", "rate", "on"})
    assert views == (
        KeptView(topics=("price:BTC", "trades:*"), fields=("c",), hide=("a", "b"), only='x = "1"', rate=0.5),
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--read", "no topic"), "is no topic"),
        (("--publish", "a:b"), "is no channel"),
        (("--address", "here"), "is no network"),
        (("--hide", "a.b"), "is no field of the data"),
        (("--only", "x"), "expected a field and ="),
        (("--rate", "0"), "--rate"),
        (("--rate", "inf"), "--rate"),
        (("--hide", "a", "--on", "no topic"), "is no topic"),
        (("--on", "price:*"), "--on says what"),
    ],
)
def test_a_mistake_is_told_with_the_option(arguments: tuple[str, ...], says: str) -> None:
    found, _, output = given(*arguments)
    assert found == {}
    assert says in " ".join(output.replace("│", " ").split())
