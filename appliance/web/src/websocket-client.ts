/**
 * The browser client of the appliance: one socket, any number of channels, and no message missed or given twice.
 *
 *     const ws = new CryptoIntelWebSocket("wss://host/ws", { token });
 *     ws.subscribe(["price:*"], (price) => console.log(price));
 *     ws.connect();
 *
 * The older library's form, `new CryptoIntelWebSocket({ url, token })` with `subscribePrices` and `on`, works as well.
 * Must not know what the data of a channel looks like.
 */

import { hinted } from "./backoff.ts";
import { Connection, type Owner } from "./connection.ts";
import { Emitter, type Listener } from "./emitter.ts";
import type { ClientError, ConnectionState, Events, HistoryEvent, HistoryPage, HistoryRange } from "./options.ts";
import { type Options, type OptionsWithUrl, RefusedError, type Socket, type SocketClass } from "./options.ts";
import { Positions } from "./positions.ts";
import { answersOf, confirmedBy, errorOf, type Fields, gapOf, isAnswer, type Message } from "./protocol.ts";
import { offsetOf, parseMessage, topicOf } from "./protocol.ts";
import { Questions } from "./questions.ts";
import { type Callback, request, requestWithParameters, Subscriptions } from "./subscriptions.ts";

export type { Callback, ClientError, ConnectionState, Events, HistoryEvent, HistoryPage, HistoryRange };
export type { Message, Options, OptionsWithUrl, Socket, SocketClass };
export { RefusedError };

/** Messages of these types would be mistaken for the client's own events. */
const OWN_EVENTS: ReadonlySet<string> = new Set<keyof Events>([
  ...(["connected", "disconnected", "error", "message"] as const),
  ...(["reconnect_scheduled", "reconnected", "reconnect_failed"] as const),
]);

export class CryptoIntelWebSocket {
  readonly url: string;
  readonly maxReconnectAttempts: number;
  readonly reconnectDelay: number;
  readonly heartbeatInterval: number;

  readonly #connection: Connection;
  readonly #emitter = new Emitter();
  readonly #subscriptions = new Subscriptions();
  readonly #positions = new Positions();
  readonly #questions = new Questions();
  readonly #confirmed = new Set<string>();
  readonly #secret: (() => string) | undefined;
  #token: string | undefined;
  #askingAgain: ReturnType<typeof setTimeout> | undefined;
  #lastError: ClientError | null = null;
  #lastPong: string | null = null;

  constructor(url: string | URL, options?: Options);
  constructor(options?: OptionsWithUrl);
  constructor(first: string | URL | OptionsWithUrl = {}, second: Options = {}) {
    const inTwo = typeof first === "string" || first instanceof URL;
    const options: OptionsWithUrl = inTwo ? { ...second, url: first } : first;
    const { token, autoReconnect = true } = options;
    this.url = String(options.url ?? pageAddress());
    this.reconnectDelay = options.reconnectDelay ?? options.reconnectInterval ?? 1_000;
    this.maxReconnectAttempts = options.maxReconnectAttempts ?? 10;
    this.heartbeatInterval = options.heartbeatInterval ?? 30_000;
    const plan = {
      Socket: options.WebSocket,
      delay: this.reconnectDelay,
      mostAttempts: this.maxReconnectAttempts,
      heartbeat: this.heartbeatInterval,
      credentialsChange: typeof token === "function",
    };
    this.#secret = typeof token === "string" ? () => token : token;
    this.#connection = new Connection(plan, this.#owner(inTwo), autoReconnect);
  }

  /** Resolves once the connection is open. It may be left alone: a failure is an `error` event, and tried again. */
  connect(): Promise<void> {
    return this.#connection.open();
  }

  /** Close and stay closed. Subscriptions and positions are kept: `connect` resumes. */
  disconnect(): void {
    this.#connection.close("Client disconnect");
  }

