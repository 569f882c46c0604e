/**
 * The newest signals, newest first.
 * Must not know where the signals come from.
 */

import { make } from "./elements.ts";
import { numberIn, textIn } from "./fields.ts";
import { clock, share } from "./format.ts";

const MOST = 20;

export class Signals {
  readonly #list: HTMLElement;

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  show(data: unknown): void {
    const item = make("li");
    const head = make("div", "signal");
    head.append(
      make("strong", "", textIn(data, "symbol") ?? ""),
      make("span", "kind", (textIn(data, "type", "signal_type") ?? "signal").replaceAll("_", " ")),
      make("span", "number", share(numberIn(data, "confidence"))),
      make("time", "", clock(textIn(data, "timestamp"))),
    );
    item.append(head, make("p", "", textIn(data, "description", "reasoning") ?? ""));
    this.#list.prepend(item);
    while (this.#list.childElementCount > MOST) this.#list.lastElementChild?.remove();
  }
}
