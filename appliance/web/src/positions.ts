/**
 * Where the client stands in each topic, so that it can ask for what it missed.
 * Must not know of sockets or callbacks.
 */

import { type Answer, covers, type Position } from "./protocol.ts";

/** Keeps a `subscribe` message well below the server's limit of 64 KiB. */
const MOST_CHARACTERS = 48_000;

export class Positions {
  readonly #known = new Map<string, Position>();

  /**
   * Take in what the server said of a topic. Returns whether the topic's log is another one than before.
   *
   * As long as the log is the same and nothing was lost, the client's own position stays: what the server still
   * owes has not arrived yet. A new `state` topic starts one before the answer, as its newest value is still to come.
   */
  answered(answer: Answer): boolean {
    const { channel, epoch, offset } = answer;
    const known = this.#known.get(channel);
    const same = known?.epoch === epoch;
    if (!same || answer.recovered === false) {
      this.#known.set(channel, { epoch, offset: answer.state ? Math.max(0, offset - 1) : offset });
    }
    return known !== undefined && !same;
  }

  /** The client has, or will never get, everything up to `offset`. */
  advanced(topic: string, offset: number): void {
    const known = this.#known.get(topic);
    if (known !== undefined && offset > known.offset) this.#known.set(topic, { epoch: known.epoch, offset });
  }

  /** Forget the topics that none of `names` covers. */
  retain(names: readonly string[]): void {
    for (const topic of this.#known.keys()) {
      if (!names.some((name) => covers(name, topic))) this.#known.delete(topic);
    }
  }

  /** What to ask for with a subscription to `names`. A topic that finds no room in the message starts afresh. */
  recover(names: readonly string[]): Record<string, Position> | undefined {
    const wanted: [string, Position][] = [];
    let characters = 0;
    for (const [topic, position] of this.#known) {
      if (!names.some((name) => covers(name, topic))) continue;
      characters += topic.length + position.epoch.length + 48;
      if (characters > MOST_CHARACTERS) break;
      wanted.push([topic, position]);
    }
    return wanted.length > 0 ? Object.fromEntries(wanted) : undefined;
  }
}
