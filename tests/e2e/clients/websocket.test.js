/**
 * The client library against a live appliance: `npm test websocket.test.js`.
 *
 * APPLIANCE_URL is its WebSocket address, APPLIANCE_KEY a key of it, and NODE_EXTRA_CA_CERTS the file with its
 * certificate when that is self-signed. The prices must move.
 */

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { WebSocket } from "ws";

import { CryptoIntelWebSocket } from "../../../appliance/web/static/websocket-client.js";
import { Offsets } from "./offsets.js";

const url = process.env.APPLIANCE_URL;
const token = process.env.APPLIANCE_KEY;

let clients = [];
let sockets = [];

/** Known to the tests, so that they can cut it. */
class KnownWebSocket extends WebSocket {
  constructor(address) {
    super(address);
    sockets.push(this);
  }
}

function track(client) {
  clients.push(client);
  return client;
}

function connect(options = {}) {
  return track(new CryptoIntelWebSocket(url, { token, WebSocket: KnownWebSocket, ...options }));
}

/** The next event of the client, or the next one that passes. */
function event(client, type, passes = () => true) {
  return new Promise((resolve) => {
    const listener = (payload) => {
      if (!passes(payload)) return;
      client.off(type, listener);
      resolve(payload);
    };
    client.on(type, listener);
  });
}

/** Once all that the server had to say before it has come. */
async function settled(client) {
  const pong = event(client, "pong");
  client.send({ type: "ping" });
  await pong;
}

function complaint(client, code) {
  return event(client, "error", (error) => error.code === code);
}

before(() => {
  assert.ok(url, "APPLIANCE_URL is not set: the address of the appliance, wss://host:port/ws");
  assert.ok(token, "APPLIANCE_KEY is not set: a key of the appliance");
});

afterEach(() => {
  for (const client of clients) client.disconnect();
  clients = [];
  sockets = [];
});

after(() => {
  for (const client of clients) client.disconnect();
});

describe("connection establishment", () => {
  test("opens, and says so", async () => {
    const client = connect();
    const connected = event(client, "connected");
    await client.connect();
    await connected;
    assert.equal(client.getConnectionState().connected, true);
  });

  test("answers a ping", async () => {
    const client = connect();
    await client.connect();
    await settled(client);
    assert.ok(client.getConnectionState().lastPongTime);
  });

  test("closes when the client wants it", async () => {
    const client = connect();
    await client.connect();
    const disconnected = event(client, "disconnected");
    client.disconnect();
    assert.equal((await disconnected).code, 1000);
  });
});

describe("authentication", () => {
  test("by the first message", async () => {
    const client = connect();
    const authenticated = event(client, "authenticated");
    client.connect();
    assert.equal(typeof (await authenticated).name, "string");
  });

  test("by the query, as the older library did", async () => {
    const client = track(new CryptoIntelWebSocket({ url, token, WebSocket: KnownWebSocket }));
    const answered = event(client, "subscription_success");
    const price = event(client, "price_update");
    await client.connect();
    client.subscribePrices(["BTC"]);
    assert.equal((await answered).channel, "prices");
    assert.equal((await price).symbol, "BTC");
  });

  test("with a wrong token is refused with INVALID_TOKEN, and not tried again", async () => {
    const client = connect({ token: "wrong" });
    const refused = complaint(client, "INVALID_TOKEN");
    const failed = event(client, "reconnect_failed");
    client.connect();
    await refused;
    assert.equal((await failed).reason, "credentials");
  });

  test("is asked for with UNAUTHORIZED", async () => {
    const client = connect({ token: undefined });
    const refused = complaint(client, "UNAUTHORIZED");
    client.subscribe(["price:bitcoin"], () => assert.fail("served without a key"));
    client.connect();
    await refused;
  });
});

