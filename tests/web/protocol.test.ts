import assert from "node:assert/strict";
import { test } from "node:test";

import { answersOf, confirmedBy, covers, errorOf, gapOf, isAnswer, parseMessage, topicOf } from "../../appliance/web/src/protocol.ts";

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
      { channel: "signals:high", mode: "log", epoch: "cd", offset: 7, recovered: false, gap: { from: 2, to: 5 } },
      { channel: "price:ETH" },
      null,
    ],
    patterns: ["price:*", 3],
  };
  assert.deepEqual(answersOf(message), [
    { topic: "price:BTC", under: "price:BTC", epoch: "ab12", offset: 41, state: true, recovered: undefined, lost: undefined },
    { topic: "signals:high", under: "signals:high", epoch: "cd", offset: 7, state: false, recovered: false, lost: 5 },
  ]);
  assert.deepEqual(confirmedBy(message), ["price:BTC", "signals:high", "price:*"]);
  assert.deepEqual(answersOf({ type: "subscribed" }), []);
});

test("the older library's answer stands under `data`, and its topics under its one channel", () => {
  const channels = [{ channel: "price:BTC", mode: "state", epoch: "ab12", offset: 41 }];
  const message = { type: "subscription_success", data: { channel: "prices", channels } };
  assert.ok(isAnswer(message));
  assert.deepEqual(confirmedBy(message), ["prices", "price:BTC"]);
  assert.deepEqual(
    answersOf(message).map(({ topic, under }) => [topic, under]),
    [["price:BTC", "prices"]],
  );
});

test("a message names its topic, apart from its channel where the older library's form needs it", () => {
  assert.equal(topicOf({ type: "price_update", channel: "price:BTC" }), "price:BTC");
  assert.equal(topicOf({ type: "price_update", channel: "prices", topic: "price:BTC" }), "price:BTC");
  assert.equal(topicOf({ type: "pong" }), undefined);
});

test("an error is found in either form", () => {
  const body = { channel: "price:BTC", code: "RATE_LIMITED", message: "Slower", retry_after: 2.5 };
  const expected = { channel: "price:BTC", code: "RATE_LIMITED", message: "Slower", retryAfter: 2.5 };
  assert.deepEqual(errorOf({ type: "error", error: body }), expected);
  assert.deepEqual(errorOf({ type: "error", data: body }), expected);
  assert.equal(errorOf({ type: "error" }).code, "ERROR");
});

test("a gap without an end is none", () => {
  assert.deepEqual(gapOf({ type: "gap", channel: "price:BTC", from: 43, to: 50 }), { topic: "price:BTC", to: 50 });
  const data = { channel: "prices", topic: "price:BTC", from: 43, to: 50 };
  assert.deepEqual(gapOf({ type: "gap", data }), { topic: "price:BTC", to: 50 });
  assert.equal(gapOf({ type: "gap", channel: "price:BTC" }), undefined);
});

test("a pattern covers by its beginning, a topic only itself", () => {
  assert.ok(covers("price:*", "price:BTC"));
  assert.ok(covers("*", "signals:high"));
  assert.ok(!covers("price:*", "prices:BTC"));
  assert.ok(!covers("price:B", "price:BTC"));
});
