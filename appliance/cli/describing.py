"""From a configuration to the documents that describe what it serves.

Must not know how they are asked for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import msgspec
import trio

from appliance.core.topics import ANY, join
from appliance.edge.description.operation import Audience
from appliance.edge.http import documents
from appliance.edge.http.app import described
from appliance.runtime.turnover import Turnover
from appliance.settings.address import Address
from appliance.web.assets import assets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.cli.serving import Request
    from appliance.loading.configured import Configured


def written(request: Request, document: Literal["openapi", "asyncapi"]) -> str:
    """Write a document as its first listener would give it to who may read everything."""
    loaded = request.load()
    channels = trio.run(partial(Turnover(loaded).assemble, strict=True, warn=lambda _: None))
    settings = loaded.settings
    listen = settings.listen[0]
    audience = Audience(
        settings=settings,
        auth=listen.auth,
        certificates=listen.client_certificates != "off",
        topics=tuple(_samples(channels)),
    )
    if document == "openapi":
        content = documents.write_openapi(partial(described, assets=assets()), audience)
    else:
        address = Address.parse(listen.url)
        host = "localhost" if address.kind == "unix" else f"{address.host}:{address.port}"
        content = documents.write_asyncapi(audience, host=host, secure=address.kind == "tls")
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def _samples(channels: Iterable[Configured]) -> Iterator[str]:
    """Name a topic of each channel that says which it has."""
    for configured in channels:
        keys = (key for key in configured.channel.topics if not key.endswith(ANY))
        yield from (join(configured.channel.name, key) for key in list(keys)[:1])