describe("message handling", () => {
  test("prices come under the name that they were subscribed by", async () => {
    const client = connect();
    const price = new Promise((resolve) => client.subscribe(["price:bitcoin"], (data, message) => resolve([data, message])));
    client.connect();
    const [data, message] = await price;
    assert.equal(message.type, "price_update");
    assert.equal(message.channel, "price:bitcoin");
    assert.equal(data.symbol, "BTC");
    for (const field of ["price", "change_24h", "volume_24h"]) assert.equal(typeof data[field], "number", field);
    assert.ok(!Number.isNaN(Date.parse(data.timestamp)), data.timestamp);
  });

  test("the market's summary comes as in the document", async () => {
    const client = connect();
    const summary = new Promise((resolve) => client.subscribe(["market:summary"], resolve));
    client.connect();
    const data = await summary;
    for (const field of ["total_market_cap", "total_volume_24h", "bitcoin_dominance", "active_cryptocurrencies"]) {
      assert.equal(typeof data[field], "number", field);
    }
  });

  test("the system's status comes by itself", async () => {
    const client = connect();
    // The first one may be of before the client came.
    const status = event(client, "system_status", (data) => data.active_connections >= 1);
    client.connect();
    assert.equal(typeof (await status).status, "string");
  });

  test("every offset of every topic comes once, or is declared a gap", async () => {
    const offsets = new Offsets();
    const client = connect();
    client.on("message", (message) => offsets.take(message));
    client.subscribe(["price:*", "signals:all"], () => undefined);
    client.connect();
    await event(client, "message", () => offsets.messages >= 50);
    assert.deepEqual(offsets.broken, []);
  });

  test("a limit leaves out what came in between", async () => {
    const seen = [];
    const client = connect();
    const answered = event(client, "subscribed");
    client.subscribe(["price:bitcoin"], (_data, { offset }) => seen.push(offset), { limit: 0.5 });
    client.connect();
    assert.equal((await answered).channels[0].limit, 0.5);
    await event(client, "price_update", () => seen.length > 2 && seen.at(-1) > seen.at(-2) + 1);
    assert.deepEqual(seen, [...new Set(seen)].sort((one, other) => one - other));
  });
});

describe("subscription management", () => {
  test("many channels in one message, each to its own callback", async () => {
    const client = connect();
    const [bitcoin, ethereum] = ["price:bitcoin", "price:ethereum"].map(
      (channel) => new Promise((resolve) => client.subscribe([channel], resolve)),
    );
    client.connect();
    assert.equal((await bitcoin).symbol, "BTC");
    assert.equal((await ethereum).symbol, "ETH");
  });

  test("a pattern brings all its topics", async () => {
    const client = connect();
    const symbols = new Set();
    client.subscribe("price:*", (data) => symbols.add(data.symbol));
    client.connect();
    await event(client, "price_update", () => symbols.has("BTC") && symbols.has("ETH"));
  });

  test("after unsubscribing nothing comes", async () => {
    const client = connect();
    let calls = 0;
    client.subscribe(["price:bitcoin"], () => (calls += 1));
    client.connect();
    await event(client, "price_update");
    const answered = event(client, "unsubscribed");
    client.unsubscribe(["price:bitcoin"]);
    assert.deepEqual((await answered).channels, ["price:bitcoin"]);
    const before = calls;
    const others = new Promise((resolve) => client.subscribe(["price:ethereum"], resolve));
    await others;
    assert.equal(calls, before);
    assert.deepEqual(client.getSubscriptions(), ["price:ethereum"]);
  });

  test("subscribing again brings the newest value again", async () => {
    const client = connect();
    const first = new Promise((resolve) => client.subscribe(["market:summary"], resolve));
    client.connect();
    await first;
    client.unsubscribe(["market:summary"]);
    await new Promise((resolve) => client.subscribe(["market:summary"], resolve));
  });
});

