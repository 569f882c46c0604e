import assert from "node:assert/strict";
import { test } from "node:test";

import { answersOf, confirmedBy, covers, errorOf, gapOf, parseMessage } from "../../appliance/web/src/protocol.ts";

test("what is no message is refused", () => {
  for (const text of ["", "{", "null", "[]", '"x"', "{}", '{"type":1}']) assert.throws(() => parseMessage(text), text);
  assert.throws(() => parseMessage(new ArrayBuffer(1)), /binary/);
  assert.deepEqual(parseMessage('{"type":"pong"}'), { type: "pong" });
});

test("a subscribed answer gives positions, and leaves out what is none", () => {
  const message = {
    type: "subscribed",
    channels: [
      { channel: "price:BTC", mode: "state", epoch: "ab12", offset: 41, pattern: "price:*" },
      { channel: "signals:high", mode: "log", epoch: "cd", offset: 7, recovered: false },
      { channel: "price:ETH" },
      null,
    ],
    patterns: ["price:*", 3],
  };
  assert.deepEqual(answersOf(message), [
    { channel: "price:BTC", epoch: "ab12", offset: 41, state: true, recovered: undefined },
    { channel: "signals:high", epoch: "cd", offset: 7, state: false, recovered: false },
  ]);
  assert.deepEqual(confirmedBy(message), ["price:BTC", "signals:high", "price:*"]);
  assert.deepEqual(answersOf({ type: "subscribed" }), []);
});

test("the older library's answer confirms its one channel", () => {
  assert.deepEqual(confirmedBy({ type: "subscription_success", data: { channel: "prices" } }), ["prices"]);
});

test("an error is found in either form", () => {
  const body = { code: "RATE_LIMITED", message: "Slower", retry_after: 2.5 };
  const expected = { code: "RATE_LIMITED", message: "Slower", retryAfter: 2.5 };
  assert.deepEqual(errorOf({ type: "error", error: body }), expected);
  assert.deepEqual(errorOf({ type: "error", data: body }), expected);
  assert.equal(errorOf({ type: "error" }).code, "ERROR");
});

test("a gap without an end is none", () => {
  assert.deepEqual(gapOf({ type: "gap", channel: "price:BTC", from: 43, to: 50 }), { channel: "price:BTC", to: 50 });
  assert.equal(gapOf({ type: "gap", channel: "price:BTC" }), undefined);
});

test("a pattern covers by its beginning, a topic only itself", () => {
  assert.ok(covers("price:*", "price:BTC"));
  assert.ok(covers("*", "signals:high"));
  assert.ok(!covers("price:*", "prices:BTC"));
  assert.ok(!covers("price:B", "price:BTC"));
});
