import assert from "node:assert/strict";
import { once } from "node:events";
import { afterEach, beforeEach, describe, mock, test } from "node:test";

import { WebSocket } from "ws";

import type { Options, OptionsWithUrl } from "../../appliance/web/src/websocket-client.ts";
import { CryptoIntelWebSocket, RefusedError } from "../../appliance/web/src/websocket-client.ts";
import { Clock } from "./clock.ts";
import { Server } from "./server.ts";

function unexpected(): never {
  assert.fail("nobody should have called this");
}

let server: Server;
let clients: CryptoIntelWebSocket[];
let clock: Clock | undefined;

beforeEach(async () => {
  server = await Server.start();
  clients = [];
});

afterEach(async () => {
  for (const client of clients) client.disconnect();
  await server.stop();
  clock?.restore();
  clock = undefined;
  mock.restoreAll();
});

/** From here on time passes only as the test says. */
function stopClock(): void {
  clock = new Clock();
}

function twoArguments(options: Options = {}): CryptoIntelWebSocket {
  const client = new CryptoIntelWebSocket(server.url, { WebSocket, ...options });
  clients.push(client);
  return client;
}

function oneObject(options: OptionsWithUrl = {}): CryptoIntelWebSocket {
  const client = new CryptoIntelWebSocket({ url: server.url, WebSocket, ...options });
  clients.push(client);
  return client;
}

/** The next event of the client. */
function event(client: CryptoIntelWebSocket, type: string): Promise<unknown> {
  return new Promise((resolve) => {
    const listener = (payload: unknown) => {
      client.off(type, listener);
      resolve(payload);
    };
    client.on(type, listener);
  });
}

function subscribed(channel: string, offset: number, more: object = {}) {
  return { type: "subscribed", channels: [{ channel, mode: "log", epoch: "e1", offset, ...more }], patterns: [] };
}

function signal(offset: number, channel = "signals:high") {
  return { type: "signal_alert", channel, offset, data: { id: `signal_${offset}` } };
}

describe("the two constructors", () => {
  test("with two arguments the token is the first message", async () => {
    const client = twoArguments({ token: "secret" });
    client.subscribe(["price:bitcoin"], unexpected);
    client.connect();
    const peer = await server.peer();
    assert.equal(peer.path, "/ws");
    assert.deepEqual(await peer.next(), { type: "auth", token: "secret" });
    assert.deepEqual(await peer.next(), { type: "subscribe", channels: ["price:bitcoin"] });
  });

  test("with one object the token stands in the query", async () => {
    const client = oneObject({ url: `${server.url}?client=x`, token: "a&b" });
    await client.connect();
    const peer = await server.peer();
    assert.equal(peer.path, "/ws?client=x&token=a%26b");
    client.send({ type: "ping" });
    assert.deepEqual(await peer.next(), { type: "ping" });
  });

  test("without a token nothing is said of one", async () => {
    const client = twoArguments();
    await client.connect();
    const peer = await server.peer();
    client.send("{}");
    assert.equal(peer.path, "/ws");
    assert.deepEqual(await peer.next(), {});
  });

  test("a token's function is asked for each connection", async () => {
    stopClock();
    let number = 0;
    const client = twoArguments({ token: () => `token ${(number += 1)}` });
    client.connect();
    const peer = await server.peer();
    assert.deepEqual(await peer.next(), { type: "auth", token: "token 1" });
    const scheduled = event(client, "reconnect_scheduled");
    peer.close(1008, "EXPIRED_TOKEN");
    await scheduled;
    clock?.advance(30_000);
    assert.deepEqual(await (await server.peer()).next(), { type: "auth", token: "token 2" });
  });

  for (const make of [twoArguments, oneObject]) {
    test(`a token that is about to expire is renewed in the session: ${make.name}`, async () => {
      let token = "first";
      const client = make({ token: () => token });
      await client.connect();
      const peer = await server.peer();
      if (make === twoArguments) assert.deepEqual(await peer.next(), { type: "auth", token: "first" });
      client.on("expiring", () => {
        token = "second";
      });
      peer.say({ type: "expiring", expires: "2026-11-20T22:48:22.000Z", seconds: 59 });
      assert.deepEqual(await peer.next(), { type: "auth", token: "second" });
      token = "third";
      client.authenticate();
      client.authenticate();
      client.send({ type: "ping" });
      assert.deepEqual(await peer.next(), { type: "auth", token: "third" });
      assert.deepEqual(await peer.next(), { type: "ping" });
    });
  }

  test("where there is no other token none is shown, and a function that fails is told of", async () => {
    const errors: unknown[] = [];
    let token: () => string = () => "same";
    const client = twoArguments({ token: () => token() });
    client.on("error", (error) => errors.push(error.type, error.message));
    await client.connect();
    const peer = await server.peer();
    assert.deepEqual(await peer.next(), { type: "auth", token: "same" });
    const expiring = { type: "expiring", expires: "2026-11-20T22:48:22.000Z", seconds: 59 };
    peer.say(expiring);
    await event(client, "expiring");
    token = () => {
      throw new Error("nobody is logged in");
    };
    peer.say(expiring);
    await event(client, "error");
    client.send({ type: "ping" });
    assert.deepEqual(await peer.next(), { type: "ping" });
    assert.deepEqual(errors, ["callback_error", "nobody is logged in"]);
  });

  test("without a page and a URL there is nothing to connect to", () => {
    assert.throws(() => new CryptoIntelWebSocket(), /needs the URL/);
  });

  test("without a WebSocket class connecting says what to do", async () => {
    mock.method(console, "error", () => undefined);
    const client = new CryptoIntelWebSocket(server.url);
    const there = globalThis.WebSocket as unknown;
    Object.assign(globalThis, { WebSocket: undefined });
    try {
      await assert.rejects(client.connect(), /option `WebSocket`/);
    } finally {
      Object.assign(globalThis, { WebSocket: there });
    }
  });
});

