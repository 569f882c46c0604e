"""Sources that are asked: real tables with real faults, and a plugin that does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from structlog.testing import capture_logs

from appliance.cli.asking import asked, unasked
from appliance.ops.doctor.sources import Answer, Facts
from appliance.runtime.turnover import Turnover
from appliance.settings.load import load
from tests.cli.test_connecting import INDEX, TABLE, channel, source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from trio.testing import MockClock

    from appliance.loading.configured import Configured
    from tests.postgres import Fresh


@pytest.fixture(autouse=True)
def quiet() -> Iterator[list[Any]]:
    with capture_logs() as logs:
        yield logs


async def channels(folder: Path, *configuration: str) -> Sequence[Configured]:
    file = folder / "appliance.toml"
    file.write_text("\n".join(configuration))
    return await Turnover(load(file=file, environment={})).assemble(strict=True, warn=lambda _: None)


async def answers(found: Sequence[Configured], patience: float = 30.0) -> tuple[Answer, ...]:
    told: list[str] = []
    facts = await asked(found, patience=patience, tell=told.append)
    assert facts.answers is not None
    assert told == [f"{answer.channel}: asking its source …" for answer in facts.answers]
    return tuple(facts.answers)


async def test_a_table_with_an_index_is_good(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute(TABLE + INDEX)
    found = await channels(tmp_path, source(fresh), channel("mine"))
    [answer] = await answers(found)
    assert (answer.channel, answer.refusal, answer.served_by_index) == ("mine", "", True)


async def test_a_missing_index_is_told_with_the_statement_that_makes_it(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute(TABLE)
    found = await channels(tmp_path, source(fresh), channel("mine"))
    [answer] = await answers(found)
    assert not answer.served_by_index
    fresh.execute(answer.index)
    assert (await answers(found))[0].served_by_index


async def test_a_missing_grant_is_told_with_the_statement_that_gives_it(tmp_path: Path, fresh: Fresh) -> None:
    role = f"reader_of_{fresh.name}"
    fresh.execute(f"{TABLE}{INDEX}; CREATE ROLE {role} LOGIN PASSWORD 'open sesame'")
    found = await channels(tmp_path, source(fresh, "main", f'user = "{role}"'), channel("mine"))
    [answer] = await answers(found)
    assert f"GRANT SELECT ON trades TO {role};" in answer.refusal
    fresh.execute(f"GRANT SELECT ON trades TO {role}")
    assert (await answers(found))[0].refusal == ""
    fresh.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_one_that_refuses_does_not_keep_others_from_being_asked(tmp_path: Path, fresh: Fresh) -> None:
    fresh.execute(TABLE + INDEX)
    lost = channel("lost", 'table = "nothing"\nkey = "symbol"\ntime = "time"\n')
    first, second = await answers(await channels(tmp_path, source(fresh), lost, channel("mine")))
    assert (first.channel, "nothing" in first.refusal) == ("lost", True)
    assert (second.channel, second.refusal) == ("mine", "")


class _Breaks:
    """The rows of a plugin that does what it likes when asked."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def produce(self, feed: Any, settings: Any) -> None: ...

    async def examine(self, _settings: Any) -> Any:
        if self._error is not None:
            raise self._error
        await trio.sleep_forever()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("a\nb"), r"KeyError: 'a\nb'; correct the plugin of the source"),
        (None, "no answer within 5m; see what keeps it, or give it longer with --timeout"),
    ],
)
async def test_a_plugin_that_breaks_is_told(
    tmp_path: Path, autojump_clock: MockClock, error: Exception | None, words: str
) -> None:
    assert autojump_clock.rate == 0.0
    built_in = {each.channel.name: each for each in await channels(tmp_path, "")}
    broken = attrs.evolve(built_in["price"], rows=_Breaks(error))
    assert await answers([broken, built_in["trades"]], 300.0) == (Answer(channel="price", refusal=words),)
    assert unasked([broken, built_in["trades"]]) == Facts(askable=1, answers=None)
