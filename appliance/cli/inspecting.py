"""A token looked at: what it says, whether an appliance would take it, and what its owner could do.

Must not know how that is asked for. Nothing that could be used is told: not the token, and no key.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import trio

from appliance.access import jose
from appliance.access.key_sets import KeySets
from appliance.access.principals import Credential, CredentialError
from appliance.access.tokens import Tokens, addresses
from appliance.access.views import written
from appliance.cli.moments import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from appliance.access.principals import Principal
    from appliance.settings.access import TokenSettings

_MOMENTS = {"iat": "made", "nbf": "valid from", "exp": "expires"}


@attrs.frozen(kw_only=True)
class Finding:
    """`problem` is why it would be refused; without a configuration, only what is wrong with any such token."""

    algorithm: str = ""
    key_id: str | None = None
    claims: Mapping[str, Any] = attrs.field(factory=dict)
    problem: str | None = None
    principal: Principal | None = None
    verified: bool = False


def inspect(text: str, issuers: tuple[TokenSettings, ...] | None, now: float) -> Finding:
    """Look at a token, with the issuers of a configuration if there is one."""
    try:
        token = jose.take_apart(text)
    except CredentialError as error:
        return Finding(problem=error.why)
    found = Finding(algorithm=token.algorithm, key_id=token.key_id, claims=token.claims)
    if issuers is None:
        return found
    try:
        principal = trio.run(_authenticate, text, issuers, now)
    except CredentialError as error:
        return attrs.evolve(found, problem=error.why)
    return attrs.evolve(found, principal=principal, verified=True)


async def _authenticate(text: str, issuers: tuple[TokenSettings, ...], now: float) -> Principal:
    sets = KeySets(addresses(issuers))
    known = Tokens(issuers, sets)
    async with trio.open_nursery() as nursery:  # ends once the keys that are published have been fetched
        await nursery.start(sets.run)
        nursery.cancel_scope.cancel()
    return known.authenticate(Credential(text, "message"), now)


def as_json(finding: Finding) -> str:
    principal = finding.principal
    entitled = None if principal is None else principal.entitlements
    content = {
        "algorithm": finding.algorithm,
        "key_id": finding.key_id,
        "claims": dict(finding.claims),
        "verified": finding.verified,
        "problem": finding.problem,
        "principal": None
        if principal is None or entitled is None
        else {
            "name": principal.name,
            "read": entitled.read,
            "publish": entitled.publish,
            "sessions": entitled.sessions,
            "subscriptions": entitled.subscriptions,
            "addresses": None if entitled.networks is None else [str(each) for each in entitled.networks],
            "monitor": entitled.may_monitor,
            "views": msgspec.to_builtins(written(entitled.scope)),
        },
    }
    return json.dumps(content, indent=2)


def claimed(finding: Finding, now: float) -> Iterator[str]:
    """Give the lines that tell what the token says."""
    if finding.algorithm:
        by = "" if finding.key_id is None else f", with the key {json.dumps(finding.key_id)}"
        yield f"It says that it is signed by {json.dumps(finding.algorithm)}{by}."
        width = max((len(name) for name in finding.claims), default=0)
        for name, value in finding.claims.items():
            yield f"  {_plain(name).ljust(width)}  {_said(name, value, now)}"


def as_lines(finding: Finding, now: float) -> Iterator[str]:
    yield from claimed(finding, now)
    if finding.problem is not None:
        yield f"It lets nobody in: {finding.problem}."
    elif finding.principal is None:
        yield "It was not verified: name the configuration of an appliance with --config."
    else:
        yield f"It is good, and lets in {finding.principal.name}, who"
        yield from allowed(finding.principal)


def allowed(principal: Principal) -> Iterator[str]:
    """Give the lines that tell what somebody may do."""
    entitled = principal.entitlements
    yield f"  may read          {', '.join(entitled.read) or 'nothing'}"
    yield f"  may publish into  {', '.join(entitled.publish) or 'nothing'}"
    if entitled.sessions is not None:
        yield f"  most sessions     {entitled.sessions}"
    if entitled.subscriptions is not None:
        yield f"  subscriptions     {entitled.subscriptions} of a session at most"
    if entitled.networks is not None:
        yield f"  may come from     {', '.join(map(str, entitled.networks)) or 'nowhere'}"
    for view in written(entitled.scope):
        yield f"  is shown          {view}"


def _said(name: str, value: Any, now: float) -> str:  # noqa: ANN401 - any value of JSON
    text = json.dumps(value)
    if name in _MOMENTS and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{text}: {_MOMENTS[name]} {told(value, now)}"
    return text


def _plain(name: str) -> str:
    return json.dumps(name)[1:-1]  # what a stranger wrote does not move the cursor
