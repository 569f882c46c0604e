/**
 * A small WebSocket server on the loopback interface that a test speaks for.
 * Must not know what the messages mean.
 */

import { once } from "node:events";
import type { AddressInfo } from "node:net";

import { type WebSocket, WebSocketServer } from "ws";

/** What arrives, in order; `next` waits for what has not arrived yet. */
class Queue<Item> {
  readonly #items: Item[] = [];
  readonly #waiting: ((item: Item) => void)[] = [];

  put(item: Item): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#items.push(item);
    else waiting(item);
  }

  next(): Promise<Item> {
    const item = this.#items.shift();
    return item === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(item);
  }

  get length(): number {
    return this.#items.length;
  }
}

/** The server's end of one client's connection. */
export class Peer {
  readonly path: string;
  readonly #received = new Queue<unknown>();
  readonly #socket: WebSocket;

  constructor(socket: WebSocket, path: string) {
    this.#socket = socket;
    this.path = path;
    socket.on("message", (data: Buffer) => this.#received.put(JSON.parse(data.toString())));
  }

  /** The next message of the client. */
  next(): Promise<unknown> {
    return this.#received.next();
  }

  get unread(): number {
    return this.#received.length;
  }

  say(...messages: object[]): void {
    for (const message of messages) this.#socket.send(JSON.stringify(message));
  }

  sayText(text: string | Buffer): void {
    this.#socket.send(text);
  }

  close(code: number, reason = ""): void {
    this.#socket.close(code, reason);
  }

  /** Break the connection without a closing handshake. */
  cut(): void {
    this.#socket.terminate();
  }

  async closed(): Promise<number> {
    const [code] = (await once(this.#socket, "close")) as [number];
    return code;
  }
}

export class Server {
  readonly #peers = new Queue<Peer>();
  readonly #server: WebSocketServer;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on("connection", (socket, request) => this.#peers.put(new Peer(socket, request.url ?? "")));
  }

  static async start(): Promise<Server> {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    return new Server(server);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/ws`;
  }

  /** The next client that connects. */
  peer(): Promise<Peer> {
    return this.#peers.next();
  }

  get unmet(): number {
    return this.#peers.length;
  }

  async stop(): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate();
    this.#server.close();
    await once(this.#server, "close");
  }
}
