"""The configuration as a tree of frozen attrs classes: one attribute, one key of the TOML file.

Must not know where values come from: files, environment and command line are read beside it.
Every attribute is made by `setting(default, doc, *validators)`; `reloads=True` marks what SIGHUP may change.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs.validators import ge, gt, le, min_len

from appliance.settings.access import AuthSettings, check_networks
from appliance.settings.address import Address
from appliance.settings.fields import Bytes, Seconds, setting
from appliance.settings.keeping import HistorySettings, StoreSettings
from appliance.settings.limits import LimitSettings, ListenLimits

Auth = Literal["required", "optional", "none"]
ClientCertificates = Literal["off", "optional", "required"]
ProxyProtocol = Literal["off", "v1", "v2", "on"]
Forwarded = Literal["x-forwarded-for", "forwarded", "off"]
UNIX = "unix"
"""What stands for who comes by a Unix socket, among networks."""


def _address(_: object, __: attrs.Attribute[str], url: str) -> None:
    Address.parse(url)


def _proxies(_: object, __: attrs.Attribute[tuple[str, ...]], networks: tuple[str, ...]) -> None:
    check_networks(each for each in networks if each != UNIX)


@attrs.frozen(kw_only=True)
class TlsSettings:
    certificate: str | None = setting(
        None, "PEM file with the certificate chain; none: a self-signed one is made and kept"
    )
    key: str | None = setting(None, "PEM file with the private key of `certificate`")
    names: tuple[str, ...] = setting((), "Further host names and addresses for the self-signed certificate")
    valid: Seconds = setting(397 * 86400.0, "How long a self-signed certificate is valid", ge(86400))
    renew_before: Seconds = setting(
        30 * 86400.0, "How long before its end a self-signed one is renewed", gt(0)
    )
    check_every: Seconds = setting(10.0, "How often certificate files are looked at for a change", gt(0))
    client_ca: str | None = setting(
        None,
        "PEM file of the authorities that may vouch for client certificates; looked at as the others are",
    )
    hsts: Seconds = setting(
        365 * 86400.0,
        "How long a browser that has come by TLS comes by TLS only (HSTS); 0: it is not told to",
        ge(0),
        reloads=True,
    )


@attrs.frozen(kw_only=True)
class ListenSettings:
    """One place to listen on, with its own policy."""

    url: str = setting(attrs.NOTHING, "`tls://HOST:PORT`, `tcp://HOST:PORT` (plain) or `unix:PATH`", _address)
    auth: Auth = setting(
        "required", "Whether clients must show a credential: required, optional or none", reloads=True
    )
    client_certificates: ClientCertificates = setting(
        "off",
        "Whether clients are asked for a certificate: off, optional or required (`tls://` alone)",
        reloads=True,
    )
    proxies: tuple[str, ...] = setting(
        (),
        'Networks of the proxies that are believed who a client is: `["10.0.0.0/8"]`; `unix`: who comes by a Unix'
        " socket",
        _proxies,
        reloads=True,
    )
    proxy_protocol: ProxyProtocol = setting(
        "off",
        "Whether those proxies begin with the PROXY protocol, and nobody else may come: `v1`, `v2`, `on` for either, or"
        " `off`",
        reloads=True,
    )
    forwarded: Forwarded = setting(
        "x-forwarded-for",
        "The header in which those proxies say who a client is: `x-forwarded-for`, `forwarded` (RFC 7239) or `off`",
        reloads=True,
    )
    origins: tuple[str, ...] = setting(
        ("*",),
        "Origins whose pages may open a socket here; `*`: any, for the key protects; `self`: the page's own",
        reloads=True,
    )
    limits: ListenLimits = setting(ListenLimits, "Limits of this listener alone", reloads=True)


@attrs.frozen(kw_only=True)
class PublishSettings:
    """What applications may send to `POST /api/v1/publish`."""

    body_bytes: Bytes = setting(1_048_576, "Largest body of a request", ge(1024), reloads=True)
    events: int = setting(1_000, "Most events of a request", ge(1), reloads=True)
    events_per_second: float = setting(
        20_000.0, "Most events a second of one principal, over all its requests", gt(0), reloads=True
    )
    bytes_per_second: Bytes = setting(
        16 * 1024**2, "Most bytes of bodies a second of one principal", ge(1024), reloads=True
    )
    burst: Seconds = setting(
        2.0,
        "How much of these rates may come at once: what they allow in so long",
        gt(0),
        le(3600),
        reloads=True,
    )
    keys: int = setting(10_000, "Idempotency keys that are remembered, the newest ones", ge(1), reloads=True)
    keys_age: Seconds = setting(86_400.0, "How long an idempotency key is remembered", gt(0), reloads=True)


@attrs.frozen(kw_only=True)
class SseSettings:
    """Server-sent events."""

    keep_alive: Seconds = setting(
        15.0,
        "Silence after which a comment is sent, for proxies that close what is quiet",
        gt(0),
        reloads=True,
    )
    retry: Seconds = setting(
        2.0, "How long a client is told to wait before it comes back", gt(0), reloads=True
    )


@attrs.frozen(kw_only=True)
class TradingSettings:
    """The trading dialect on `/ws`."""

    enabled: bool = setting(default=True, doc="Whether the trading dialect is spoken")
    price_interval: Seconds = setting(3.0, "Time between two `price_update` messages", ge(0.05), le(3600))
    portfolio_interval: Seconds = setting(
        5.0, "Time between two `portfolio_update` messages", ge(0.05), le(3600)
    )
    lull: Seconds = setting(
        1.0,
        "On a shared path: how long a client that has said nothing is told no prices and portfolios, so that one of "
        "cryptointel's has the time to say what it is; half of an interval at most",
        ge(0.0),
        le(60),
        reloads=True,
    )


@attrs.frozen(kw_only=True)
class DataWsSettings:
    """The data-ws dialect under `/api/v1/predictions`."""

    symbol: str = setting(
        "BTC", 'Symbol of clients that name none; `""`: the newest prediction of any', reloads=True
    )


Spoken = Literal["shared", "cryptointel", "trading"]
Legacy = Literal["data-ws", "trading-stream"]


def _absolute(_: object, __: attrs.Attribute[dict[str, Spoken]], paths: dict[str, Spoken]) -> None:
    for path in paths:
        if not path.startswith("/") or "?" in path or "#" in path:
            raise ValueError(f"{path!r} is no path: it begins with `/` and has no `?` or `#`")


@attrs.frozen(kw_only=True)
class HeartbeatSettings:
    interval: Seconds = setting(30.0, "How long a client may be silent before it is pinged", gt(0))
    timeout: Seconds = setting(30.0, "How long after a ping a still silent client is closed", gt(0))


@attrs.frozen(kw_only=True)
class ChannelSettings:
    """What can be said of any channel. The other keys of its table are options of its plugin, and of its source."""

    enabled: bool = setting(default=True, doc="Whether the channel exists")
    plugin: str | None = setting(
        None,
        "Registered channel that this one is another of, under a name of its own; none: the one of its name, or what"
        " its source makes of it",
    )
    source: str | None = setting(None, "Source of the rows; none: the channel's own choice")
    mode: Literal["state", "log"] | None = setting(
        None, "Whether the newest event of a topic counts, or each; none: the channel's own choice"
    )
    message: str | None = setting(
        None,
        "Type of its messages in the appliance's own protocol; none: the channel's own choice",
        min_len(1),
    )
    publish: bool | None = setting(
        None, "Whether applications may publish into it; none: when its source is `publish`"
    )
    stale_after: Seconds | None = setting(
        None,
        "Silence after which the channel is stale: clients are told, and its producer starts anew; none: never",
        gt(0),
    )
    required: bool = setting(
        default=False,
        doc="Whether the appliance is not ready (`/ready`) without it, or while it is not healthy",
    )
    history: HistorySettings = setting(HistorySettings, "What each topic keeps")
    options: dict[str, Any] = setting(
        dict, "Options of the plugin and of the source (all other keys of the table)", rest=True
    )


@attrs.frozen(kw_only=True)
class SourceSettings:
    """A source by name. The other keys of its table are the source's own settings."""

    kind: str | None = setting(None, "Kind of source; none: its name is its kind")
    options: dict[str, Any] = setting(
        dict, "The source's own settings (all other keys of the table)", rest=True
    )


