"""Asks the source of each channel whether its rows can come, one after the other.

Must not know what kinds of source there are, nor judge what they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from appliance.cli.findings import Examinable
from appliance.core.errors import SourceError
from appliance.ops.doctor.sources import Answer, Facts
from appliance.settings.quantities import time_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.loading.configured import Configured


def unasked(channels: Iterable[Configured]) -> Facts:
    """Only count the channels whose sources could be asked."""
    return Facts(askable=sum(isinstance(each.rows, Examinable) for each in channels), answers=None)


async def asked(channels: Iterable[Configured], *, patience: float, tell: Callable[[str], object]) -> Facts:
    """Ask all sources that can be; each may take `patience` seconds. `tell` is given a line for each."""
    answers = []
    for each in channels:
        if isinstance(each.rows, Examinable):
            tell(f"{each.channel.name}: asking its source …")
            answers.append(await _answer(each, each.rows, patience))
    return Facts(askable=len(answers), answers=tuple(answers))


async def _answer(configured: Configured, rows: Examinable, patience: float) -> Answer:
    name = configured.channel.name
    try:
        with trio.fail_after(patience):
            found = await rows.examine(configured.told)
    except trio.TooSlowError:
        refusal = (
            f"no answer within {time_text(patience)}; see what keeps it, or give it longer with --timeout"
        )
    except SourceError as error:
        refusal = str(error)
    except Exception as error:  # noqa: BLE001 - a plugin's code may raise anything
        refusal = f"{type(error).__name__}: {error}; correct the plugin of the source"
    else:
        return Answer(channel=name, served_by_index=found.served_by_index, index=found.index)
    return Answer(channel=name, refusal=refusal)
