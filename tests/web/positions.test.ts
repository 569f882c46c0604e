import assert from "node:assert/strict";
import { test } from "node:test";

import { Positions } from "../../appliance/web/src/positions.ts";

const log = { channel: "signals:high", epoch: "e1", offset: 41, state: false, recovered: undefined };
const state = { ...log, channel: "price:BTC", state: true };

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

test("what is lost is not asked for again", () => {
  const positions = new Positions();
  positions.answered(log);
  assert.equal(positions.answered({ ...log, offset: 90, recovered: false }), false);
  assert.equal(positions.recover(["signals:high"])?.["signals:high"]?.offset, 90);
});

test("another epoch starts the topic anew, and says so", () => {
  const positions = new Positions();
  assert.equal(positions.answered(log), false);
  assert.equal(positions.answered({ ...log, epoch: "e2", offset: 3, recovered: false }), true);
  assert.deepEqual(positions.recover(["signals:high"]), { "signals:high": { epoch: "e2", offset: 3 } });
});

test("a topic without an answer has no position", () => {
  const positions = new Positions();
  positions.advanced("price:BTC", 5);
  assert.equal(positions.recover(["*"]), undefined);
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
  for (let number = 0; number < 10_000; number += 1) positions.answered({ ...state, channel: `price:TOKEN${number}` });
  const text = JSON.stringify({ type: "subscribe", channels: ["price:*"], recover: positions.recover(["price:*"]) });
  assert.ok(text.length < 60_000, String(text.length));
  assert.ok(text.length > 20_000, String(text.length));
});
