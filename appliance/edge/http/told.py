"""What the endpoints say of themselves that tell of the appliance, and the files of the page.

Must not know how they answer.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from appliance.dialects import parameters
from appliance.edge.description.operation import JSON, Answer, Operation, answered, asked
from appliance.edge.http import bodies

if TYPE_CHECKING:
    from appliance.edge.description.operation import Audience

SYMBOL = parameters.text("symbol", "The newest of this symbol", spelled=str.upper)


def health(_: Audience) -> Operation:
    return Operation(
        name="health",
        summary="Whether the process answers",
        tag="status",
        key="nobody",
        answers=answered("It does", bodies.Health),
    )


def ready(_: Audience) -> Operation:
    kind = {JSON: bodies.Readiness}
    return Operation(
        name="readiness",
        summary="Whether new clients are well served; with a key, also what is wrong",
        tag="status",
        key="nobody",
        answers={
            HTTPStatus.OK: Answer("They are", kind),
            HTTPStatus.SERVICE_UNAVAILABLE: Answer("They are not", kind),
        },
    )


def metrics(_: Audience) -> Operation:
    text = {"type": "string"}
    kinds = {"text/plain": text, "application/openmetrics-text": text}
    return Operation(
        name="metrics",
        summary="The metrics, in the form of Prometheus or OpenMetrics",
        tag="status",
        answers={HTTPStatus.OK: Answer("The metrics, in the form that `Accept` prefers", kinds)},
        refusals={HTTPStatus.FORBIDDEN: "the key may not see them: that needs `monitor = true`"},
    )


def statistics(_: Audience) -> Operation:
    return Operation(
        name="statistics",
        summary="Counts since the start, and rates of the last minute; for who is not told of everything, a part",
        tag="status",
        answers=answered("The counts", bodies.Statistics),
    )


def socket_status(_: Audience) -> Operation:
    return Operation(
        name="socketStatus",
        summary="The status of the trading-stream system, of all channels",
        tag="status",
        answers=answered("The status", bodies.SocketStatus),
    )


def latest_prediction(_: Audience) -> Operation:
    return Operation(
        name="latestPrediction",
        summary="The newest prediction, as data-ws gives it",
        tag="rows",
        given=asked((SYMBOL,)),
        answers=answered("The newest row; or none, and an error that says so", bodies.PredictionAnswer),
    )


def document(name: str, what: str) -> Operation:
    schema: dict[str, Any] = {"type": "object"}
    return Operation(
        name=name,
        summary=f"This description, of {what}",
        about="With a key, it has names of topics that the key may read as examples.",
        tag="status",
        key="nobody",
        answers=answered("The document", schema),
    )


def file(path: str, kind: str) -> Operation:
    return Operation(
        name=re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_") or "page",
        summary="A file of the page",
        tag="page",
        key="nobody",
        answers=answered("The file", {"type": "string"}, kind),
    )
