import assert from "node:assert/strict";
import { test } from "node:test";

import { Positions } from "../../appliance/web/src/positions.ts";
import { Subscriptions } from "../../appliance/web/src/subscriptions.ts";

function unexpected(): never {
  assert.fail("nobody should have called this");
}

function price(channel: string, offset: number) {
  return { type: "price_update", channel, offset, data: { offset } };
}

test("channels go out together, those with a limit apart, those with parameters one by one", () => {
  const subscriptions = new Subscriptions();
  subscriptions.add(["price:BTC"]);
  subscriptions.add(["price:*"], undefined, 2);
  subscriptions.add(["signals:high"]);
  subscriptions.addWithParameters("prices", { symbols: ["BTC"] });
  assert.deepEqual(subscriptions.requests(new Positions()), [
    { type: "subscribe", channels: ["price:BTC", "signals:high"] },
    { type: "subscribe", channels: ["price:*"], limit: 2 },
    { type: "subscribe", channel: "prices", params: { symbols: ["BTC"] } },
  ]);
});

test("what is confirmed is not asked for", () => {
  const subscriptions = new Subscriptions();
  subscriptions.add(["price:BTC", "price:ETH"]);
  subscriptions.addWithParameters("prices", {});
  assert.deepEqual(subscriptions.requests(new Positions(), new Set(["price:BTC", "prices"])), [
    { type: "subscribe", channels: ["price:ETH"] },
  ]);
});

test("a callback under two names that cover a topic is called once", () => {
  const subscriptions = new Subscriptions();
  const seen: unknown[] = [];
  const callback = (data: unknown) => seen.push(data);
  subscriptions.add(["price:*"], callback);
  subscriptions.add(["price:BTC"], callback);
  subscriptions.deliver(price("price:BTC", 1), unexpected);
  assert.deepEqual(seen, [{ offset: 1 }]);
});

test("a snapshot that comes again reaches only the callback that has not had it", () => {
  const subscriptions = new Subscriptions();
  const first: unknown[] = [];
  const second: unknown[] = [];
  subscriptions.add(["price:BTC"], (data) => first.push(data));
  subscriptions.deliver(price("price:BTC", 41), unexpected);
  subscriptions.add(["price:*"], (data) => second.push(data));
  subscriptions.deliver(price("price:BTC", 41), unexpected);
  assert.deepEqual([first.length, second.length], [1, 1]);
});

test("after a new epoch small offsets are delivered again", () => {
  const subscriptions = new Subscriptions();
  const seen: unknown[] = [];
  subscriptions.add(["price:BTC"], (data) => seen.push(data));
  subscriptions.deliver(price("price:BTC", 41), unexpected);
  subscriptions.restarted("price:BTC");
  subscriptions.deliver(price("price:BTC", 1), unexpected);
  assert.deepEqual(seen, [{ offset: 41 }, { offset: 1 }]);
});

test("messages without offsets are all delivered", () => {
  const subscriptions = new Subscriptions();
  let calls = 0;
  subscriptions.add(["price:BTC"], () => (calls += 1));
  const message = { type: "price_update", channel: "price:BTC", data: {} };
  subscriptions.deliver(message, unexpected);
  subscriptions.deliver(message, unexpected);
  assert.equal(calls, 2);
});

test("a later callback gets the newest value of a state, and none of a log", () => {
  const subscriptions = new Subscriptions();
  const seen: unknown[] = [];
  const late = (data: unknown) => seen.push(data);
  subscriptions.keepLatest("price:BTC");
  subscriptions.add(["price:BTC", "signals:all"], () => undefined);
  subscriptions.deliver(price("price:BTC", 41), unexpected);
  subscriptions.deliver(price("signals:all", 5), unexpected);
  subscriptions.add(["price:*", "signals:all"], late);
  subscriptions.catchUp(late, unexpected);
  subscriptions.catchUp(late, unexpected);
  assert.deepEqual(seen, [{ offset: 41 }]);
});

test("no value is kept that nobody wants, or that is of another epoch", () => {
  const seen: unknown[] = [];
  const late = (data: unknown) => seen.push(data);
  for (const end of [(one: Subscriptions) => one.remove(["price:BTC"]), (one: Subscriptions) => one.restarted("price:BTC")]) {
    const subscriptions = new Subscriptions();
    subscriptions.keepLatest("price:BTC");
    subscriptions.add(["price:BTC"], () => undefined);
    subscriptions.deliver(price("price:BTC", 41), unexpected);
    end(subscriptions);
    subscriptions.add(["price:BTC"], late);
    subscriptions.catchUp(late, unexpected);
  }
  assert.deepEqual(seen, []);
});

test("a name is unwanted when its last callback goes", () => {
  const subscriptions = new Subscriptions();
  const one = () => undefined;
  const two = () => undefined;
  subscriptions.add(["price:BTC"], one);
  subscriptions.add(["price:BTC"], two);
  assert.deepEqual(subscriptions.remove(["price:BTC"], one), []);
  assert.deepEqual(subscriptions.remove(["price:BTC"], two), ["price:BTC"]);
  assert.deepEqual(subscriptions.names, []);
});

test("without a callback, all callbacks of a name go", () => {
  const subscriptions = new Subscriptions();
  subscriptions.add(["price:BTC"], () => assert.fail());
  subscriptions.add(["price:BTC"], () => assert.fail());
  assert.deepEqual(subscriptions.remove(["price:BTC"]), ["price:BTC"]);
  subscriptions.deliver(price("price:BTC", 1), unexpected);
});

test("a callback that is subscribed anew gets the snapshot anew", () => {
  const subscriptions = new Subscriptions();
  const seen: unknown[] = [];
  const callback = (data: unknown) => seen.push(data);
  subscriptions.add(["price:BTC", "price:ETH"], callback);
  subscriptions.deliver(price("price:BTC", 41), unexpected);
  subscriptions.remove(["price:BTC"], callback);
  subscriptions.add(["price:BTC"], callback);
  subscriptions.deliver(price("price:BTC", 41), unexpected);
  assert.equal(seen.length, 2);
});
