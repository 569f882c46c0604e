from __future__ import annotations

from typing import Any

import msgspec

from appliance.edge.description import schemas


class Inner(msgspec.Struct):
    """What is inside."""

    size: int = 1


class Optional(msgspec.Struct):
    inner: Inner | None = None


class Ping(msgspec.Struct, tag="ping"):
    pass


class Pong(msgspec.Struct, tag="pong"):
    inner: Inner


def test_each_class_has_a_name_to_which_the_others_refer() -> None:
    (found, many), parts = schemas.made([Pong, list[Inner]])
    assert found == schemas.reference("Pong")
    assert many == {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}}
    assert parts["Inner"]["description"] == "What is inside."
    assert parts["Pong"]["properties"]["inner"] == schemas.reference("Inner")


def test_names_begin_with_what_they_are_within() -> None:
    (found,), parts = schemas.made([Pong], within="ara.")
    assert found == {"$ref": "#/components/schemas/ara.Pong"}
    assert parts.keys() == {"ara.Pong", "ara.Inner"}


def test_what_no_reader_needs_is_left_out() -> None:
    (found,), parts = schemas.made([Ping | Pong])
    assert found.keys() == {"anyOf"}
    assert "required" not in schemas.made([Optional])[1]["Optional"]
    assert parts["Ping"]["required"] == ["type"]


def test_a_field_may_have_any_name() -> None:
    odd = msgspec.defstruct("Odd", [("required", list[str]), ("discriminator", dict[str, Any])])
    _, parts = schemas.made([odd])
    assert parts["Odd"]["properties"].keys() == {"required", "discriminator"}
