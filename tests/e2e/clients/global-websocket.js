/** Gives Node before 22 the WebSocket that browsers and later Nodes have: `node --import ./global-websocket.js`. */

import { WebSocket } from "ws";

/** With those, an error that nobody listens for ends the connection, not the process. */
class UnheardWebSocket extends WebSocket {
  constructor(...given) {
    super(...given);
    this.on("error", () => {});
  }
}

globalThis.WebSocket ??= UnheardWebSocket;
