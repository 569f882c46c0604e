/**
 * Questions to the server that wait for their answers.
 * Must not know what is asked, nor of sockets.
 */

import type { Fields, Message } from "./protocol.ts";

interface Waiting {
  readonly message: Fields;
  resolve(answer: Message): void;
  reject(error: Error): void;
}

export class Questions {
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;

  /** Give a question its number, and the promise of its answer. */
  ask(question: Fields, send: (message: Fields) => void): Promise<Message> {
    const id = ++this.#last;
    const message = { ...question, id };
    return new Promise((resolve, reject) => {
      send(message); // throws without a connection, which rejects
      this.#waiting.set(id, { message, resolve, reject });
    });
  }

  /** What no answer has come to yet: a server that was asked too often does not say which question it left out. */
  get unanswered(): Fields[] {
    return [...this.#waiting.values()].map(({ message }) => message);
  }

  /** Returns whether the message was the answer to a question. */
  answered(message: Message): boolean {
    const waiting = this.#take(message.id);
    waiting?.resolve(message);
    return waiting !== undefined;
  }

  /** Returns whether the error was about a question. */
  refused(message: Message, error: Error): boolean {
    const waiting = this.#take(message.id);
    waiting?.reject(error);
    return waiting !== undefined;
  }

  /** The connection is gone, and with it what would have been answered. */
  lost(): void {
    for (const waiting of this.#waiting.values()) waiting.reject(new Error("The connection closed before the answer"));
    this.#waiting.clear();
  }

  #take(id: unknown): Waiting | undefined {
    if (typeof id !== "number") return undefined;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }
}
