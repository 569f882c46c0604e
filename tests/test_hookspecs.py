from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, get_args, get_type_hints

import pluggy
import pytest
from starlette.routing import BaseRoute

from appliance import api, hookspecs

if TYPE_CHECKING:
    from collections.abc import Callable

HOOKS = [function for _, function in inspect.getmembers(hookspecs, inspect.isfunction)]


REGISTERING = [hook for hook in HOOKS if hook.__name__.startswith("register_")]


@pytest.mark.parametrize("hook", REGISTERING, ids=lambda hook: hook.__name__)
def test_each_hook_says_what_it_returns(hook: Callable[[], object]) -> None:
    assert (hook.__doc__ or "").startswith("Return ")
    known = {**vars(inspect.getmodule(hook)), **vars(api), "Iterable": list, "BaseRoute": BaseRoute}
    [kind] = get_args(get_type_hints(hook, known)["return"])
    assert kind in {api.Channel, api.Source, BaseRoute}


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
def test_each_hook_has_a_description(hook: Callable[[], object]) -> None:
    assert (hook.__doc__ or "").startswith(("Return ", "Take note "))


def test_each_function_is_a_hook_for_implementations_of_the_api() -> None:
    plugin = pluggy.PluginManager("appliance")
    plugin.add_hookspecs(hookspecs)

    class Implementation:
        """A plugin may be any object with the hooks as attributes."""

    for hook in REGISTERING:
        setattr(Implementation, hook.__name__, staticmethod(api.hookimpl(lambda: ["something"])))
    plugin.register(Implementation)
    plugin.check_pending()
    assert [getattr(plugin.hook, hook.__name__)() for hook in REGISTERING] == [[["something"]]] * len(
        REGISTERING
    )
