/**
 * The messages of the appliance's own protocol, read from their text with nothing taken on trust.
 * Must not know of sockets or of who listens.
 */

export type Fields = Readonly<Record<string, unknown>>;

/** Any message of the server. `data` is what callbacks get. */
export interface Message extends Fields {
  readonly type: string;
}

/** Where a client stands in a topic. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** What the server says of one topic in a `subscribed` answer. */
export interface Answer extends Position {
  readonly channel: string;
  readonly state: boolean;
  readonly recovered: boolean | undefined;
}

export interface Gap {
  readonly channel: string;
  readonly to: number;
}

export interface ServerError {
  readonly code: string;
  readonly message: string;
  /** Seconds to wait before asking again. */
  readonly retryAfter?: number;
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isMessage(value: unknown): value is Message {
  return isFields(value) && typeof value.type === "string";
}

/** Throws when the text is no message. */
export function parseMessage(text: unknown): Message {
  if (typeof text !== "string") throw new TypeError("a binary message, which this protocol has not");
  const value: unknown = JSON.parse(text);
  if (!isMessage(value)) throw new TypeError("a message without a type");
  return value;
}

export function answersOf(message: Message): Answer[] {
  const channels: unknown = message.channels;
  if (!Array.isArray(channels)) return [];
  return channels.filter(isFields).flatMap((entry) => {
    const { channel, epoch, offset, mode, recovered } = entry;
    if (typeof channel !== "string" || typeof epoch !== "string" || typeof offset !== "number") return [];
    const asked = typeof recovered === "boolean" ? recovered : undefined;
    return [{ channel, epoch, offset, state: mode === "state", recovered: asked }];
  });
}

/** The names that an answer confirms, patterns included; the older library's form confirms one channel. */
export function confirmedBy(message: Message): string[] {
  const { patterns, data } = message;
  if (message.type === "subscription_success" && isFields(data) && typeof data.channel === "string") return [data.channel];
  const names: unknown[] = Array.isArray(patterns) ? patterns : [];
  return [...answersOf(message).map((answer) => answer.channel), ...names.filter((name) => typeof name === "string")];
}

export function gapOf(message: Message): Gap | undefined {
  const { channel, to } = message;
  return typeof channel === "string" && typeof to === "number" ? { channel, to } : undefined;
}

/** The error stands under `error` in the document's form and under `data` in that of the older library. */
export function errorOf(message: Message): ServerError {
  const { error, data } = message;
  const body = isFields(error) ? error : isFields(data) ? data : message;
  const retryAfter = body.retry_after ?? message.retry_after;
  return {
    code: typeof body.code === "string" ? body.code : "ERROR",
    message: typeof body.message === "string" ? body.message : "The server gave no reason",
    ...(typeof retryAfter === "number" ? { retryAfter } : {}),
  };
}

/** Whether a name that was subscribed to, a pattern or a topic, covers a topic. */
export function covers(name: string, topic: string): boolean {
  return name.endsWith("*") ? topic.startsWith(name.slice(0, -1)) : name === topic;
}
