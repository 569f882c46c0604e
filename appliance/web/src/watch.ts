/**
 * The page at `/`: prices, signals, the portfolio and the system, live.
 * Must not know how a connection is kept: that is the client library's part.
 */

import { byId, setText } from "./watch/elements.ts";
import { forgetKey, keepKey, takeKey } from "./watch/key.ts";
import { Portfolio } from "./watch/portfolio.ts";
import { Prices } from "./watch/prices.ts";
import { Signals } from "./watch/signals.ts";
import { System } from "./watch/system.ts";
import { type ClientError, CryptoIntelWebSocket } from "./websocket-client.ts";

/** More a second than people can follow is not asked for. */
const UPDATES_A_SECOND = 4;
const REFUSALS: readonly (string | undefined)[] = ["INVALID_TOKEN", "EXPIRED_TOKEN", "REVOKED_TOKEN", "UNAUTHORIZED"];

const form = byId("key-form") as HTMLFormElement;
const input = byId("key") as HTMLInputElement;
const notice = byId("notice");
const prices = new Prices(byId("prices"));
const signals = new Signals(byId("signals"));
const portfolio = new Portfolio(byId("positions"), byId("total"));
const system = new System(byId("system"));

let client: CryptoIntelWebSocket | undefined;

function showState(state: "connecting" | "live" | "waiting" | "refused", text: string): void {
  byId("state").dataset.state = state;
  setText(byId("state"), text);
}

function address(): URL {
  const url = new URL("ws", location.href);
  url.protocol = location.protocol === "http:" ? "ws:" : "wss:";
  url.hash = url.search = "";
  return url;
}

/** Without a key it is tried as well: a listener may be open to all. */
function watch(key: string | undefined): void {
  client?.disconnect();
  setText(notice, "");
  form.hidden = true;
  byId("forget").hidden = key === undefined;
  showState("connecting", "Connecting…");
  const socket = new CryptoIntelWebSocket(address(), {
    maxReconnectAttempts: Infinity,
    ...(key === undefined ? {} : { token: key }),
  });
  client = socket;
  socket.subscribe("price:*", (data) => prices.show(data), { limit: UPDATES_A_SECOND });
  socket.subscribe("signals:all", (data) => signals.show(data));
  socket.subscribe("portfolio:*", (data) => portfolio.show(data), { limit: 1 });
  socket.subscribe("system:status", (data) => system.show(data));
  socket.on("subscribed", () => showState("live", "Live"));
  socket.on("reconnect_scheduled", ({ delay }) => {
    showState("waiting", `Connection lost. Trying again in ${Math.ceil(delay / 1_000)} s`);
  });
  socket.on("error", (error) => failed(socket, error, key));
  void socket.connect();
}

function failed(socket: CryptoIntelWebSocket, error: ClientError, key: string | undefined): void {
  if (error.type === "connection_error" || socket !== client) return;
  if (!REFUSALS.includes(error.code)) {
    setText(notice, error.message);
    return;
  }
  socket.disconnect();
  forgetKey();
  showState("refused", key === undefined ? "A key is needed" : "The key was refused");
  byId("forget").hidden = true;
  form.hidden = false;
  input.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const key = input.value.trim();
  input.value = "";
  if (key === "") return;
  keepKey(key);
  watch(key);
});

byId("forget").addEventListener("click", () => {
  forgetKey();
  // Loading anew also forgets what the key has shown.
  location.reload();
});

addEventListener("hashchange", () => {
  if (location.hash.startsWith("#key=")) watch(takeKey());
});

watch(takeKey());
