"""The commands for what is taken back before its time: `appliance token revoke` and `revocations`."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from appliance.cli import holding, moments

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.access.revocations import Revocation, Revocations
    from appliance.settings.tree import Settings

_LONGEST = 65_536


@click.command()
@click.argument("text", metavar="[-]", required=False, type=click.Choice(["-"]))
@click.option(
    "--id", "identifier", metavar="ID", help="jti of a token, id of a key, serial number of a certificate."
)
@click.option("--principal", metavar="NAME", help="All that somebody has, by the name in the log: own/ann.")
@click.option("--all", "everybody", is_flag=True, help="All tokens, of all issuers.")
@click.option(
    "--issued-before",
    metavar="TIME",
    callback=moments.any_moment,
    help="With --principal or --all: only what was issued before this; without it, before now.",
)
@click.option(
    "--until",
    metavar="TIME",
    callback=moments.ahead,
    help="When all of it has run out anyway, so that it need be remembered no longer.",
)
@click.option("--undo", is_flag=True, help="Let it be good again.")
@holding.of_appliance
def revoke(
    text: str | None,
    config: Path | None,
    state_dir: str | None,
    *,
    undo: bool,
    until: dt.datetime | None,
    **what: Any,  # noqa: ANN401 - options, as `_target` calls them
) -> None:
    """Take back tokens, or whatever else lets somebody in, before they run out.

    With - the token itself is read from standard input. Sessions that it has opened are closed within a second, and
    nobody else's. What does not tell when it was issued counts as issued before.
    """
    from appliance.access.revocations import Revocation  # noqa: PLC0415 - help answers without loading it

    held = holding.opened(config, state_dir)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    target, issued_before = _target(text, now, **what)
    entry = Revocation(
        made=now,
        id=target.get("id"),
        principal=target.get("principal"),
        issued_before=issued_before,
        until=until or target.get("until") or _over(held.settings, target.get("principal"), issued_before),
    )
    try:
        held.revocations.change(lambda before: _changed(before, entry, undo=undo))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    held.note("revocation undone" if undo else "revoked", what=entry.told)
    click.echo(f"{entry.told} {'is good again' if undo else 'is taken back'}")


@click.command()
@holding.of_appliance
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def revocations(config: Path | None, state_dir: str | None, *, as_json: bool) -> None:
    """List what was taken back, as long as it could still be good otherwise."""
    file = holding.opened(config, state_dir).revocations
    now = dt.datetime.now(dt.UTC)
    found = [each for each in file.read().entries if not each.is_over(now)]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    for each in found:
        until = "" if each.until is None else f", remembered until {each.until.isoformat()}"
        click.echo(f"{each.told}, taken back {moments.told(each.made.timestamp(), now.timestamp())}{until}")


def _changed(before: Revocations, entry: Revocation, *, undo: bool) -> tuple[Revocations, None]:
    return (before.remove(entry.target, entry.made) if undo else before.add(entry)), None


def _target(
    text: str | None,
    now: dt.datetime,
    *,
    identifier: str | None,
    principal: str | None,
    everybody: bool,
    issued_before: dt.datetime | None,
) -> tuple[dict[str, Any], dt.datetime | None]:
    """Give what is meant, and before which moment it was issued."""
    if sum((text is not None, identifier is not None, principal is not None, everybody)) != 1:
        raise click.UsageError("name one of --id, --principal and --all, or show the token with -")
    if text is None and identifier is None:
        # Times of issue are in whole seconds: what is issued in this one may be what was stolen.
        return {"principal": principal}, issued_before or now + dt.timedelta(seconds=1)
    if issued_before is not None:
        raise click.UsageError("--issued-before goes with --principal or --all")
    return _shown() if identifier is None else {"id": identifier}, None


def _shown() -> dict[str, Any]:
    """Read a token, and give its id and when it runs out."""
    from appliance.access import jose  # noqa: PLC0415 - as above
    from appliance.access.principals import CredentialError  # noqa: PLC0415 - as above

    try:
        claims = jose.take_apart(sys.stdin.read(_LONGEST).strip()).claims
    except CredentialError as error:
        raise click.ClickException(error.why) from None
    identifier, expires = claims.get("jti"), claims.get("exp")
    if not isinstance(identifier, str):
        raise click.ClickException("the token has no jti: take back all of its owner, with --principal")
    if not isinstance(expires, int | float):
        return {"id": identifier}
    # A day is more than any clock may differ.
    return {"id": identifier, "until": dt.datetime.fromtimestamp(expires, dt.UTC) + dt.timedelta(days=1)}


def _over(settings: Settings, principal: str | None, issued_before: dt.datetime | None) -> dt.datetime | None:
    """Say when nothing that was issued before a moment is good any more: where issuers give tokens a longest life."""
    if issued_before is None:
        return None
    issuers = [
        each for each in settings.auth.tokens if principal is None or principal.startswith(f"{each.name}/")
    ]
    lives = [None if each.lifetime is None else each.lifetime + 2 * each.leeway for each in issuers]
    longest = [life for life in lives if life is not None]
    if not longest or len(longest) < len(lives):
        return None
    return issued_before + dt.timedelta(seconds=max(longest))
