import assert from "node:assert/strict";
import { test } from "node:test";

import { Positions } from "../../appliance/web/src/positions.ts";

const log = {
  ...{ topic: "signals:high", under: "signals:high", epoch: "e1", offset: 41 },
  ...{ state: false, recovered: undefined, lost: undefined },
};
const state = { ...log, topic: "price:BTC", under: "price:BTC", state: true };

test("a new log stands at the answer, a new state one before it: its value is still to come", () => {
  const positions = new Positions();
  positions.answered(log);
  positions.answered(state);
  assert.deepEqual(positions.recover(["signals:high", "price:*"]), {
    "signals:high": { epoch: "e1", offset: 41 },
    "price:BTC": { epoch: "e1", offset: 40 },
  });
});

test("an empty state topic stands at nothing", () => {
  const positions = new Positions();
  positions.answered({ ...state, offset: 0 });
  assert.deepEqual(positions.recover(["price:BTC"]), { "price:BTC": { epoch: "e1", offset: 0 } });
});

test("messages move a position forward, never back", () => {
  const positions = new Positions();
  positions.answered(log);
  positions.advanced("signals:high", 43);
  positions.advanced("signals:high", 42);
  assert.equal(positions.recover(["signals:high"])?.["signals:high"]?.offset, 43);
});

test("what a recovered topic still owes is asked for again when the connection breaks before it came", () => {
  const positions = new Positions();
  positions.answered(log);
  positions.answered({ ...log, offset: 50, recovered: true });
  assert.equal(positions.recover(["signals:high"])?.["signals:high"]?.offset, 41);
});

test("a second answer on the same connection leaves the position", () => {
  const positions = new Positions();
  positions.answered(log);
  assert.equal(positions.answered({ ...log, offset: 45 }), false);
  assert.equal(positions.recover(["signals:high"])?.["signals:high"]?.offset, 41);
});

test("what is lost is not asked for again, what is left of the log is", () => {
  const positions = new Positions();
  positions.answered(log);
  assert.equal(positions.answered({ ...log, offset: 90, recovered: false, lost: 70 }), false);
  assert.equal(positions.recover(["signals:high"])?.["signals:high"]?.offset, 70);
});

test("of a state that could not be recovered only the newest value is owed", () => {
  const positions = new Positions();
  positions.answered(state);
  positions.answered({ ...state, offset: 90, recovered: false, lost: 89 });
  assert.equal(positions.recover(["price:BTC"])?.["price:BTC"]?.offset, 89);
});

test("the older library's one channel stands for the topics that it was answered with", () => {
  const positions = new Positions();
  positions.answered({ ...state, under: "prices" });
  positions.answered(log);
  assert.deepEqual(positions.recover(["prices"]), { "price:BTC": { epoch: "e1", offset: 40 } });
  positions.retain(["prices"]);
  assert.deepEqual(Object.keys(positions.recover(["prices", "*"]) ?? {}), ["price:BTC"]);
});

test("another epoch starts the topic anew, and says so", () => {
  const positions = new Positions();
  assert.equal(positions.answered(log), false);
  assert.equal(positions.answered({ ...log, epoch: "e2", offset: 3, recovered: false }), true);
  assert.deepEqual(positions.recover(["signals:high"]), { "signals:high": { epoch: "e2", offset: 0 } });
});

test("a topic without an answer has no position", () => {
  const positions = new Positions();
  positions.advanced("price:BTC", 5);
  assert.equal(positions.recover(["*"]), undefined);
});

test("what this connection has already is not asked for", () => {
  const positions = new Positions();
  positions.answered(log);
  positions.answered(state);
  assert.deepEqual(Object.keys(positions.recover(["*"], new Set(["price:BTC"])) ?? {}), ["signals:high"]);
});

test("what nobody wants is forgotten", () => {
  const positions = new Positions();
  positions.answered(log);
  positions.answered(state);
  positions.retain(["price:*"]);
  assert.deepEqual(Object.keys(positions.recover(["*"]) ?? {}), ["price:BTC"]);
});

test("a request stays below the server's limit, whatever the number of topics", () => {
  const positions = new Positions();
  for (let number = 0; number < 10_000; number += 1) {
    const topic = `price:${"X".repeat(number % 200)}${number}`;
    positions.answered({ ...state, topic, under: topic });
  }
  const recover = positions.recover(["price:*"]) ?? {};
  const text = JSON.stringify({ type: "subscribe", channels: ["price:*"], recover });
  assert.ok(text.length < 60_000, String(text.length));
  assert.ok(Object.keys(recover).length > 100);
});

test("a request asks for no more positions than the server takes", () => {
  const positions = new Positions();
  for (let number = 0; number < 2_000; number += 1) positions.answered({ ...state, epoch: "e", topic: `${number}`, under: `${number}` });
  assert.ok(Object.keys(positions.recover(["*"]) ?? {}).length <= 1_000);
});