describe("subscribing", () => {
  test("before connecting is queued, and goes out in one message", async () => {
    const client = twoArguments();
    client.subscribe(["price:bitcoin", "price:ethereum"], () => undefined);
    client.subscribe(["signals:high"], () => undefined);
    client.connect();
    const peer = await server.peer();
    assert.deepEqual(await peer.next(), {
      type: "subscribe",
      channels: ["price:bitcoin", "price:ethereum", "signals:high"],
    });
  });

  test("on an open connection goes out at once, with its limit", async () => {
    const client = twoArguments();
    await client.connect();
    client.subscribe("price:*", () => undefined, { limit: 2 });
    const peer = await server.peer();
    assert.deepEqual(await peer.next(), { type: "subscribe", channels: ["price:*"], limit: 2 });
  });

  test("gives callbacks the data, in order, once each", async () => {
    const client = twoArguments();
    const seen: unknown[] = [];
    client.subscribe<{ id: string }>(["signals:high"], (data) => seen.push(data.id));
    client.connect();
    const peer = await server.peer();
    const last = event(client, "pong");
    peer.say(subscribed("signals:high", 0), signal(1), signal(2), signal(2), signal(9, "signals:all"), signal(3), { type: "pong" });
    await last;
    assert.deepEqual(seen, ["signal_1", "signal_2", "signal_3"]);
  });

  test("later on an open connection gives a callback the newest value that is there, after `subscribe` is done", async () => {
    const client = twoArguments();
    client.subscribe(["price:BTC"], () => undefined);
    client.connect();
    (await server.peer()).say(
      subscribed("price:BTC", 41, { mode: "state" }),
      { type: "price_update", channel: "price:BTC", offset: 41, data: { price: 7 } },
      { type: "pong" },
    );
    await event(client, "pong");
    let returned = false;
    const called = new Promise((resolve) => client.subscribe("price:BTC", (data) => resolve([data, returned])));
    returned = true;
    assert.deepEqual(await called, [{ price: 7 }, true]);
  });

  test("a throwing callback is reported and stops nobody", async () => {
    const client = twoArguments();
    const seen: unknown[] = [];
    const reported = event(client, "error");
    client.subscribe(["signals:high"], () => {
      throw new Error("mine");
    });
    client.subscribe(["signals:high"], (data) => seen.push(data));
    client.connect();
    (await server.peer()).say(signal(1), { type: "pong" });
    await event(client, "pong");
    assert.deepEqual(seen, [{ id: "signal_1" }]);
    const error = (await reported) as { type: string; message: string };
    assert.deepEqual([error.type, error.message], ["callback_error", "mine"]);
  });

  test("an error that nobody listens to is written to the console", async () => {
    const written = mock.method(console, "error", () => undefined);
    const client = twoArguments();
    client.connect();
    (await server.peer()).say({ type: "error", error: { code: "INVALID_CHANNEL", message: "No such" } }, { type: "pong" });
    await event(client, "pong");
    assert.match(String(written.mock.calls[0]?.arguments[0]), /No such/);
  });

  test("unsubscribing says so once nobody is left, and no callback hears more", async () => {
    const client = twoArguments();
    const other = () => undefined;
    client.subscribe(["signals:high"], unexpected);
    client.subscribe(["signals:high"], other);
    await client.connect();
    const peer = await server.peer();
    await peer.next();
    client.unsubscribe(["signals:high"], other);
    client.unsubscribe(["signals:high"]);
    assert.deepEqual(await peer.next(), { type: "unsubscribe", channels: ["signals:high"] });
    assert.deepEqual(client.getSubscriptions(), []);
    peer.say(signal(1), { type: "pong" });
    await event(client, "pong");
    assert.equal(peer.unread, 0);
  });

  test("by one channel with parameters keeps the older library's form, also after a break", async () => {
    stopClock();
    const client = oneObject();
    const asked = { type: "subscribe", channel: "prices", params: { symbols: ["BTC"], exchanges: [] } };
    client.subscribePrices(["BTC"]);
    const price = event(client, "price_update");
    client.connect();
    const peer = await server.peer();
    assert.deepEqual(await peer.next(), asked);
    peer.say(
      {
        type: "subscription_success",
        data: { channel: "prices", channels: [{ channel: "price:BTC", mode: "state", epoch: "p", offset: 7 }] },
      },
      { type: "price_update", channel: "prices", topic: "price:BTC", offset: 8, data: { symbol: "BTC" } },
    );
    assert.deepEqual(await price, { symbol: "BTC" });
    const scheduled = event(client, "reconnect_scheduled");
    peer.cut();
    await scheduled;
    clock?.advance(30_000);
    const next = await server.peer();
    assert.deepEqual(await next.next(), { ...asked, recover: { "price:BTC": { epoch: "p", offset: 8 } } });
    client.unsubscribe("prices");
    assert.deepEqual(await next.next(), { type: "unsubscribe", channel: "prices" });
  });

  test("the older library's signals and markets are asked for as it did", async () => {
    const client = oneObject();
    client.subscribeSignals(["price_spike"], ["high"]);
    client.subscribeMarketData(["summary"]);
    client.connect();
    const peer = await server.peer();
    assert.deepEqual(await peer.next(), {
      type: "subscribe",
      channel: "signals",
      params: { types: ["price_spike"], severities: ["high"] },
    });
    assert.deepEqual(await peer.next(), { type: "subscribe", channel: "market_data", params: { markets: ["summary"] } });
  });

  test("what was refused for now is asked for again after the hint, what was answered is not", async () => {
    stopClock();
    const client = twoArguments();
    client.on("error", () => undefined);
    client.subscribe(["price:BTC"], () => undefined);
    client.subscribe(["price:*"], () => undefined, { limit: 1 });
    client.connect();
    const peer = await server.peer();
    await peer.next();
    await peer.next();
    peer.say(subscribed("price:BTC", 0), { type: "error", error: { code: "RATE_LIMITED", message: "Slower", retry_after: 2 } });
    await event(client, "server_error");
    clock?.advance(1_999);
    assert.equal(peer.unread, 0);
    clock?.advance(201);
    assert.deepEqual(await peer.next(), { type: "subscribe", channels: ["price:*"], limit: 1 });
  });
});

