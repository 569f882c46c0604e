from __future__ import annotations

import json
from http import HTTPStatus

import h2.config
import h2.connection
import h2.errors
import h2.events
import h11

from appliance.edge.refusal import goaway, response


def understood(data: bytes) -> tuple[h11.Response, bytes]:
    """What a client of another make reads."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    answer = client.next_event()
    assert isinstance(answer, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert client.their_state is h11.MUST_CLOSE
    return answer, body


def test_a_refusal_is_a_whole_answer_in_the_envelope_of_all() -> None:
    answer, body = understood(response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, 'too "large" by großem'))
    assert (answer.status_code, answer.reason) == (431, b"Request Header Fields Too Large")
    headers = dict(answer.headers)
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"connection"] == b"close"
    assert json.loads(body) == {"success": False, "data": None, "error": 'too "large" by großem'}


def test_a_refusal_may_say_more_in_its_head() -> None:
    answer, _ = understood(response(HTTPStatus.UPGRADE_REQUIRED, "", {"sec-websocket-version": "13"}))
    assert dict(answer.headers)[b"sec-websocket-version"] == b"13"


def test_a_client_of_http2_understands_why_it_has_to_go() -> None:
    client = h2.connection.H2Connection(h2.config.H2Configuration())
    client.initiate_connection()
    settings, ended = client.receive_data(goaway("too many; retry_after=5.0"))
    assert isinstance(settings, h2.events.RemoteSettingsChanged)
    assert isinstance(ended, h2.events.ConnectionTerminated)
    assert ended.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
    assert ended.last_stream_id == 0
    assert ended.additional_data == b"too many; retry_after=5.0"