  /**
   * Call `callback` with the data of each message of the channels, topics (`price:BTC`) or patterns (`price:*`).
   * `limit` is the most updates a second of a topic. Without a connection, the request waits for one.
   * `Data` is the caller's own word for what the channels carry.
   */
  subscribe<Data = unknown>(channels: string | readonly string[], callback: Callback<Data>, options?: { limit?: number }): void;
  subscribe(channels: readonly string[], callback?: undefined, options?: { limit?: number }): void;
  /** The older library's form: one channel with parameters, heard through `on`. */
  subscribe(channel: string, parameters?: Fields): void;
  subscribe(channels: string | readonly string[], second?: Callback<never> | Fields, options: { limit?: number } = {}): void {
    if (typeof channels === "string" && typeof second !== "function") {
      const parameters = second ?? {};
      this.#subscriptions.addWithParameters(channels, parameters);
      this.#sendIfOpen(requestWithParameters(channels, parameters));
      this.#emit("subscribed", { channel: channels, params: parameters });
      return;
    }
    const names = typeof channels === "string" ? [channels] : channels;
    const callback = second as Callback | undefined;
    this.#subscriptions.add(names, callback, options.limit);
    this.#sendIfOpen(request(names, options.limit));
    if (callback === undefined || !this.#connection.state.connected) return;
    // Not from within `subscribe`, where no caller would expect its callback to be called.
    queueMicrotask(() => this.#subscriptions.catchUp(callback, (error) => this.#report(error)));
  }

  subscribePrices(symbols: readonly string[], exchanges: readonly string[] = []): void {
    this.subscribe("prices", { symbols, exchanges });
  }

  subscribeSignals(types: readonly string[] = [], severities: readonly string[] = []): void {
    this.subscribe("signals", { types, severities });
  }

  subscribeMarketData(markets: readonly string[] = []): void {
    this.subscribe("market_data", { markets });
  }

  /** Stop calling `callback`, or all callbacks of the channels; what nobody wants any more is unsubscribed. */
  unsubscribe(channels: string | readonly string[], callback?: Callback<never>): void {
    if (typeof channels === "string" && this.#subscriptions.removeWithParameters(channels)) {
      this.#confirmed.delete(channels);
      this.#sendIfOpen({ type: "unsubscribe", channel: channels });
      this.#emit("unsubscribed", { channel: channels });
      return;
    }
    const names = typeof channels === "string" ? [channels] : channels;
    const unwanted = this.#subscriptions.remove(names, callback as Callback | undefined);
    this.#positions.retain(this.#subscriptions.names);
    for (const name of unwanted) this.#confirmed.delete(name);
    if (unwanted.length > 0) this.#sendIfOpen({ type: "unsubscribe", channels: unwanted });
  }

  /**
   * Ask for what a topic keeps, with or without a subscription to it. Rejects with a `RefusedError` where the server
   * says no, and with an `Error` where the connection is not there or breaks.
   */
  async history<Data = unknown>(channel: string, range: HistoryRange = {}): Promise<HistoryPage<Data>> {
    // Dates become text as JSON writes them, which is what the server reads.
    const question = { type: "history", channel, ...range };
    return (await this.#questions.ask(question, (message) => this.send(message))) as HistoryPage<Data>;
  }

  /** Hear of an event of the client, or of each message of a type: its `data`, or all of it where it has none. */
  on<Event extends keyof Events>(event: Event, listener: (payload: Events[Event]) => void): void;
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the caller names what the type carries
  on<Payload = unknown>(type: string, listener: (payload: Payload) => void): void;
  on(event: string, listener: (payload: never) => void): void {
    this.#emitter.add(event, listener as Listener);
  }

  off(event: string, listener: (payload: never) => void): void {
    this.#emitter.remove(event, listener as Listener);
  }

  /**
   * Ask `token` anew, and go on with what it gives in the same session. The client does it by itself when it hears that
   * its credential is about to expire, after the listeners to `expiring`; call it where a newer one came later.
   */
  authenticate(): void {
    const token = this.#secret?.();
    if (token === undefined || token === this.#token) return;
    this.#token = token;
    this.#sendIfOpen({ type: "auth", token });
  }

  /** Send a message as it is; throws without a connection. */
  send(message: string | Fields): void {
    this.#connection.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  get autoReconnect(): boolean {
    return this.#connection.autoReconnect;
  }

  set autoReconnect(wanted: boolean) {
    this.#connection.autoReconnect = wanted;
  }

  get reconnectAttempts(): number {
    return this.#connection.attempts;
  }

  getSubscriptions(): string[] {
    return this.#subscriptions.names;
  }

  getConnectionState(): ConnectionState {
    return { ...this.#connection.state, lastError: this.#lastError, lastPongTime: this.#lastPong };
  }

  getStats() {
    return {
      connectionState: this.getConnectionState(),
      subscriptions: this.getSubscriptions(),
      reconnectAttempts: this.reconnectAttempts,
      maxReconnectAttempts: this.maxReconnectAttempts,
      reconnectInterval: this.reconnectDelay,
      heartbeatInterval: this.heartbeatInterval,
    };
  }

  /** A token goes into the first message, or into the address as the older library did. */
  #owner(inMessage: boolean): Owner {
    return {
      address: () => {
        this.#token = this.#secret?.();
        if (this.#token === undefined || inMessage) return this.url;
        const address = new URL(this.url);
        address.searchParams.set("token", this.#token);
        return String(address);
      },
      opened: (again) => {
        if (this.#token !== undefined && inMessage) this.send({ type: "auth", token: this.#token });
        for (const message of this.#subscriptions.requests(this.#positions)) this.send(message);
        this.#emit("connected", undefined);
        if (again) this.#emit("reconnected", undefined);
      },
      received: (text) => this.#received(text),
      silent: () => this.send({ type: "ping" }),
      failed: (error) => this.#fail({ type: "connection_error", message: messageOf(error), error }),
      closed: (code, reason) => {
        clearTimeout(this.#askingAgain);
        this.#confirmed.clear();
        this.#questions.lost();
        this.#emit("disconnected", { code, reason });
      },
      scheduled: (attempt, delay) => this.#emit("reconnect_scheduled", { attempt, delay }),
      gaveUp: (attempts, reason) => this.#emit("reconnect_failed", { attempts, reason }),
    };
  }

  #received(text: unknown): void {
    let message: Message;
    try {
      message = parseMessage(text);
    } catch (error) {
      this.#fail({ type: "parse_error", message: messageOf(error), error });
      return;
    }
    if (message.type === "error") {
      this.#refused(message);
      return;
    }
    this.#connection.served();
    // What was asked for is no part of the stream: it moves no position.
    if (message.type === "history" && this.#questions.answered(message)) return;
    this.#keepBooks(message);
    this.#emit("message", message);
    if (!OWN_EVENTS.has(message.type)) this.#emit(message.type, message.data ?? message);
    if ("data" in message) this.#subscriptions.deliver(message, (error) => this.#report(error));
    if (message.type === "expiring") this.#renew();
  }

  #renew(): void {
    try {
      this.authenticate();
    } catch (error) {
      this.#report(error);
    }
  }

  #keepBooks(message: Message): void {
    if (isAnswer(message)) {
      for (const name of confirmedBy(message)) this.#confirmed.add(name);
      for (const answer of answersOf(message)) {
        if (this.#positions.answered(answer)) this.#subscriptions.restarted(answer.topic);
        if (answer.state) this.#subscriptions.keepLatest(answer.topic);
      }
    } else if (message.type === "gap") {
      const gap = gapOf(message);
      if (gap !== undefined) this.#positions.advanced(gap.topic, gap.to);
    } else if (message.type === "pong") {
      this.#lastPong = new Date().toISOString();
    } else if ("data" in message) {
      const topic = topicOf(message);
      const offset = offsetOf(message);
      if (topic !== undefined && offset !== undefined) this.#positions.advanced(topic, offset);
    }
  }

  #refused(message: Message): void {
    const { retryAfter, ...error } = errorOf(message);
    if (this.#questions.refused(message, new RefusedError(error.code, error.message, retryAfter))) return;
    this.#connection.expect(retryAfter);
    if (retryAfter !== undefined) {
      clearTimeout(this.#askingAgain);
      this.#askingAgain = setTimeout(() => this.#askAgain(), hinted(retryAfter, Math.random()));
    }
    this.#emit("message", message);
    this.#emit("server_error", message.error ?? message.data ?? message);
    this.#fail({ type: "server_error", ...error });
  }

  /** What was refused for now is asked for again; what was answered is not. */
  #askAgain(): void {
    this.#connection.expect(undefined);
    for (const message of this.#subscriptions.requests(this.#positions, this.#confirmed)) this.#sendIfOpen(message);
    for (const question of this.#questions.unanswered) this.#sendIfOpen(question);
  }

  #sendIfOpen(message: Fields): void {
    if (this.#connection.state.connected) this.send(message);
  }

  #emit<Event extends keyof Events>(event: Event, payload: Events[Event]): boolean;
  #emit(event: string, payload: unknown): boolean;
  #emit(event: string, payload: unknown): boolean {
    return this.#emitter.emit(event, payload, (error) => this.#report(error, event));
  }

  #report(error: unknown, during?: string): void {
    // A listener to errors that throws is not told of its own error.
    if (during === "error") console.error("CryptoIntelWebSocket: a listener failed:", error);
    else this.#fail({ type: "callback_error", message: messageOf(error), error });
  }

  #fail(error: ClientError): void {
    this.#lastError = error;
    if (this.#emit("error", error)) return;
    const thrown = error.type === "callback_error" ? [error.error] : [];
    console.error(`CryptoIntelWebSocket: ${error.type}: ${error.message}`, ...thrown);
  }
}

export default CryptoIntelWebSocket;

function pageAddress(): string {
  if (typeof location === "undefined") throw new TypeError("CryptoIntelWebSocket needs the URL of the server");
  return `${location.protocol === "http:" ? "ws" : "wss"}://${location.host}/ws`;
}

function messageOf(error: unknown): string {
  const message: unknown = typeof error === "object" && error !== null && "message" in error ? error.message : error;
  return typeof message === "string" && message !== "" ? message : "The connection failed";
}
