/**
 * A small line of the last values, as SVG.
 * Must not know what the values are.
 */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 96;
const HEIGHT = 24;
const MOST = 60;

/** The points of a polyline: the oldest value left, the lowest at the bottom; a value that never moved runs in the middle. */
export function points(values: readonly number[], width: number, height: number): string {
  const low = Math.min(...values);
  const span = Math.max(...values) - low;
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  return values
    .map((value, index) => {
      const y = span === 0 ? height / 2 : height - ((value - low) / span) * height;
      return `${(index * step).toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}

export class Sparkline {
  readonly element: SVGElement = document.createElementNS(SVG, "svg");
  readonly #line = document.createElementNS(SVG, "polyline");
  readonly #values: number[] = [];

  constructor() {
    this.element.setAttribute("viewBox", `-1 -1 ${WIDTH + 2} ${HEIGHT + 2}`);
    this.element.setAttribute("class", "sparkline");
    this.element.setAttribute("aria-hidden", "true");
    this.element.append(this.#line);
  }

  add(value: number): void {
    this.#values.push(value);
    if (this.#values.length > MOST) this.#values.shift();
    this.#line.setAttribute("points", points(this.#values, WIDTH, HEIGHT));
  }
}