describe("error scenarios", () => {
  test("an unknown channel is named, and the others are served", async () => {
    const client = connect();
    const refused = complaint(client, "INVALID_CHANNEL");
    const price = new Promise((resolve) => client.subscribe(["price:bitcoin", "nosuch:thing"], resolve));
    client.connect();
    assert.match((await refused).message, /nosuch:thing/);
    assert.equal((await price).symbol, "BTC");
  });

  for (const [what, text] of [
    ["not JSON", "{"],
    ["not an object", "[]"],
    ["without a type", "{}"],
    ["of an unknown type", '{"type":"dance"}'],
    ["with channels of a wrong type", '{"type":"subscribe","channels":"price:bitcoin"}'],
  ]) {
    test(`a message that is ${what} is an INVALID_MESSAGE, and the connection goes on`, async () => {
      const client = connect();
      await client.connect();
      const refused = complaint(client, "INVALID_MESSAGE");
      client.send(text);
      await refused;
      await settled(client);
    });
  }
});

describe("reconnection logic", () => {
  test("a cut connection comes back and misses nothing", async () => {
    const offsets = new Offsets();
    const client = connect({ reconnectDelay: 50 });
    client.on("error", () => undefined);
    client.on("message", (message) => offsets.take(message));
    client.subscribe(["price:*", "signals:all"], () => undefined);
    client.connect();
    for (let cut = 1; cut <= 3; cut += 1) {
      const goal = offsets.messages + 40;
      await event(client, "message", () => offsets.messages >= goal);
      const answered = event(client, "subscribed");
      sockets.at(-1).terminate();
      const { channels } = await answered;
      const asked = channels.filter((answer) => answer.recovered !== undefined);
      assert.ok(asked.length > 0, "the client did not ask for what it missed");
      for (const answer of asked) assert.equal(answer.recovered, true, answer.channel);
    }
    const goal = offsets.messages + 40;
    await event(client, "message", () => offsets.messages >= goal);
    assert.deepEqual(offsets.broken, []);
    assert.equal(sockets.length, 4);
  });

  test("a position of another epoch is not recovered, and the newest value comes", async () => {
    const client = connect();
    await client.connect();
    const answered = event(client, "subscribed");
    const price = event(client, "price_update");
    client.send({ type: "subscribe", channels: ["price:bitcoin"], recover: { "price:bitcoin": { epoch: "another", offset: 1 } } });
    const [answer] = (await answered).channels;
    assert.equal(answer.recovered, false);
    assert.equal((await price).symbol, "BTC");
  });

  test("it gives up after the most attempts", async () => {
    const closed = new URL(url);
    closed.port = "9";
    const client = track(
      new CryptoIntelWebSocket(closed, { WebSocket, reconnectDelay: 10, maxReconnectAttempts: 2 }),
    );
    client.on("error", () => undefined);
    const failed = event(client, "reconnect_failed");
    await assert.rejects(client.connect());
    assert.deepEqual(await failed, { attempts: 2, reason: "attempts" });
  });
});

describe("performance benchmarks", () => {
  test("throughput and latency, as they are here and now", async (context) => {
    const client = connect();
    const began = performance.now();
    await client.connect();
    const opened = performance.now() - began;
    let messages = 0;
    client.subscribe(["*"], () => (messages += 1));
    const from = performance.now();
    await event(client, "message", () => messages >= 200);
    const rate = messages / ((performance.now() - from) / 1_000);
    const pings = [];
    for (let ping = 0; ping < 20; ping += 1) {
      const sent = performance.now();
      await settled(client);
      pings.push(performance.now() - sent);
    }
    pings.sort((one, other) => one - other);
    context.diagnostic(`connection establishment ${opened.toFixed(1)} ms`);
    context.diagnostic(`${messages} messages at ${rate.toFixed(0)} a second (what the sources gave)`);
    context.diagnostic(`round trip of a ping: median ${pings[10].toFixed(2)} ms, longest ${pings[19].toFixed(2)} ms`);
  });
});
