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

/** What the server says of one topic in its answer to a subscription. */
export interface Answer extends Position {
  readonly topic: string;
  /** What the topic is subscribed as: its own name, or the one channel of the older library's form. */
  readonly under: string;
  readonly state: boolean;
  readonly recovered: boolean | undefined;
  /** The last offset of those that are lost. */
  readonly lost: number | undefined;
}

export interface Gap {
  readonly topic: string;
  readonly to: number;
}

export interface ServerError {
  readonly code: string;
  readonly message: string;
  /** The channel that it is about. */
  readonly channel?: string;
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

function textIn(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  return typeof value === "string" ? value : undefined;
}

function numberIn(fields: Fields, name: string): number | undefined {
  const value = fields[name];
  return typeof value === "number" ? value : undefined;
}

/** The older library's form has all that it says under `data`. */
function contentOf(message: Message): Fields {
  return isFields(message.data) ? message.data : message;
}

export function isAnswer(message: Message): boolean {
  return message.type === "subscribed" || message.type === "subscription_success";
}

export function answersOf(message: Message): Answer[] {
  const content = contentOf(message);
  if (!Array.isArray(content.channels)) return [];
  return content.channels.filter(isFields).flatMap((entry) => {
    const topic = textIn(entry, "channel");
    const epoch = textIn(entry, "epoch");
    const offset = numberIn(entry, "offset");
    if (topic === undefined || epoch === undefined || offset === undefined) return [];
    const under = textIn(content, "channel") ?? topic;
    const recovered = typeof entry.recovered === "boolean" ? entry.recovered : undefined;
    const lost = isFields(entry.gap) ? numberIn(entry.gap, "to") : undefined;
    return [{ topic, under, epoch, offset, state: entry.mode === "state", recovered, lost }];
  });
}

/** The names that an answer confirms, patterns included. */
export function confirmedBy(message: Message): string[] {
  const content = contentOf(message);
  const under = textIn(content, "channel");
  const patterns: unknown[] = Array.isArray(content.patterns) ? content.patterns : [];
  return [
    ...(under === undefined ? [] : [under]),
    ...answersOf(message).map((answer) => answer.topic),
    ...patterns.filter((name) => typeof name === "string"),
  ];
}

/** The topic that a message is of: the older library's form names it apart from what it was subscribed as. */
export function topicOf(message: Message): string | undefined {
  return textIn(message, "topic") ?? textIn(message, "channel");
}

export function offsetOf(message: Message): number | undefined {
  return numberIn(message, "offset");
}

export function gapOf(message: Message): Gap | undefined {
  const content = contentOf(message);
  const topic = textIn(content, "topic") ?? textIn(content, "channel");
  const to = numberIn(content, "to");
  return topic === undefined || to === undefined ? undefined : { topic, to };
}

/** The error stands under `error` in the document's form and under `data` in that of the older library. */
export function errorOf(message: Message): ServerError {
  const body = isFields(message.error) ? message.error : contentOf(message);
  const channel = textIn(body, "channel");
  const retryAfter = numberIn(body, "retry_after") ?? numberIn(message, "retry_after");
  return {
    code: textIn(body, "code") ?? "ERROR",
    message: textIn(body, "message") ?? "The server gave no reason",
    ...(channel === undefined ? {} : { channel }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
  };
}

/** Whether a name that was subscribed to, a pattern or a topic, covers a topic. */
export function covers(name: string, topic: string): boolean {
  return name.endsWith("*") ? topic.startsWith(name.slice(0, -1)) : name === topic;
}
