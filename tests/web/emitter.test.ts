import assert from "node:assert/strict";
import { test } from "node:test";

import { Emitter } from "../../appliance/web/src/emitter.ts";

function unexpected(): never {
  assert.fail("nobody should have called this");
}

test("all listeners are called in order, also when one throws", () => {
  const emitter = new Emitter();
  const calls: string[] = [];
  const errors: unknown[] = [];
  emitter.add("price", () => calls.push("first"));
  emitter.add("price", () => {
    throw new Error("mine");
  });
  emitter.add("price", () => calls.push("third"));
  assert.equal(emitter.emit("price", 1, (error) => errors.push(error)), true);
  assert.deepEqual(calls, ["first", "third"]);
  assert.match(String(errors), /mine/);
});

test("a removed listener is not called, and nobody listening is told", () => {
  const emitter = new Emitter();
  const listener = () => assert.fail();
  emitter.add("price", listener);
  emitter.remove("price", listener);
  assert.equal(emitter.emit("price", 1, unexpected), false);
});

test("a listener may remove itself while it is called", () => {
  const emitter = new Emitter();
  let calls = 0;
  const once = () => {
    calls += 1;
    emitter.remove("price", once);
  };
  emitter.add("price", once);
  emitter.emit("price", 1, unexpected);
  emitter.emit("price", 1, unexpected);
  assert.equal(calls, 1);
});