@attrs.frozen(kw_only=True)
class LogSettings:
    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Least level that is written", reloads=True
    )
    format: Literal["auto", "console", "json", "journald"] = setting(
        "auto", "`auto`: console in a terminal, fields for systemd's journal (`journald`), JSON otherwise"
    )


@attrs.frozen(kw_only=True)
class AuditSettings:
    """Who was let in and who was not, and what was changed of that."""

    file: str | None = setting(
        None, "File that the audit log is added to, or `journal`, or `stderr`; none: it is part of the log"
    )
    queue: int = setting(
        10_000, "Most lines that wait to be written; past it they are lost, and counted", ge(1)
    )


@attrs.frozen(kw_only=True)
class StopSettings:
    deadline: Seconds = setting(10.0, "How long a stop may take before what is left is cut", gt(0), le(600))
    retry: Seconds = setting(5.0, "Clients are told to come back spread over this time", ge(0))


@attrs.frozen(kw_only=True)
class RestartSettings:
    """How a failed producer is started again."""

    first: Seconds = setting(0.5, "Wait before the first restart", gt(0))
    most: Seconds = setting(30.0, "Longest wait between restarts", gt(0))
    calm: Seconds = setting(60.0, "A producer that ran this long starts over with the first wait", gt(0))


@attrs.frozen(kw_only=True)
class ProducerSettings:
    """What the producers of plugins may take."""

    threads: int = setting(16, "Threads for the blocking code of all producers together", ge(1))
    watch: int = setting(
        10_000, "Events that may wait for a producer that watches other channels; past it, it fails", ge(1)
    )
    events_per_second: float = setting(
        20_000.0, "Most events a second that a producer may publish; past it, it is made to wait", gt(0)
    )
    stop_within: Seconds = setting(5.0, "How long a producer may take to stop before it is cut off", gt(0))
    blocked: Seconds = setting(
        1.0, "How long a producer may keep the loop to itself before it is interrupted", ge(0.1)
    )
    offences: int = setting(
        20,
        "A producer that so often floods within `window` is ended, quarantined; blocking the loop counts as four",
        ge(1),
    )
    window: Seconds = setting(60.0, "Time within which `offences` are counted", gt(0))
    silences: int = setting(
        20,
        "A producer that is started anew so often in a row because of `stale_after` is quarantined; 0: never, as for a"
        " market that closes",
        ge(0),
    )


