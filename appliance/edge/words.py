"""A dialect's texts as WebSocket frames: what the hub asks of a form, framing included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.dialects import cryptointel, framing

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.events import Entry
    from appliance.core.history import Topic


@attrs.frozen
class Framed:
    """A form of the cryptointel dialect, framed. Equal forms share each rendered frame."""

    form: cryptointel.Form

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:
        text, frame = cryptointel.update(self.form, topic, label), framing.text

        def render(entry: Entry) -> bytes:
            return frame(text(entry))

        return render

    def gap(self, topic: Topic, label: str) -> Callable[[int, int], bytes]:
        text, frame = cryptointel.gap(self.form, topic, label), framing.text

        def render(first: int, last: int) -> bytes:
            return frame(text(first, last))

        return render