describe("asking for history", () => {
  const page = {
    ...{ type: "history", channel: "signals:high", mode: "log", epoch: "e1", offset: 9, position: "e1:9", start: "e1:8" },
    events: [{ offset: 9, at: "2030-01-01T00:00:00.000Z", received: "2030-01-01T00:00:00.001Z", data: { id: "signal_9" } }],
  };

  test("gives the answer to the one who asked, whatever order answers come in, and moves no position", async () => {
    const heard: unknown[] = [];
    const client = twoArguments({ reconnectDelay: 1 });
    client.subscribe(["signals:high"], (data) => heard.push(data));
    await client.connect();
    const peer = await server.peer();
    await peer.next();
    peer.say(subscribed("signals:high", 4));
    const first = client.history("signals:high", { since: new Date("2030-01-01T00:00:00Z"), limit: 1 });
    const second = client.history("signals:high", { after: "e1:9" });
    assert.deepEqual(await peer.next(), {
      ...{ type: "history", channel: "signals:high", since: "2030-01-01T00:00:00.000Z", limit: 1, id: 1 },
    });
    assert.deepEqual(await peer.next(), { type: "history", channel: "signals:high", after: "e1:9", id: 2 });
    peer.say({ ...page, id: 2, events: [] }, { ...page, id: 1 }, page, signal(5));
    assert.deepEqual((await second).events, []);
    assert.deepEqual((await first).events, page.events);
    if (heard.length === 0) await event(client, "signal_alert");
    assert.deepEqual(heard, [{ id: "signal_5" }]);
    peer.cut();
    const again = await server.peer();
    const recover = { "signals:high": { epoch: "e1", offset: 5 } };
    assert.deepEqual(await again.next(), { type: "subscribe", channels: ["signals:high"], recover });
  });

  test("rejects where the server refuses, which is no error of the client's, and where there is no connection", async () => {
    const client = twoArguments({ autoReconnect: false });
    client.on("error", unexpected);
    await assert.rejects(client.history("signals:high"), /not connected/);
    await client.connect();
    const peer = await server.peer();
    const refused = client.history("price:nothing");
    const broken = client.history("signals:high");
    const { id } = (await peer.next()) as { id: number };
    peer.say({ type: "error", id, error: { code: "INVALID_CHANNEL", message: "Unknown" } });
    await assert.rejects(refused, (error) => error instanceof RefusedError && error.code === "INVALID_CHANNEL");
    peer.close(1012);
    await assert.rejects(broken, /closed before the answer/);
  });

  test("is done again when the server was asked too often", async () => {
    stopClock();
    const client = twoArguments();
    client.on("error", () => undefined);
    await client.connect();
    const peer = await server.peer();
    const answer = client.history("signals:high");
    await peer.next();
    peer.say({ type: "error", error: { code: "RATE_LIMITED", message: "Too many", retry_after: 2 } });
    await event(client, "server_error");
    clock?.advance(10_000);
    const { id } = (await peer.next()) as { id: number };
    peer.say({ ...page, id });
    assert.equal((await answer).offset, 9);
  });
});

