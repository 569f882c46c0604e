/**
 * What the client wants to hear of, in whichever form it asked, and who is to be called.
 * Must not know of sockets.
 */

import type { Positions } from "./positions.ts";
import { covers, type Fields, type Message, offsetOf, type Position } from "./protocol.ts";

export type Callback<Data = unknown> = (data: Data, message: Message) => void;

interface Listener {
  readonly names: Set<string>;
  /** The last offset that this callback was given, per topic. */
  readonly given: Map<string, number>;
}

export class Subscriptions {
  readonly #limits = new Map<string, number | undefined>();
  readonly #parameters = new Map<string, Fields>();
  readonly #listeners = new Map<Callback, Listener>();
  /** Of each topic of which only the newest value counts: that value, once it has come. */
  readonly #latest = new Map<string, Message | undefined>();

  get names(): string[] {
    return [...this.#limits.keys(), ...this.#parameters.keys()];
  }

  add(names: readonly string[], callback?: Callback, limit?: number): void {
    for (const name of names) this.#limits.set(name, limit);
    if (callback === undefined) return;
    const listener = this.#listeners.get(callback) ?? { names: new Set<string>(), given: new Map<string, number>() };
    this.#listeners.set(callback, listener);
    for (const name of names) listener.names.add(name);
  }

  addWithParameters(channel: string, parameters: Fields): void {
    this.#parameters.set(channel, parameters);
  }

  removeWithParameters(channel: string): boolean {
    return this.#parameters.delete(channel);
  }

  /** Returns the names that nobody wants any more. Without a callback, all callbacks of the names go. */
  remove(names: readonly string[], callback?: Callback): string[] {
    for (const [other, listener] of this.#listeners) {
      if (callback !== undefined && other !== callback) continue;
      for (const name of names) listener.names.delete(name);
      if (listener.names.size === 0) this.#listeners.delete(other);
      for (const topic of listener.given.keys()) {
        if (![...listener.names].some((name) => covers(name, topic))) listener.given.delete(topic);
      }
    }
    for (const topic of this.#latest.keys()) if (!this.#wanted(topic)) this.#latest.delete(topic);
    const unwanted = names.filter((name) => ![...this.#listeners.values()].some((one) => one.names.has(name)));
    for (const name of unwanted) this.#limits.delete(name);
    return unwanted;
  }

  /** The messages that subscribe to what is wanted, but for what `confirmed` has already. */
  requests(positions: Positions, confirmed: ReadonlySet<string> = new Set()): Fields[] {
    const byLimit = new Map<number | undefined, string[]>();
    for (const [name, limit] of this.#limits) {
      if (!confirmed.has(name)) byLimit.set(limit, [...(byLimit.get(limit) ?? []), name]);
    }
    return [
      ...[...byLimit].map(([limit, channels]) => request(channels, limit, positions.recover(channels, confirmed))),
      ...[...this.#parameters]
        .filter(([channel]) => !confirmed.has(channel))
        .map(([channel, params]) => requestWithParameters(channel, params, positions.recover([channel]))),
    ];
  }

  /** Call each callback that wants the message, once, in the order in which they subscribed. */
  deliver(message: Message, report: (error: unknown) => void): void {
    const { channel } = message;
    if (typeof channel !== "string") return;
    if (this.#latest.has(channel)) this.#latest.set(channel, message);
    for (const [callback, listener] of [...this.#listeners]) give(callback, listener, channel, message, report);
  }

  /** Of this topic the newest value is kept, for callbacks that come later: the server does not send it again. */
  keepLatest(topic: string): void {
    if (!this.#latest.has(topic)) this.#latest.set(topic, undefined);
  }

  /** Give a callback the newest values of what it has subscribed to, as far as it has not had them. */
  catchUp(callback: Callback, report: (error: unknown) => void): void {
    for (const [topic, message] of [...this.#latest]) {
      const listener = this.#listeners.get(callback);
      if (listener !== undefined && message !== undefined) give(callback, listener, topic, message, report);
    }
  }

  /** The topic's offsets start anew. */
  restarted(topic: string): void {
    this.#latest.delete(topic);
    for (const listener of this.#listeners.values()) listener.given.delete(topic);
  }

  #wanted(topic: string): boolean {
    return [...this.#listeners.values()].some(({ names }) => [...names].some((name) => covers(name, topic)));
  }
}

function give(callback: Callback, to: Listener, topic: string, message: Message, report: (error: unknown) => void): void {
  if (![...to.names].some((name) => covers(name, topic))) return;
  const offset = offsetOf(message);
  if (offset !== undefined) {
    if (offset <= (to.given.get(topic) ?? -1)) return;
    to.given.set(topic, offset);
  }
  try {
    callback(message.data, message);
  } catch (error) {
    report(error);
  }
}

export function request(channels: readonly string[], limit?: number, recover?: Record<string, Position>): Fields {
  return {
    type: "subscribe",
    channels,
    ...(limit === undefined ? {} : { limit }),
    ...(recover === undefined ? {} : { recover }),
  };
}

/** The older library's form: one channel a message. */
export function requestWithParameters(channel: string, params: Fields, recover?: Record<string, Position>): Fields {
  return { type: "subscribe", channel, params, ...(recover === undefined ? {} : { recover }) };
}
