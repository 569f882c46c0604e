/**
 * The positions of the portfolio and what they have won or lost.
 * Must not know where the portfolio comes from.
 */

import { isFields } from "../protocol.ts";
import { row, setText } from "./elements.ts";
import { numberIn, textIn } from "./fields.ts";
import { direction, money, plain, signed } from "./format.ts";

export class Portfolio {
  readonly #body: HTMLElement;
  readonly #total: HTMLElement;

  constructor(body: HTMLElement, total: HTMLElement) {
    this.#body = body;
    this.#total = total;
  }

  show(data: unknown): void {
    if (!isFields(data)) return;
    const total = numberIn(data, "total_pnl");
    setText(this.#total, signed(total));
    this.#total.dataset.direction = direction(total);
    const positions = isFields(data.positions) ? Object.entries(data.positions) : [];
    this.#body.replaceChildren(...positions.sort(([one], [other]) => (one < other ? -1 : 1)).map(position));
  }
}

function position([symbol, data]: readonly [string, unknown]): HTMLElement {
  const won = numberIn(data, "unrealized_pnl");
  const element = row(
    ["", textIn(data, "symbol") ?? symbol],
    ["number", plain(numberIn(data, "quantity"))],
    ["number", money(numberIn(data, "average_price"))],
    ["number", money(numberIn(data, "market_price"))],
    ["number", signed(won)],
  );
  element.dataset.direction = direction(won);
  return element;
}