describe("messages", () => {
  test("are events of their type: their data, or all of it where they have none", async () => {
    const client = twoArguments();
    client.connect();
    const peer = await server.peer();
    const status = event(client, "system_status");
    const gap = event(client, "gap");
    const any = event(client, "message");
    peer.say({ type: "system_status", data: { status: "healthy" } }, { type: "gap", channel: "price:BTC", from: 4, to: 5 });
    assert.deepEqual(await status, { status: "healthy" });
    assert.deepEqual(await gap, { type: "gap", channel: "price:BTC", from: 4, to: 5 });
    assert.deepEqual(await any, { type: "system_status", data: { status: "healthy" } });
  });

  test("that are none are reported, and those after them are heard", async () => {
    const client = twoArguments();
    const errors: string[] = [];
    client.on("error", (error) => errors.push(error.type));
    client.connect();
    const peer = await server.peer();
    for (const text of ["not JSON", '{"no":"type"}', Buffer.from([1, 2])]) peer.sayText(text);
    peer.say({ type: "pong" });
    await event(client, "pong");
    assert.deepEqual(errors, ["parse_error", "parse_error", "parse_error"]);
  });

  test("of an error carry its code", async () => {
    const client = twoArguments();
    const body = { code: "INVALID_CHANNEL", message: "Channel 'price:invalid' does not exist" };
    const error = event(client, "error");
    const raw = event(client, "server_error");
    client.connect();
    (await server.peer()).say({ type: "error", error: body });
    assert.deepEqual(await error, { type: "server_error", ...body });
    assert.deepEqual(await raw, body);
    assert.equal(client.getConnectionState().lastError?.code, "INVALID_CHANNEL");
  });

  test("cannot pass for an event of the client", async () => {
    const client = twoArguments();
    let times = 0;
    client.on("connected", () => (times += 1));
    client.connect();
    (await server.peer()).say({ type: "connected" }, { type: "pong" });
    await event(client, "pong");
    assert.equal(times, 1);
  });
});

