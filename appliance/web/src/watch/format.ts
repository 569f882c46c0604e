/**
 * Numbers and times as people read them.
 * Must not know of the page.
 */

const NONE = "–";

/** As many digits after the point as the size of the number is worth: 43,250.75 and 0.00001234. */
export function money(value: number | undefined): string {
  if (value === undefined) return NONE;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 1 ? 2 : Math.min(10, 3 - Math.floor(Math.log10(size)));
  return value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: digits });
}

/** With its sign, so that colour is not all that tells up from down. */
export function signed(value: number | undefined, unit = ""): string {
  if (value === undefined) return NONE;
  const digits = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return `${value.toLocaleString("en", { ...digits, signDisplay: "exceptZero" })}${unit}`;
}

export function plain(value: number | undefined): string {
  return value === undefined ? NONE : value.toLocaleString("en", { maximumFractionDigits: 4 });
}

export function share(value: number | undefined): string {
  return value === undefined ? NONE : value.toLocaleString("en", { style: "percent", maximumFractionDigits: 0 });
}

/** The time of day of an RFC 3339 time. */
export function clock(time: string | undefined): string {
  const date = new Date(time ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? NONE : date.toLocaleTimeString("en-GB");
}

export function direction(value: number | undefined): "up" | "down" | "flat" {
  if (value === undefined || value === 0) return "flat";
  return value > 0 ? "up" : "down";
}
