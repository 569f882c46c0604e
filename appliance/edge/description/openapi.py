"""The OpenAPI document: what the endpoints say of themselves, as others read it.

Must not know the endpoints.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import appliance
from appliance.edge.description import schemas
from appliance.edge.description.operation import JSON, NO_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from appliance.edge.description.operation import Answer, Audience, Endpoint, Given, Operation
    from appliance.edge.description.schemas import Schema

_VERSION: Final = "3.1.0"
_ABOUT = """Streams prices, predictions, signals, trades and whatever its plugins add.

Each `GET` is also answered to `HEAD`. The sockets are described by the AsyncAPI document beside this one."""
_LICENCE: Final = {"name": "MIT", "identifier": "MIT"}
_SCHEMES: Final[Mapping[str, Schema]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, or a signed token"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "token": {"type": "apiKey", "in": "query", "name": "token"},
    "api_key": {"type": "apiKey", "in": "query", "name": "api_key"},
    "key": {"type": "apiKey", "in": "query", "name": "key"},
}
_CERTIFICATE: Final = {
    "certificate": {"type": "mutualTLS", "description": "A client certificate that is known"}
}
_ALWAYS: Final = {
    HTTPStatus.BAD_REQUEST: "this is no HTTP request",
    HTTPStatus.REQUEST_TIMEOUT: "the request head did not come in time (`limits.handshake`)",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the request head is too large (`limits.head_bytes`)",
    HTTPStatus.TOO_MANY_REQUESTS: "too many requests of one address a minute (`limits.requests_per_minute`), too many"
    " connections, or too many failed log-ins",
    HTTPStatus.SERVICE_UNAVAILABLE: "too many connections, of all or of one address (`limits.connections`)",
}
"""What may be answered to any request, by who reads it before the endpoint does."""
_RETRIED: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_RETRY_AFTER: Final = {
    "Retry-After": {
        "description": "In how many seconds the same request may be served",
        "schema": {"type": "integer", "minimum": 0},
    }
}
_CHALLENGE: Final = {
    "WWW-Authenticate": {"description": "How to show a key", "schema": {"type": "string"}, "required": True}
}
_MOST_EXAMPLES = 20
_CONVERTER = re.compile(r":[a-z]+\}")


def document(endpoints: Iterable[Endpoint], audience: Audience, *, problem: type) -> dict[str, Any]:
    """Make the document for somebody; `problem` is the envelope of errors."""
    found = list(endpoints)
    kinds = [problem, *(kind for each in found for kind in _kinds(each.operation))]
    made, parts = schemas.made(kinds)
    known = {id(kind): schema for kind, schema in zip(kinds, made, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for each in found:
        told = _operation(each.operation, audience, known, problem)
        paths.setdefault(_CONVERTER.sub("}", each.path), {})[each.method.lower()] = told
    tags = sorted({each.operation.tag for each in found})
    return {
        "openapi": _VERSION,
        "info": {
            "title": "stream appliance",
            "version": appliance.__version__,
            "description": _ABOUT,
            "license": _LICENCE,
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {"schemas": parts, "securitySchemes": schemes(audience)},
    }


def schemes(audience: Audience) -> dict[str, Schema]:
    """Give the ways in which a key can be shown."""
    certificates = _CERTIFICATE if audience.certificates else {}
    return {**_SCHEMES, **certificates}


def _kinds(operation: Operation) -> Iterator[Any]:
    """Give the types that an operation names."""
    yield from operation.body
    for answer in operation.answers.values():
        yield from (kind for kind in answer.content.values() if not isinstance(kind, dict))
    if operation.refused is not None:
        yield operation.refused


def _operation(
    operation: Operation, audience: Audience, known: Mapping[int, Schema], problem: type
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": list(_security(operation, audience)),
        "parameters": [_parameter(each) for each in operation.given],
        "responses": dict(sorted(_responses(operation, known, problem).items())),
    }
    if operation.about:
        told["description"] = operation.about
    if operation.body:
        alternatives = [known[id(kind)] for kind in operation.body]
        body: dict[str, Any] = {"schema": {"anyOf": alternatives}}
        if operation.examples:
            body["examples"] = {name: {"value": value} for name, value in operation.examples.items()}
        told["requestBody"] = {"required": True, "content": {JSON: body}}
    return told


def _security(operation: Operation, audience: Audience) -> Iterator[Schema]:
    """Give alternatives, of which an empty one is to show nothing."""
    if operation.key == "nobody" or (operation.key == "listener" and audience.auth == "none"):
        return
    yield from ({name: []} for name in schemes(audience))
    if operation.key == "listener" and audience.auth == "optional":
        yield {}


def _parameter(given: Given) -> Schema:
    told: Schema = {
        "name": given.name,
        "in": given.where,
        "description": given.about,
        "required": given.required,
        "schema": dict(given.schema),
    }
    if given.where == "query" and not given.required:
        told["allowEmptyValue"] = True  # an empty text says nothing
    if given.examples:
        told["examples"] = {text: {"value": text} for text in given.examples[:_MOST_EXAMPLES]}
    return told


def _responses(operation: Operation, known: Mapping[int, Schema], problem: type) -> dict[str, dict[str, Any]]:
    refused = known[id(operation.refused or problem)]
    own = dict(operation.refusals)
    if operation.key != "nobody":
        own[HTTPStatus.UNAUTHORIZED] = NO_KEY
    told = {_code(status): _refusal(status, about, refused) for status, about in own.items()}
    told |= {_code(status): _answer(answer, known) for status, answer in operation.answers.items()}
    for status, about in _ALWAYS.items():
        code, plain = _code(status), _refusal(status, about, known[id(problem)])
        told[code] = _either(told[code], plain) if code in told else plain
    return told


def _code(status: HTTPStatus | None) -> str:
    return "default" if status is None else f"{status.value}"


def _refusal(status: HTTPStatus, about: str, schema: Schema) -> dict[str, Any]:
    headers = {
        **(_RETRY_AFTER if status in _RETRIED else {}),
        **(_CHALLENGE if status is HTTPStatus.UNAUTHORIZED else {}),
    }
    told = {"description": _sentence(about), "content": {JSON: {"schema": schema}}}
    return {**told, "headers": headers} if headers else told


def _either(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Give a response that is one of two."""
    alternatives = [each["content"][JSON]["schema"] for each in (first, second)]
    schema = alternatives[0] if alternatives[0] == alternatives[1] else {"anyOf": alternatives}
    return {
        **first,
        "description": f"{first['description']}; or {second['description'].lower()}",
        "content": {JSON: {"schema": schema}},
    }


def _answer(answer: Answer, known: Mapping[int, Schema]) -> dict[str, Any]:
    content = {
        media: {"schema": kind if isinstance(kind, dict) else known[id(kind)]}
        for media, kind in answer.content.items()
    }
    return {"description": _sentence(answer.about), "content": content}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
