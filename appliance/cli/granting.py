"""The options that say what somebody may do: of commands that make keys and tokens."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.views import KeptView


def granting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what somebody may do."""
    options = (
        click.option(
            "--read",
            multiple=True,
            metavar="PATTERN",
            callback=_checked("check_topics"),
            help="Topics that may be read, as price:* or signals:high; may be given several times.",
        ),
        click.option(
            "--publish",
            multiple=True,
            metavar="CHANNEL",
            callback=_checked("check_publish", of="access"),
            help="Channels that may be published into, * for all; likewise.",
        ),
        click.option("--sessions", type=click.IntRange(min=1), help="Most open sessions at once."),
        click.option(
            "--subscriptions", type=click.IntRange(min=1), help="Most subscriptions of one session."
        ),
        click.option(
            "--address",
            "addresses",
            multiple=True,
            metavar="NETWORK",
            callback=_checked("check_networks", of="access"),
            help="Networks that may be come from, as 10.0.0.0/8; likewise.",
        ),
        click.option(
            "--monitor/--no-monitor",
            default=None,
            help="Whether metrics and all statistics are told; without it, to who may read everything whole.",
        ),
        click.option(
            "--fields",
            multiple=True,
            metavar="FIELD",
            callback=_checked("check_fields"),
            help="Fields of the data that are shown; may be given several times. Without it, all.",
        ),
        click.option(
            "--hide",
            multiple=True,
            metavar="FIELD",
            callback=_checked("check_fields"),
            help="Fields of the data that are not shown; likewise.",
        ),
        click.option(
            "--only",
            metavar="CONDITION",
            callback=_checked("check_only"),
            help="Which events are shown, as 'account = \"A1\" and confidence >= 0.8'.",
        ),
        click.option(
            "--rate",
            type=click.FloatRange(min=0, min_open=True),
            callback=_checked("check_rate"),
            help="Most events a second of each topic that are shown.",
        ),
        click.option(
            "--on",
            multiple=True,
            metavar="PATTERN",
            callback=_checked("check_topics"),
            help="Topics that --fields, --hide, --only and --rate are about; without it, all.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def views_of(granted: dict[str, Any]) -> tuple[KeptView, ...]:
    """Take the options that say what is shown out of those of `granting`, and give what they say."""
    from appliance.access.views import KeptView  # noqa: PLC0415 - help answers without loading it

    fields, hide, only, rate, on = (granted.pop(name) for name in ("fields", "hide", "only", "rate", "on"))
    if not (fields or hide or only is not None or rate is not None):
        if on:
            raise click.UsageError(
                "--on says what --fields, --hide, --only and --rate are about: give one of them"
            )
        return ()
    return (KeptView(topics=on or ("*",), fields=fields or None, hide=hide, only=only, rate=rate),)


def _checked(check: str, *, of: str = "views") -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Make what refuses a value that the settings would refuse, by a function of one of their modules."""

    def checked(_context: click.Context, _option: click.Parameter, given: Any) -> Any:  # noqa: ANN401 - text or number
        module = importlib.import_module(f"appliance.settings.{of}")  # help answers without loading it
        try:
            if given is not None:
                getattr(module, check)(given)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        return given

    return checked
