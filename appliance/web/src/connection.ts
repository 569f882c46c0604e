/**
 * One connection that is opened again when it breaks: the socket, its heartbeat, and the waits between attempts.
 * Must not know what messages mean.
 */

import { backoff, hinted, retryAfterIn } from "./backoff.ts";
import type { ConnectionState, Events, Socket, SocketClass } from "./options.ts";

const NORMAL = 1000;
const ABNORMAL = 1006;
const POLICY_VIOLATION = 1008;
const REFUSALS = /^(?:INVALID_TOKEN|EXPIRED_TOKEN|REVOKED_TOKEN|UNAUTHORIZED)\b/;

/** Whom the connection tells what happens to it. */
export interface Owner {
  /** Called for each attempt. */
  address(): string;
  opened(again: boolean): void;
  received(text: unknown): void;
  silent(): void;
  failed(error: unknown): void;
  closed(code: number, reason: string): void;
  scheduled(attempt: number, delay: number): void;
  gaveUp(attempts: number, reason: Events["reconnect_failed"]["reason"]): void;
}

export interface Plan {
  readonly Socket: SocketClass | undefined;
  readonly delay: number;
  readonly mostAttempts: number;
  readonly heartbeat: number;
  /** Whether a refused credential may be a better one at the next attempt. */
  readonly credentialsChange: boolean;
}

export class Connection {
  autoReconnect: boolean;
  attempts = 0;
  readonly state: Omit<ConnectionState, "lastError" | "lastPongTime"> = {
    connected: false,
    connecting: false,
    reconnecting: false,
    connectTime: null,
    lastPingTime: null,
  };

  readonly #plan: Plan;
  readonly #owner: Owner;
  #socket: Socket | undefined;
  #opening: Promise<void> | undefined;
  #later: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #heard = true;
  #hint: number | undefined;

  constructor(plan: Plan, owner: Owner, autoReconnect: boolean) {
    this.#plan = plan;
    this.#owner = owner;
    this.autoReconnect = autoReconnect;
  }

  /** Resolves once the connection is open. It may be left unawaited. */
  open(): Promise<void> {
    clearTimeout(this.#later);
    this.#opening ??= this.#open();
    return this.#opening;
  }

  close(reason: string): void {
    clearTimeout(this.#later);
    this.state.reconnecting = false;
    this.attempts = 0;
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#detach();
    socket.close(NORMAL, reason);
    this.#owner.closed(NORMAL, reason);
  }

  send(text: string): void {
    if (this.#socket === undefined || !this.state.connected) throw new Error("WebSocket is not connected");
    this.#socket.send(text);
  }

  /** The server serves this client, and does not just accept and close: the next break is a first one again. */
  served(): void {
    this.attempts = 0;
  }

  /** The server asked not to be tried again before so many seconds, should the connection now break. */
  expect(hint: number | undefined): void {
    this.#hint = hint;
  }

  #open(): Promise<void> {
    this.state.connecting = true;
    let socket: Socket;
    try {
      socket = new (this.#plan.Socket ?? globalSocketClass())(this.#owner.address());
    } catch (error) {
      // Not for a later attempt: the address, or the missing class, will be no better then.
      this.#detach();
      this.#owner.failed(error);
      if (this.state.reconnecting) this.#giveUp("address");
      return unawaited(Promise.reject(error instanceof Error ? error : new Error(String(error))));
    }
    this.#socket = socket;
    const current = () => this.#socket === socket;
    return unawaited(
      new Promise((resolve, reject) => {
        socket.addEventListener("open", () => {
          if (current()) this.#opened();
          resolve();
        });
        socket.addEventListener("message", ({ data }) => {
          if (current()) this.#received(data);
        });
        socket.addEventListener("error", (event) => {
          if (current()) this.#owner.failed(event);
        });
        socket.addEventListener("close", ({ code, reason }) => {
          if (current()) this.#broken(code, reason);
          reject(new Error(`The connection closed before it was open (${code}${reason === "" ? "" : `, ${reason}`})`));
        });
      }),
    );
  }

  #opened(): void {
    const again = this.state.reconnecting;
    const connectTime = new Date().toISOString();
    Object.assign(this.state, { connected: true, connecting: false, reconnecting: false, connectTime });
    this.#heard = true;
    if (this.#plan.heartbeat > 0) this.#heartbeat = setInterval(() => this.#beat(), this.#plan.heartbeat);
    this.#owner.opened(again);
  }

  #received(text: unknown): void {
    this.#heard = true;
    this.#owner.received(text);
  }

  #beat(): void {
    if (!this.#heard) {
      // Its closing handshake would never end: the socket is left to itself.
      const socket = this.#socket;
      this.#broken(ABNORMAL, "No answer to a ping");
      socket?.close();
      return;
    }
    this.#heard = false;
    this.state.lastPingTime = new Date().toISOString();
    this.#owner.silent();
  }

  #broken(code: number, reason: string): void {
    const hint = retryAfterIn(reason) ?? this.#hint;
    this.#detach();
    this.#owner.closed(code, reason);
    // Whom it was told may have connected again already.
    if (this.#socket !== undefined || !this.autoReconnect || code === NORMAL) return;
    const refused = code === POLICY_VIOLATION && REFUSALS.test(reason);
    if (refused && !this.#plan.credentialsChange) this.#giveUp("credentials");
    else if (this.attempts >= this.#plan.mostAttempts) this.#giveUp("attempts");
    else this.#openLater(hint);
  }

  #openLater(hint: number | undefined): void {
    this.attempts += 1;
    this.state.reconnecting = true;
    const chance = Math.random();
    // A server that said when it is back is met then; one that did not come back is given ever more time.
    const own = hint !== undefined && this.attempts === 1 ? 0 : backoff(this.#plan.delay, this.attempts, chance);
    const delay = Math.max(own, hint === undefined ? 0 : hinted(hint, chance));
    this.#later = setTimeout(() => void this.open(), delay);
    this.#owner.scheduled(this.attempts, delay);
  }

  #giveUp(reason: Events["reconnect_failed"]["reason"]): void {
    this.state.reconnecting = false;
    this.#owner.gaveUp(this.attempts, reason);
  }

  /** Let go of the socket: nothing that it still says is heard. */
  #detach(): void {
    clearInterval(this.#heartbeat);
    this.#socket = undefined;
    this.#opening = undefined;
    this.#hint = undefined;
    Object.assign(this.state, { connected: false, connecting: false });
  }
}

function globalSocketClass(): SocketClass {
  if (typeof WebSocket === "undefined") {
    throw new TypeError("There is no global WebSocket here: give a class in the option `WebSocket`");
  }
  return WebSocket;
}

/** An unawaited failure must not end a Node process: it is told as an event besides. */
function unawaited(promise: Promise<void>): Promise<void> {
  promise.catch(() => undefined);
  return promise;
}
