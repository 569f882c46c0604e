from __future__ import annotations

from appliance.edge.http import told
from tests.edge.description.described import audience


def test_a_file_is_named_for_its_path() -> None:
    assert told.file("/", "text/html").name == "page"
    assert told.file("/websocket-client.js", "text/javascript").name == "websocket_client_js"


def test_what_is_for_all_asks_for_no_key() -> None:
    everybody = [each(audience()) for each in (told.health, told.ready)]
    assert {each.key for each in (*everybody, told.document("a", "b"), told.file("/", "x/y"))} == {"nobody"}
    own = [each(audience()) for each in (told.metrics, told.statistics, told.socket_status)]
    assert {each.key for each in own} == {"listener"}
