"""The environment variables of the replaced systems: what each of them becomes here.

Must not know which systems the configuration names, nor what goes before their variables.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from appliance.core.errors import Mistake
from appliance.settings import paths, words
from appliance.settings.access import KeySettings
from appliance.settings.address import Address
from appliance.settings.assignment import assign
from appliance.settings.environment import Applied
from appliance.settings.fields import Secret
from appliance.settings.tree import Legacy, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence


@attrs.frozen
class Variable:
    """The setting that a variable becomes, and how its text is to be read."""

    path: str
    kind: Literal["flag", "seconds", "count", "address", "key", "text", "secret"]


@attrs.frozen
class System:
    """The variables of a system. All names that begin with its prefix are its own, so that others are mistyped.

    `rows` is what the system knew by itself of the rows that it told: it holds as soon as a variable says where they
    are, as if it stood in the file where that says nothing.
    """

    prefix: str
    variables: Mapping[str, Variable]
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType({})

    def places(self) -> tuple[str, ...]:
        """Name the variables that say where the rows are."""
        return tuple(name for name, each in self.variables.items() if each.path.startswith("sources."))


_OFF: Mapping[str, Any] = MappingProxyType({"enabled": False})
_NOT_OF_DATA_WS = ("alerts", "drift", "market", "portfolio", "price", "scores", "signals", "trades")

SYSTEMS: Final[Mapping[Legacy, System]] = MappingProxyType(
    {
        "data-ws": System(
            "DATA_WS_",
            {
                "DATA_WS_BIND_ADDR": Variable("listen[0].url", "address"),
                "API_KEY": Variable("auth.keys", "key"),
                "DB_HOST": Variable("sources.postgres.host", "text"),
                "DB_PORT": Variable("sources.postgres.port", "count"),
                "DB_NAME": Variable("sources.postgres.database", "text"),
                "DB_USER": Variable("sources.postgres.user", "text"),
                "DB_PASSWORD": Variable("sources.postgres.password", "secret"),
            },
            {
                "sources": {
                    "postgres": {"database": "btc_ml_production", "user": "mltrader", "sslmode": "prefer"}
                },
                "channels": {
                    "predictions": {
                        "source": "postgres",
                        "table": "ml_predictions",
                        "key": "'BTC'",
                        "time": "time",
                    },
                    # It told of nothing else, and nothing simulated is to stand beside what is real.
                    **dict.fromkeys(_NOT_OF_DATA_WS, _OFF),
                },
            },
        ),
        "trading-stream": System(
            "WEBSOCKET_",
            {
                "WEBSOCKET_ENABLED": Variable("trading.enabled", "flag"),
                "WEBSOCKET_PING_INTERVAL": Variable("heartbeat.interval", "seconds"),
                "WEBSOCKET_PRICE_UPDATE_INTERVAL": Variable("trading.price_interval", "seconds"),
                "WEBSOCKET_PORTFOLIO_UPDATE_INTERVAL": Variable("trading.portfolio_interval", "seconds"),
                "WEBSOCKET_MAX_CONNECTIONS": Variable("limits.sessions", "count"),
            },
        ),
    }
)

_FLAGS = {"true": "true", "1": "true", "yes": "true", "false": "false", "0": "false", "no": "false"}
_NUMBER = re.compile(r"(-?)0*(\d+(?:\.\d+)?)", re.ASCII)
_WHOLE = re.compile(r"(-?)0*(\d+)", re.ASCII)


@attrs.frozen
class Inherited:
    """What the variables set, the API keys that they hold, and what should be said about them."""

    applied: Applied = attrs.Factory(Applied)
    keys: list[KeySettings] = attrs.Factory(list)
    warnings: list[str] = attrs.Factory(list)


def inherit(systems: Collection[Legacy], table: dict[str, Any], environment: Mapping[str, str]) -> Inherited:
    """Set in the table what the variables of these systems say. An empty variable counts as not set.

    The keys are left to the caller: they come to those that the configuration has in the end.
    """
    inherited = Inherited()
    given = {name: text for name, text in environment.items() if text.strip()}
    for name in systems:
        system = SYSTEMS[name]
        inherited.applied.mistakes.extend(_mistyped(name, system, given))
        if saying := [each for each in system.places() if each in given]:
            _lay_beneath(table, system, saying, inherited)
        for variable_name, variable in system.variables.items():
            if variable_name in given:
                _take(variable_name, variable, given[variable_name], table, inherited)
    return inherited


def _mistyped(name: Legacy, system: System, given: Collection[str]) -> Iterator[Mistake]:
    known = [variable for variable in system.variables if variable.startswith(system.prefix)]
    for unknown in given:
        if unknown.startswith(system.prefix) and unknown not in known:
            close = words.nearest(unknown, known)
            remedy = f"did you mean {close}?" if close else f"there are {', '.join(known)}"
            yield Mistake("", f"{name} has no variable of this name; {remedy}", unknown)


def _lay_beneath(table: dict[str, Any], system: System, saying: Sequence[str], inherited: Inherited) -> None:
    """Put what the system knew of its rows into the table, key by key, where that says nothing.

    A channel that has a source there is left as it is. `saying` are the variables that say where the rows are.
    """
    for group, named in system.rows.items():
        there = table.setdefault(group, {})
        if not isinstance(there, dict):
            continue  # which is told when the table is read
        for name, rows in named.items():
            own = there.setdefault(name, {})
            if not isinstance(own, dict):
                continue
            path = paths.joined(group, name)
            if "source" in own:
                if own["source"] != rows.get("source", own["source"]):
                    names = ", ".join(saying)
                    inherited.warnings.append(f"without effect on {path}, which has another source: {names}")
                continue
            for key, value in rows.items():
                if key not in own:
                    own[key] = value
                    inherited.applied.origins[paths.joined(path, key)] = saying[0]


def _take(name: str, variable: Variable, text: str, table: dict[str, Any], inherited: Inherited) -> None:
    """Put one variable where it belongs, or say what is wrong with it."""
    try:
        match variable.kind:
            case "key":
                inherited.keys.append(KeySettings(name=name, key=_key(text)))
            case "secret":
                text = text.removesuffix("\n").removesuffix("\r")
                _set(name, variable.path, text, table, inherited.applied)
            case "address":
                url = _url(text.strip(), table)
                if url is not None:
                    _set(name, variable.path, url, table, inherited.applied)
            case kind:
                _set(name, variable.path, _READ[kind](text.strip()), table, inherited.applied)
    except ValueError as error:
        inherited.applied.mistakes.append(Mistake(variable.path, str(error), name))


def _set(name: str, path: str, text: str, table: dict[str, Any], applied: Applied) -> None:
    steps = [str(step) for step in paths.split(path)]
    applied.origins[assign(Settings, table, steps, text, fold=False)] = name


def _flag(text: str) -> str:
    if text.lower() not in _FLAGS:
        raise ValueError(f"expected true or false (or yes or no, 1 or 0), found {_found(text)}")
    return _FLAGS[text.lower()]


def _seconds(text: str) -> str:
    found = _NUMBER.fullmatch(text)
    if not found:
        raise ValueError(f"expected a number of seconds such as 30, found {_found(text)}")
    return "".join(found.groups())


def _count(text: str) -> str:
    found = _WHOLE.fullmatch(text)
    if not found:
        raise ValueError(f"expected a whole number such as 100, found {_found(text)}")
    return "".join(found.groups())


_READ: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"flag": _flag, "seconds": _seconds, "count": _count, "text": str}
)


def _url(text: str, table: Mapping[str, Any]) -> str | None:
    """The URL of the first listener with another HOST:PORT; None where it is wrong, which is told of it."""
    match table:
        case {"listen": [{"url": str(first)}, *_]}:
            pass
        case {"listen": _}:
            return None
        case _:
            first = Settings().listen[0].url
    try:
        before = Address.parse(first)
    except ValueError:
        return None
    if before.kind == "unix":
        raise ValueError(
            f"the first listener is {before}, which has no HOST:PORT; put a tls:// or tcp:// first"
        )
    try:
        return str(Address.parse(f"{before.kind}://{text}"))
    except ValueError:
        right = "HOST:PORT such as 0.0.0.0:8443, an IPv6 address in brackets"
        raise ValueError(f"expected {right}, found {_found(text)}") from None


def _key(text: str) -> Secret:
    # A client could show no other in a header. The text stays out of the message.
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("no client can show this key: it is plain ASCII without spaces and line breaks")
    return Secret(text)


def _found(text: str) -> str:
    return words.found_text(text, str)
