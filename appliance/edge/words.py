"""A dialect's texts, wrapped for the way they travel: what the hub asks of a form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.dialects import cryptointel

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.events import Entry
    from appliance.core.history import Topic


@attrs.frozen
class Wording:
    """A form of the cryptointel dialect with its wrapping. Equal ones share each rendered frame."""

    form: cryptointel.Form
    wrap: Callable[[bytes], bytes]

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:
        text, wrap = cryptointel.update(self.form, topic, label), self.wrap

        def render(entry: Entry) -> bytes:
            return wrap(text(entry))

        return render

    def gap(self, topic: Topic, label: str) -> Callable[[int, int], bytes]:
        text, wrap = cryptointel.gap(self.form, topic, label), self.wrap

        def render(first: int, last: int) -> bytes:
            return wrap(text(first, last))

        return render