describe("connecting again", () => {
  test("asks for what was missed, from where the client stands", async () => {
    stopClock();
    const client = twoArguments();
    const seen: unknown[] = [];
    client.subscribe(["signals:high", "price:*"], (data) => seen.push(data));
    client.connect();
    const peer = await server.peer();
    await peer.next();
    peer.say(
      {
        type: "subscribed",
        channels: [
          { channel: "signals:high", mode: "log", epoch: "s", offset: 41 },
          { channel: "price:BTC", mode: "state", epoch: "p", offset: 7, pattern: "price:*" },
        ],
        patterns: ["price:*"],
      },
      signal(42),
      { type: "gap", channel: "price:BTC", from: 8, to: 9, reason: "conflated" },
    );
    await event(client, "gap");
    const scheduled = event(client, "reconnect_scheduled");
    peer.cut();
    await scheduled;
    assert.equal(client.getConnectionState().reconnecting, true);
    const reconnected = event(client, "reconnected");
    clock?.advance(1_000);
    const next = await server.peer();
    assert.deepEqual(await next.next(), {
      type: "subscribe",
      channels: ["signals:high", "price:*"],
      recover: { "signals:high": { epoch: "s", offset: 42 }, "price:BTC": { epoch: "p", offset: 9 } },
    });
    await reconnected;
    next.say(subscribed("signals:high", 44, { epoch: "s", recovered: true }), signal(43), signal(44), { type: "pong" });
    await event(client, "pong");
    assert.deepEqual(seen, [{ id: "signal_42" }, { id: "signal_43" }, { id: "signal_44" }]);
  });

  test("after the server started anew, its new offsets are heard", async () => {
    stopClock();
    const client = twoArguments();
    const seen: unknown[] = [];
    client.subscribe(["signals:high"], (data) => seen.push(data));
    client.connect();
    const peer = await server.peer();
    peer.say(subscribed("signals:high", 41), signal(42), { type: "pong" });
    await event(client, "pong");
    const scheduled = event(client, "reconnect_scheduled");
    peer.close(1012, "SERVER_RESTART retry_after=3.2");
    const { delay } = (await scheduled) as { delay: number };
    assert.ok(delay >= 3_200 && delay <= 3_520, String(delay));
    clock?.advance(delay);
    const next = await server.peer();
    next.say(subscribed("signals:high", 0, { epoch: "e2", recovered: false }), signal(1), { type: "pong" });
    await event(client, "pong");
    assert.deepEqual(seen, [{ id: "signal_42" }, { id: "signal_1" }]);
  });

  test("waits ever longer, up to the most attempts", async () => {
    stopClock();
    mock.method(Math, "random", () => 0);
    const client = twoArguments({ reconnectDelay: 1_000, maxReconnectAttempts: 7 });
    client.on("error", () => undefined);
    await server.stop();
    const delays: number[] = [];
    const failed = event(client, "reconnect_failed");
    client.on("reconnect_scheduled", ({ delay }) => {
      delays.push(delay);
      queueMicrotask(() => clock?.advance(delay));
    });
    await assert.rejects(client.connect(), /closed before it was open/);
    assert.deepEqual(await failed, { attempts: 7, reason: "attempts" });
    assert.deepEqual(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    assert.equal(client.getConnectionState().reconnecting, false);
    server = await Server.start();
  });

  test("a server that accepts and closes is not met with a first wait each time", async () => {
    stopClock();
    mock.method(Math, "random", () => 0);
    const client = twoArguments();
    client.on("error", () => undefined);
    client.connect();
    const delays: number[] = [];
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const peer = await server.peer();
      const scheduled = event(client, "reconnect_scheduled");
      peer.say({ type: "error", error: { code: "CONNECTION_FULL", message: "Full" } });
      peer.close(1013, "CONNECTION_FULL");
      const { delay } = (await scheduled) as { delay: number };
      delays.push(delay);
      clock?.advance(delay);
    }
    assert.deepEqual(delays, [1_000, 2_000, 4_000]);
    const served = await server.peer();
    served.say({ type: "pong" });
    await event(client, "pong");
    assert.equal(client.reconnectAttempts, 0);
  });

  test("waits as long as an error before the close asked for", async () => {
    stopClock();
    const client = twoArguments();
    client.on("error", () => undefined);
    client.connect();
    const peer = await server.peer();
    const scheduled = event(client, "reconnect_scheduled");
    peer.say({ type: "error", error: { code: "CONNECTION_FULL", message: "Full", retry_after: 60 } });
    peer.close(1013, "CONNECTION_FULL");
    const { delay } = (await scheduled) as { delay: number };
    assert.ok(delay >= 60_000, String(delay));
  });

  for (const [code, reason, why] of [
    [1008, "INVALID_TOKEN", "the credentials were refused"],
    [1000, "done", "the server ended it"],
  ] as const) {
    test(`is left when ${why}`, async () => {
      stopClock();
      const client = twoArguments({ token: "wrong" });
      client.connect();
      const peer = await server.peer();
      const disconnected = event(client, "disconnected");
      peer.close(code, reason);
      assert.deepEqual(await disconnected, { code, reason });
      clock?.advance(60_000);
      assert.equal(client.getConnectionState().connecting, false);
      assert.equal(server.unmet, 0);
    });
  }

  test("is left when switched off, and after disconnect", async () => {
    stopClock();
    const off = twoArguments({ autoReconnect: false });
    off.connect();
    const disconnected = event(off, "disconnected");
    (await server.peer()).cut();
    await disconnected;
    const client = twoArguments();
    client.connect();
    const scheduled = event(client, "reconnect_scheduled");
    (await server.peer()).cut();
    await scheduled;
    client.disconnect();
    clock?.advance(60_000);
    for (const one of [off, client]) assert.equal(one.getConnectionState().connecting, false);
  });

  test("is not left by a client that was only too slow", async () => {
    stopClock();
    const client = twoArguments({ token: "right" });
    client.connect();
    const peer = await server.peer();
    const scheduled = event(client, "reconnect_scheduled");
    peer.close(1008, "SLOW_CLIENT");
    await scheduled;
  });

  test("by hand does not wait, and resumes", async () => {
    stopClock();
    const client = twoArguments();
    client.subscribe(["signals:high"], () => undefined);
    client.connect();
    const peer = await server.peer();
    peer.say(subscribed("signals:high", 41));
    await event(client, "subscribed");
    const closed = peer.closed();
    client.disconnect();
    assert.equal(client.getConnectionState().connected, false);
    assert.equal(await closed, 1000);
    await client.connect();
    assert.deepEqual(await (await server.peer()).next(), {
      type: "subscribe",
      channels: ["signals:high"],
      recover: { "signals:high": { epoch: "e1", offset: 41 } },
    });
  });

  test("disconnecting while connecting fails the promise and leaves nothing", async () => {
    const client = twoArguments();
    const connecting = client.connect();
    assert.equal(client.getConnectionState().connecting, true);
    assert.equal(client.connect(), connecting);
    client.disconnect();
    await assert.rejects(connecting, /closed before it was open/);
    assert.equal(client.getConnectionState().connecting, false);
    assert.throws(() => client.send({ type: "ping" }), /not connected/);
  });
});

