/** Gives Node before 22 the WebSocket that browsers and later Nodes have: `node --import ./global-websocket.js`. */

import { WebSocket } from "ws";

globalThis.WebSocket ??= WebSocket;