@attrs.frozen(kw_only=True)
class PluginSettings:
    """How the files in `plugins_dir` are found, checked and taken up."""

    watch: Literal["events", "looks", "no"] = setting(
        "events",
        "How changed files are found: `events` of the system, `looks` alone, or `no`: at SIGHUP",
        reloads=True,
    )
    look_every: Seconds = setting(
        5.0,
        "Time between two looks at the folders, for what the system tells no events of",
        gt(0),
        reloads=True,
    )
    settle: Seconds = setting(
        0.3, "How long a changed file must lie still before it is taken up", ge(0), le(600), reloads=True
    )
    check_within: Seconds = setting(
        10.0, "How long a plugin may take to be imported and checked", gt(0), le(600), reloads=True
    )
    check_memory: Bytes = setting(
        2 * 1024**3,
        "Memory of the process in which a plugin is checked first",
        ge(64 * 1024**2),
        reloads=True,
    )
    bytes: Bytes = setting(64 * 1024**2, "Largest plugin, unpacked", ge(1024), reloads=True)


@attrs.frozen(kw_only=True)
class StatusSettings:
    every: Seconds = setting(10.0, "How often `system_status` is published", gt(0))


@attrs.frozen(kw_only=True)
class Settings:
    """The whole configuration."""

    state_dir: str | None = setting(
        None, "Folder for keys, certificates and durable histories; none: a per-user folder (XDG)"
    )
    plugins_dir: tuple[str, ...] = setting((), "Folders with plugins, beside the built-in ones", reloads=True)
    listen: tuple[ListenSettings, ...] = setting(
        (ListenSettings(url="tls://127.0.0.1:8443"),), "Where to listen", min_len(1)
    )
    auth: AuthSettings = setting(AuthSettings, "Who may connect")
    tls: TlsSettings = setting(TlsSettings, "Certificate of the `tls://` listeners")
    limits: LimitSettings = setting(LimitSettings, "Bounds")
    heartbeat: HeartbeatSettings = setting(HeartbeatSettings, "How silent clients are found")
    publish: PublishSettings = setting(PublishSettings, "What applications may publish")
    paths: dict[str, Spoken] = setting(
        {"/ws": "shared"},
        "Dialects of WebSocket paths: `cryptointel`, `trading`, or `shared` for both, told apart by their messages",
        _absolute,
    )
    sse: SseSettings = setting(SseSettings, "Server-sent events")
    trading: TradingSettings = setting(TradingSettings, "The trading dialect")
    data_ws: DataWsSettings = setting(DataWsSettings, "The data-ws dialect")
    legacy_environment: tuple[Legacy, ...] = setting(
        (), "Replaced systems whose own environment variables are read, such as `API_KEY` of `data-ws`"
    )
    producers: ProducerSettings = setting(ProducerSettings, "What the producers of plugins may take")
    plugins: PluginSettings = setting(PluginSettings, "How files in `plugins_dir` are checked and taken up")
    restart: RestartSettings = setting(RestartSettings, "How failed producers are restarted")
    store: StoreSettings = setting(StoreSettings, "What durable histories are kept in")
    status: StatusSettings = setting(StatusSettings, "The `system:status` topic")
    stop: StopSettings = setting(StopSettings, "How the appliance stops")
    log: LogSettings = setting(LogSettings, "The log")
    audit: AuditSettings = setting(AuditSettings, "The audit log")
    aliases: dict[str, dict[str, str]] = setting(
        {"price": {"bitcoin": "BTC", "ethereum": "ETH", "solana": "SOL", "cardano": "ADA"}},
        'Other names for keys, a table per channel: `[aliases.price]` with `bitcoin = "BTC"`',
    )
    sources: dict[str, SourceSettings] = setting(dict, "Sources by name", reloads=True)
    channels: dict[str, ChannelSettings] = setting(dict, "Channels by name", reloads=True)
