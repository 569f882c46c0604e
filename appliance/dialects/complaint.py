"""What an error message can say beside its code and text, whatever words a dialect has for it."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Complaint:
    """`label` is the channel that it is about; `resume` gives an epoch and an offset for each topic."""

    timestamp: str
    label: str | None = None
    retry_after: float | None = None
    resume: dict[str, tuple[str, int]] = attrs.field(factory=dict)
