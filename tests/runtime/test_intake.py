"""Publishing from outside: all events of a submission, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from appliance.core.idempotency import KeyReusedError
from appliance.runtime import intake, turns
from appliance.runtime.submission import MOST_FLAWS, RefusedError, Submission
from appliance.settings.tree import PublishSettings
from tests.runtime.intaking import Scene, Writer, alert, event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.core.history import Topic
    from appliance.runtime.intake import Receipt


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def take(
    scene: Scene,
    *events: Any,
    key: str | None = None,
    writer: Writer | None = None,
    within: str | None = "events",
) -> Receipt:
    submission = Submission(events=events, within=within, key=key)
    return await scene.intake.take(submission, writer or Writer())


async def refusal(scene: Scene, *events: Any, writer: Writer | None = None) -> RefusedError:
    before = scene.topics, scene.hub.serial
    with pytest.raises(RefusedError) as caught:
        await take(scene, *events, writer=writer)
    assert (scene.topics, scene.hub.serial) == before
    return caught.value


def paths(error: RefusedError) -> list[str]:
    return [flaw.path for flaw in error.flaws]


# --- All or none. ---


async def test_an_event_is_published_and_its_places_are_told(scene: Scene) -> None:
    receipt = await take(scene, alert())
    assert receipt.content() == {
        "published": 1,
        "duplicate": False,
        "events": [
            {
                "topics": [
                    {"topic": "alerts:all", "epoch": "e", "offset": 1},
                    {"topic": "alerts:symbol:AAPL", "epoch": "e", "offset": 1},
                ]
            }
        ],
    }
    assert scene.published("alerts:symbol:AAPL") == [{"symbol": "AAPL"}]


async def test_events_are_published_in_their_order(scene: Scene) -> None:
    events = [event(data={"n": n}) for n in range(50)]
    receipt = await take(scene, *events)
    assert [data["n"] for data in scene.published("price:AAPL")] == list(range(50))
    assert [place.offset for [place] in receipt.events] == list(range(1, 51))


async def test_the_time_of_the_source_is_kept(scene: Scene) -> None:
    await take(scene, event(at="2024-01-01T12:00:00Z"))
    [entry] = scene.hub.topic("price:AAPL").after(0)
    assert entry.at == 1_704_110_400.0


async def test_the_channels_health_counts_them(scene: Scene) -> None:
    await take(scene, event(), event(), alert())
    assert {name: health.events for name, health in scene.health.items() if health.events} == {
        "price": 2,
        "alerts": 1,
    }
    assert scene.health["price"].last_update is not None


async def test_one_mistake_keeps_all_back(scene: Scene) -> None:
    error = await refusal(scene, event(), event(key=""), alert())
    assert paths(error) == ["events[1].key"]
    assert str(error) == "; ".join(map(str, error.flaws))
    assert scene.health["price"].events == 0


async def test_all_mistakes_are_told(scene: Scene) -> None:
    wrong = event("predictions", data={"confidence": "high"})
    assert paths(await refusal(scene, wrong, event(), 5, event(at="x"))) == [
        "events[0].data.confidence",
        "events[2]",
        "events[3].at",
    ]


async def test_of_many_mistakes_the_first_are_told(scene: Scene) -> None:
    assert paths(await refusal(scene, *[{}] * 100))[-1] == f"events[{(MOST_FLAWS - 1) // 3}].key"


@pytest.mark.parametrize(
    ("count", "within", "path"), [(0, "events", "events"), (4, "events", "events"), (4, "", "")]
)
async def test_a_submission_has_a_number_of_events(count: int, within: str, path: str) -> None:
    scene = Scene(settings=PublishSettings(events=3))
    with pytest.raises(RefusedError, match="1 to 3") as caught:
        await take(scene, *[event()] * count, within=within)
    assert paths(caught.value) == [path]
    assert len((await take(scene, *[event()] * 3)).events) == 3


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (event(data={"text": "x" * 20_000}), "over the limit of 10000"),
        (event("alerts", data={"symbol": "two words"}), "no key"),
        (event("alerts", data={}), "the route of alerts cannot take it: KeyError('symbol')"),
    ],
)
async def test_what_the_hub_cannot_take_is_told(scene: Scene, raw: Any, part: str) -> None:
    with capture_logs():
        error = await refusal(scene, alert(), event(key="NEW"), raw)
    assert paths(error) == ["events[2].data"]
    assert part in str(error)


async def test_a_route_that_breaks_is_logged(scene: Scene) -> None:
    with capture_logs() as log:
        await refusal(scene, event("alerts", data={}))
    assert [(line["log_level"], line["channel"]) for line in log] == [("warning", "alerts")]


async def test_topics_made_for_nothing_are_let_go(scene: Scene) -> None:
    scene = Scene(most_topics=10)
    for _ in range(5):
        error = await refusal(scene, *[event(key=f"K{n}") for n in range(11)])
        assert "limits.topics" in str(error)
    receipt = await take(scene, *[event(key=f"K{n}") for n in range(10)])
    assert len(receipt.events) == 10


@given(
    st.lists(
        st.sampled_from(
            [event(), event(key="*"), alert(), event("closed"), event(key="NEW"), event("alerts", data={})]
        )
    )
)
def test_all_or_none_are_published(events: Sequence[Any]) -> None:
    scene = Scene()

    async def run() -> None:
        with capture_logs():
            try:
                receipt = await take(scene, *events)
            except RefusedError:
                assert scene.hub.serial == 0
                assert scene.topics == {"alerts:all"}
            else:
                assert len(receipt.events) == len(events)
                assert scene.hub.events == len(events)

    trio.run(run)


# --- Others meanwhile. ---


async def test_many_events_let_others_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    monkeypatch.setattr(turns, "SLICE", 0.0)
    seen: list[int] = []

    async def other() -> None:
        while True:
            seen.append(scene.hub.events)
            await trio.lowlevel.checkpoint()

    nursery.start_soon(other)
    await take(scene, *[event() for _ in range(100)])
    nursery.cancel_scope.cancel()
    assert len(set(seen)) > 20  # who is next is drawn by lot


async def test_what_has_begun_is_published_to_its_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE", 0.0)
    enter = scene.hub.enter
    with trio.CancelScope() as scope:

        def cancelling(*arguments: Any, **options: Any) -> list[Topic]:
            scope.cancel()
            return enter(*arguments, **options)

        monkeypatch.setattr(scene.hub, "enter", cancelling)
        await take(scene, *[event() for _ in range(10)], key="k")
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert scene.hub.events == 10
    assert (await take(scene, *[event() for _ in range(10)], key="k")).duplicate


async def test_what_is_cancelled_before_is_not_published(scene: Scene) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await take(scene, event())
    assert scene.hub.events == 0


# --- Keys. ---


async def test_the_same_again_is_published_once(scene: Scene) -> None:
    first = await take(scene, event(), alert(), key="k")
    again = await take(scene, event(), alert(), key="k")
    assert not first.duplicate
    assert again == attrs.evolve(first, duplicate=True)
    assert scene.hub.events == 2


async def test_the_order_of_fields_makes_no_other_event(scene: Scene) -> None:
    await take(scene, event(), key="k")
    turned = dict(reversed(event().items()))
    assert (await take(scene, turned, key="k")).duplicate


async def test_a_key_for_something_else_is_refused(scene: Scene) -> None:
    await take(scene, event(), key="k")
    with pytest.raises(KeyReusedError):
        await take(scene, event(key="MSFT"), key="k")
    assert scene.hub.events == 1


async def test_the_keys_of_others_are_others(scene: Scene) -> None:
    await take(scene, event(), key="k")
    assert not (await take(scene, event(), key="k", writer=Writer("bob"))).duplicate


async def test_a_refusal_leaves_the_key_free(scene: Scene) -> None:
    with pytest.raises(RefusedError):
        await take(scene, event(key=""), key="k")
    assert not (await take(scene, event(), key="k")).duplicate


async def test_keys_are_remembered_as_the_settings_say() -> None:
    scene = Scene(settings=PublishSettings(keys=2))
    for n in range(3):
        await take(scene, event(), key=str(n))
    assert [(await take(scene, event(), key=str(n))).duplicate for n in (2, 1, 0)] == [True, True, False]


async def test_large_receipts_are_remembered_for_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_PLACES", 10)
    scene = Scene()
    for n in range(3):
        await take(scene, *[event()] * 5, key=str(n))
    assert [(await take(scene, *[event()] * 5, key=str(n))).duplicate for n in (2, 1, 0)] == [
        True,
        True,
        False,
    ]


async def test_who_comes_meanwhile_with_the_same_key_waits(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SLICE", 0.0)
    receipts: list[Receipt] = []

    async def send() -> None:
        receipts.append(await take(scene, *[event()] * 20, key="k"))

    async with trio.open_nursery() as nursery:  # ends with the last receipt
        for _ in range(5):
            nursery.start_soon(send)
    assert sorted(receipt.duplicate for receipt in receipts) == [False, True, True, True, True]
    assert scene.hub.events == 20


async def test_after_a_refusal_who_waited_tries_for_itself(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SLICE", 0.0)
    outcomes: list[str] = []

    async def send() -> None:
        try:
            await take(scene, event(), event(key=""), key="k")
        except RefusedError:
            outcomes.append("refused")

    async with trio.open_nursery() as nursery:  # ends with the last refusal
        nursery.start_soon(send)
        nursery.start_soon(send)
    assert outcomes == ["refused", "refused"]


async def test_what_becomes_of_submissions_is_counted(scene: Scene) -> None:
    await take(scene, event(), event(key="MSFT"), key="one")
    await take(scene, event(), event(key="MSFT"), key="one")
    with pytest.raises(KeyReusedError):
        await take(scene, event(key="other"), key="one")
    await refusal(scene, event("nowhere"))
    await take(scene, event())
    assert scene.intake.outcomes == {"accepted": 2, "repeated": 1, "refused": 2}
    assert scene.intake.events == 3
