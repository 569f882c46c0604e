"""JSON Schema: checkers made of it, and what they find."""

from __future__ import annotations

from typing import Any

from jsonschema_rs import Draft202012Validator


def checker(schema: dict[str, Any]) -> Draft202012Validator:
    """Make one that knows the formats of texts, too."""
    return Draft202012Validator(schema, validate_formats=True)


def misfits(schema: Draft202012Validator, value: Any) -> list[str]:
    """Say where a value is not as it must be, and how."""
    return [
        f"{'.'.join(('$', *map(str, error.instance_path)))}: {error.message}"
        for error in schema.iter_errors(value)
    ]
