from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, get_args, get_type_hints

import pluggy
import pytest

from appliance import api, hookspecs

if TYPE_CHECKING:
    from collections.abc import Callable

HOOKS = [function for _, function in inspect.getmembers(hookspecs, inspect.isfunction)]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
def test_each_hook_says_what_it_returns(hook: Callable[[], object]) -> None:
    assert (hook.__doc__ or "").startswith("Return ")
    known = {**vars(inspect.getmodule(hook)), **vars(api), "Iterable": list}
    [kind] = get_args(get_type_hints(hook, known)["return"])
    assert kind in {api.Channel, api.Source}


def test_each_function_is_a_hook_for_implementations_of_the_api() -> None:
    plugin = pluggy.PluginManager("appliance")
    plugin.add_hookspecs(hookspecs)

    class Implementation:
        """A plugin may be any object with the hooks as attributes."""

    for hook in HOOKS:
        setattr(Implementation, hook.__name__, staticmethod(api.hookimpl(lambda: ["something"])))
    plugin.register(Implementation)
    plugin.check_pending()
    assert [getattr(plugin.hook, hook.__name__)() for hook in HOOKS] == [[["something"]]] * len(HOOKS)
