/**
 * The table of live prices: a row per symbol, in the order of their names.
 * Must not know where the prices come from.
 */

import { make, setText } from "./elements.ts";
import { numberIn, textIn } from "./fields.ts";
import { direction, money, signed } from "./format.ts";
import { Sparkline } from "./sparkline.ts";

const MOST = 100;

class PriceRow {
  readonly element = make("tr");
  readonly #price = make("td", "number");
  readonly #change = make("td", "number");
  readonly #sparkline = new Sparkline();
  #last: number | undefined;

  constructor(symbol: string) {
    const name = make("th", "", symbol);
    name.setAttribute("scope", "row");
    const line = make("td", "line");
    line.append(this.#sparkline.element);
    this.element.append(name, this.#price, this.#change, line);
  }

  show(price: number, change: number | undefined): void {
    setText(this.#price, money(price));
    this.#price.dataset.moved = direction(price - (this.#last ?? price));
    setText(this.#change, signed(change, " %"));
    this.element.dataset.direction = direction(change);
    this.#sparkline.add(price);
    this.#last = price;
  }
}

export class Prices {
  readonly #rows = new Map<string, PriceRow>();
  readonly #body: HTMLElement;

  constructor(body: HTMLElement) {
    this.#body = body;
  }

  show(data: unknown): void {
    const symbol = textIn(data, "symbol");
    const price = numberIn(data, "price");
    if (symbol === undefined || price === undefined) return;
    const row = this.#rows.get(symbol) ?? this.#add(symbol);
    row?.show(price, numberIn(data, "change_24h", "change_pct"));
  }

  /** A page is for people: what comes after the first hundred symbols is not shown. */
  #add(symbol: string): PriceRow | undefined {
    if (this.#rows.size >= MOST) return undefined;
    const row = new PriceRow(symbol);
    const after = [...this.#rows.keys()].filter((other) => other > symbol).sort()[0];
    const below = after === undefined ? undefined : this.#rows.get(after);
    this.#body.insertBefore(row.element, below?.element ?? null);
    this.#rows.set(symbol, row);
    return row;
  }
}
