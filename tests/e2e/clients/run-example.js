/**
 * Runs a file as a page does that has it in a <script>, or in a module when it ends in .mjs:
 * `node run-example.js FILE`. What then comes on the standard input is run beside it, a line at a time.
 */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { runInThisContext } from "node:vm";

import "./global-websocket.js";
import "./console-as-json.js";

const file = resolve(process.argv[2]);
if (file.endsWith(".mjs")) await import(pathToFileURL(file));
else runInThisContext(readFileSync(file, "utf8"), { filename: file });
createInterface({ input: process.stdin }).on("line", (line) => runInThisContext(line));
