"""The store against a dictionary, with a restart or a crash between any two steps."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.core.events import Entry
from appliance.core.kept import Batch, Kept, Record
from appliance.store import database, sweeping
from appliance.store.store import open_store
from tests.store.batches import CHANNELS, contents, folder_in_memory

if TYPE_CHECKING:
    from pathlib import Path

TOPICS = tuple(f"{channel}:{key}" for channel in CHANNELS for key in "ABC")
BODIES = st.binary(max_size=12) | st.just(b"x" * 5_000)
NOTES = st.dictionaries(
    st.sampled_from(["where", "seen/1", "é"]), st.none() | st.integers() | st.text(max_size=3), max_size=3
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(TOPICS),
        st.integers(1, 9),
        st.just("follows") | st.sampled_from(["another epoch", "a jump", "follows"]),
        BODIES,
    ),
    max_size=8,
)


class Restarted(RuleBasedStateMachine):
    """What it must hold: per topic its epoch, its last offset and its entries, and the notes of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        # So that a few entries are many, and the file is written to all the time.
        self.patch.setattr(sweeping, "MOST_ROWS", 3)
        self.patch.setattr(database, "CHECKPOINT", 5)
        self.folder = folder_in_memory()
        self.place = 0
        self.number = 0
        self.epochs = 0
        self.topics: dict[str, Kept] = {}
        self.states: dict[str, dict[str, Any]] = {channel: {} for channel in CHANNELS}

    @property
    def path(self) -> Path:
        return self.folder / f"{self.place}" / "store.db"

    @initialize(sync=st.sampled_from(["full", "normal"]))
    def begin(self, sync: Any) -> None:
        self.sync = sync
        self.path.parent.mkdir()
        self.store = open_store(self.path, sync=sync)

    @rule(steps=STEPS, notes=st.dictionaries(st.sampled_from(CHANNELS), NOTES), data=st.data())
    def write(self, steps: list[tuple[str, int, str, bytes]], notes: dict[str, Any], data: Any) -> None:
        records = [
            record
            for topic, count, how, body in steps
            for record in self.records(topic, count, how=how, body=body)
        ]
        firsts = {}
        if self.topics:
            firsts = data.draw(
                st.dictionaries(st.sampled_from(sorted(self.topics)), st.integers(1, 40), max_size=4)
            )
        for name, first in firsts.items():
            kept = self.topics[name]
            entries = [entry for entry in kept.entries if entry.offset >= first]
            self.topics[name] = Kept(name, kept.epoch, kept.last, entries)
        for channel, note in notes.items():
            state = {**self.states[channel], **note}
            self.states[channel] = {name: value for name, value in state.items() if value is not None}
        self.store.write(Batch(records=records, states=notes, firsts=firsts))

    def records(self, topic: str, count: int, *, how: str, body: bytes) -> list[Record]:
        kept = self.topics.get(topic)
        if kept is None or how == "another epoch":
            self.epochs += 1
            kept = Kept(topic, f"e{self.epochs}", 0, [])
        elif how == "a jump":
            kept = Kept(topic, kept.epoch, kept.last + 5, [])
        entries = []
        for offset in range(kept.last + 1, kept.last + 1 + count):
            self.number += 1
            entries.append(Entry(offset, offset / 3, float(self.number), body, number=self.number))
        self.topics[topic] = Kept(topic, kept.epoch, entries[-1].offset, [*kept.entries, *entries])
        channel = topic.partition(":")[0]
        return [Record(channel, topic, kept.epoch, entry) for entry in entries]

    @rule(channel=st.sampled_from(CHANNELS))
    def forget(self, channel: str) -> None:
        self.store.forget(channel)
        self.topics = {name: kept for name, kept in self.topics.items() if not name.startswith(f"{channel}:")}
        self.states[channel] = {}

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = open_store(self.path, sync=self.sync)

    @rule()
    def crash(self) -> None:
        """Go on with the files as they lay on the disk at this moment."""
        before = self.path.parent
        self.place += 1
        shutil.copytree(before, self.path.parent)
        self.store.close()
        shutil.rmtree(before)
        self.store = open_store(self.path, sync=self.sync)

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def holds_the_same(self) -> None:
        number, topics, states = contents(self.store)
        assert number == self.number
        assert topics == {
            name: Kept(name, kept.epoch, kept.last, tuple(kept.entries)) for name, kept in self.topics.items()
        }
        assert states == self.states

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.folder)
        self.patch.undo()


Restarted.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_it_holds_what_it_was_given = Restarted.TestCase
