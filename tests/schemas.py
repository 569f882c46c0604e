"""The checkers of JSON Schema, without the grammars of addresses until one is held against them.

`jsonschema` would have all of them compiled while it is imported: two seconds in each process that runs tests.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

GRAMMARS = "rfc3987_syntax"


class _Later(ModuleType):
    @staticmethod
    def is_valid_syntax(term: str, value: str) -> bool:
        return bool(importlib.import_module(GRAMMARS).is_valid_syntax(term, value))


sys.modules.setdefault(GRAMMARS, _Later(GRAMMARS))
from jsonschema import Draft7Validator, Draft202012Validator  # type: ignore[import-untyped]  # noqa: E402 - behind it

if isinstance(sys.modules[GRAMMARS], _Later):
    del sys.modules[GRAMMARS]

__all__ = ["Draft7Validator", "Draft202012Validator"]
