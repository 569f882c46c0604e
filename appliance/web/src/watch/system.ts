/**
 * How the appliance itself is: each field of its status under its name.
 * Must not know which fields there are.
 */

import { isFields } from "../protocol.ts";
import { make } from "./elements.ts";
import { clock, plain } from "./format.ts";

export class System {
  readonly #list: HTMLElement;

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  show(data: unknown): void {
    if (!isFields(data)) return;
    this.#list.replaceChildren(
      ...Object.entries(data).flatMap(([name, value]) => {
        const text = shown(name, value);
        return text === undefined ? [] : [make("dt", "", name.replaceAll("_", " ")), make("dd", "number", text)];
      }),
    );
  }
}

function shown(name: string, value: unknown): string | undefined {
  if (typeof value === "number") return plain(value);
  if (typeof value === "string") return name === "timestamp" ? clock(value) : value;
  return typeof value === "boolean" ? String(value) : undefined;
}
