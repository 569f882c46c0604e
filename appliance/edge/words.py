"""A dialect's texts, wrapped for the way they travel: what the hub asks of a form.

Equal ones share each rendered frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.dialects import cryptointel, framing

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from appliance.core.events import Entry
    from appliance.core.history import Topic


@attrs.frozen
class Wording:
    """A form of the cryptointel dialect with its wrapping."""

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


@attrs.frozen
class Words:
    """A dialect's way of telling entries, as WebSocket frames, without labels and without notices of gaps.

    `teller` of `terms` gives the function from an entry to its text, which is empty where there is nothing to tell.
    """

    teller: Callable[..., Callable[[Entry], bytes]]
    terms: tuple[Hashable, ...] = ()

    def update(self, _topic: Topic, _label: str) -> Callable[[Entry], bytes]:
        tell = self.teller(*self.terms)

        def render(entry: Entry) -> bytes:
            text = tell(entry)
            return framing.text(text) if text else b""

        return render

    def gap(self, _topic: Topic, _label: str) -> Callable[[int, int], bytes]:
        return _nothing


def _nothing(_first: int, _last: int) -> bytes:
    return b""
