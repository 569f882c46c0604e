/**
 * Where the client stands in each topic, so that it can ask for what it missed.
 * Must not know of sockets or callbacks.
 */

import { type Answer, covers, type Position } from "./protocol.ts";

/** Keep a `subscribe` message within what the server takes: 1,000 positions, 64 KiB. */
const MOST_POSITIONS = 1_000;
const MOST_CHARACTERS = 48_000;

interface Known extends Position {
  readonly under: string;
}

export class Positions {
  readonly #known = new Map<string, Known>();

  /**
   * Take in what the server said of a topic. Returns whether the topic's log is another one than before.
   *
   * As long as the log is the same and nothing was lost, the client's own position stays: what the server still
   * owes has not arrived yet.
   */
  answered(answer: Answer): boolean {
    const { topic, under, epoch } = answer;
    const known = this.#known.get(topic);
    const same = known?.epoch === epoch;
    if (!same || answer.recovered === false) this.#known.set(topic, { under, epoch, offset: start(answer) });
    return known !== undefined && !same;
  }

  /** The client has, or will never get, everything up to `offset`. */
  advanced(topic: string, offset: number): void {
    const known = this.#known.get(topic);
    if (known !== undefined && offset > known.offset) this.#known.set(topic, { ...known, offset });
  }

  /** Forget the topics that none of `names` covers. */
  retain(names: readonly string[]): void {
    for (const [topic, { under }] of this.#known) {
      if (!names.some((name) => covers(name, under))) this.#known.delete(topic);
    }
  }

  /**
   * What to ask for with a subscription to `names`, but for what is in `live`: this connection has that already.
   * A topic that finds no room in the message starts afresh.
   */
  recover(names: readonly string[], live: ReadonlySet<string> = new Set()): Record<string, Position> | undefined {
    const wanted: [string, Position][] = [];
    let characters = 0;
    for (const [topic, { under, epoch, offset }] of this.#known) {
      if (live.has(under) || !names.some((name) => covers(name, under))) continue;
      characters += topic.length + epoch.length + 48;
      if (characters > MOST_CHARACTERS || wanted.length === MOST_POSITIONS) break;
      wanted.push([topic, { epoch, offset }]);
    }
    return wanted.length > 0 ? Object.fromEntries(wanted) : undefined;
  }
}

/** Where a topic is read from: a state's newest value is still to come, and so is what is left of a log of which some was lost. */
function start({ state, offset, recovered, lost }: Answer): number {
  if (state) return Math.max(0, offset - 1);
  return recovered === false ? (lost ?? 0) : offset;
}