describe("the heartbeat", () => {
  test("pings, and takes a connection that stays silent for broken", async () => {
    stopClock();
    const client = twoArguments();
    await client.connect();
    const peer = await server.peer();
    clock?.advance(30_000);
    assert.deepEqual(await peer.next(), { type: "ping" });
    peer.say({ type: "pong" });
    await event(client, "pong");
    assert.ok(client.getStats().connectionState.lastPongTime);
    clock?.advance(30_000);
    assert.deepEqual(await peer.next(), { type: "ping" });
    const disconnected = event(client, "disconnected");
    const scheduled = event(client, "reconnect_scheduled");
    clock?.advance(30_000);
    assert.deepEqual(await disconnected, { code: 1006, reason: "No answer to a ping" });
    await scheduled;
  });

  test("can be switched off", async () => {
    stopClock();
    const client = twoArguments({ heartbeatInterval: 0 });
    await client.connect();
    clock?.advance(120_000);
    assert.equal(client.getConnectionState().connected, true);
  });
});

test("the built file stands alone and exports the class under both names", async () => {
  const built = new URL("../../static/websocket-client.js", import.meta.url);
  const loaded = (await import(String(built))) as Record<string, unknown>;
  assert.equal(typeof loaded.CryptoIntelWebSocket, "function");
  assert.equal(loaded.default, loaded.CryptoIntelWebSocket);
  const { readFile } = await import("node:fs/promises");
  assert.doesNotMatch(await readFile(built, "utf8"), /^import /m);
});

test("a process may leave the promise of a failed connection alone", async () => {
  const { spawn } = await import("node:child_process");
  const built = new URL("../../static/websocket-client.js", import.meta.url);
  const { url } = server;
  await server.stop();
  const program = `
    import { CryptoIntelWebSocket } from ${JSON.stringify(String(built))};
    new CryptoIntelWebSocket(${JSON.stringify(url)}, { autoReconnect: false }).connect();`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: "ignore" });
  const [code] = (await once(child, "exit")) as [number];
  assert.equal(code, 0);
  server = await Server.start();
});
