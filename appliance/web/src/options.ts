/**
 * What one can tell the client, and what it tells: its options, its events, and the socket that it needs.
 * Must not know how any of it is done.
 */

import type { Message } from "./protocol.ts";

/** What the client needs of a WebSocket: those of browsers, of Node and of the `ws` package fit. */
export interface Socket {
  addEventListener(type: "open", listener: () => void): void;
  addEventListener(type: "error", listener: (event: object) => void): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: { code: number; reason: string }) => void): void;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export type SocketClass = new (url: string) => Socket;

export interface Options {
  /** Connect again when the connection breaks. True unless set. */
  autoReconnect?: boolean;
  /** Milliseconds before the first attempt to connect again; each further one waits twice as long, up to 30 s. 1000. */
  reconnectDelay?: number;
  /** The older library's name for `reconnectDelay`. */
  reconnectInterval?: number;
  /** Attempts before the client gives up. 10 unless set; `Infinity` never gives up. */
  maxReconnectAttempts?: number;
  /** Milliseconds between pings; a connection that is silent for that long after a ping counts as broken. 30000; 0: none. */
  heartbeatInterval?: number;
  /** The key or token; a function is asked anew for each connection, and when what it gave is about to expire. */
  token?: string | (() => string);
  /** The WebSocket class, where there is no global one (Node before 22). */
  WebSocket?: SocketClass;
}

export interface OptionsWithUrl extends Options {
  /** `wss://` and the page's own host unless set. */
  url?: string | URL;
}

/** Which part of a topic's history is asked for; docs/protocol.md says what each means. */
export interface HistoryRange {
  /** Behind this: the `position` of an answer, or an offset. */
  after?: string | number;
  /** Up to and with this. */
  to?: string | number;
  /** Events that happened then or later. */
  since?: Date | string;
  /** Events that happened earlier. */
  until?: Date | string;
  /** Most events of the answer. */
  limit?: number;
}

export interface HistoryEvent<Data = unknown> {
  readonly offset: number;
  readonly at: string;
  readonly received: string;
  readonly data: Data;
}

/** `position` as `after` goes on, `start` as `to` goes back. */
export interface HistoryPage<Data = unknown> extends Message {
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
  readonly position: string;
  readonly start: string;
  readonly recovered?: boolean;
  readonly events: readonly HistoryEvent<Data>[];
}

/** What the promise of an answer is rejected with, where the server refused. */
export class RefusedError extends Error {
  readonly code: string;
  /** Seconds to wait before asking again. */
  readonly retryAfter: number | undefined;

  constructor(code: string, message: string, retryAfter?: number) {
    super(message);
    this.name = "RefusedError";
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** Something went wrong: `type` says where. */
export interface ClientError {
  readonly type: "connection_error" | "parse_error" | "callback_error" | "server_error";
  readonly message: string;
  /** Of a `server_error`: its code, as `INVALID_CHANNEL`. */
  readonly code?: string;
  /** Of a `server_error`: the channel that it is about, where it is about one. */
  readonly channel?: string;
  /** What was thrown, where something was. */
  readonly error?: unknown;
}

/** The client's own events. Every message of the server is an event of its `type` besides. */
export interface Events {
  connected: undefined;
  disconnected: { readonly code: number; readonly reason: string };
  reconnect_scheduled: { readonly attempt: number; readonly delay: number };
  reconnected: undefined;
  reconnect_failed: { readonly attempts: number; readonly reason: "attempts" | "credentials" | "address" };
  error: ClientError;
  message: Message;
}

/** What `getConnectionState` tells. */
export interface ConnectionState {
  connected: boolean;
  connecting: boolean;
  reconnecting: boolean;
  lastError: ClientError | null;
  connectTime: string | null;
  lastPingTime: string | null;
  lastPongTime: string | null;
}
