/**
 * Holds what a client is told against the promise: per topic every offset comes once, or is declared a gap.
 * Must not know how the messages came.
 */
export class Offsets {
  /** What was broken, in words; empty when the promise was kept. */
  broken = [];
  messages = 0;
  gaps = 0;
  #topics = new Map();

  /** Take in any message of the server, in the order in which they came. */
  take(message) {
    if (message.type === "subscribed") for (const answer of message.channels) this.#answer(answer);
    else if (message.type === "gap") this.#gap(message);
    else if (message.offset !== undefined) this.#message(message);
  }

  #answer({ channel, epoch, mode, offset, recovered, gap }) {
    const known = this.#topics.get(channel);
    if (known?.epoch === epoch && recovered !== false) return;
    // From here on: a state's newest value comes first, a log goes on behind the answer or behind what is lost.
    const next = mode === "state" ? Math.max(1, offset) : recovered === false ? (gap?.to ?? 0) + 1 : offset + 1;
    if (known?.epoch === epoch && gap?.from > known.next) this.broken.push(`${channel}: ${known.next} to ${gap.from} undeclared`);
    this.#topics.set(channel, { epoch, next });
  }

  #gap({ channel, from, to }) {
    this.gaps += 1;
    const known = this.#topics.get(channel);
    if (from !== known?.next) this.broken.push(`${channel}: gap from ${from}, expected ${known?.next}`);
    if (known !== undefined) known.next = to + 1;
  }

  #message({ channel, offset }) {
    this.messages += 1;
    const known = this.#topics.get(channel);
    // The status comes to all who speak this dialect, also without a subscription.
    if (known === undefined && channel === "system:status") return;
    if (offset !== known?.next) this.broken.push(`${channel}: offset ${offset}, expected ${known?.next}`);
    if (known !== undefined) known.next = offset + 1;
  }
}
