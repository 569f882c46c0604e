/**
 * Values out of data that any plugin may have shaped.
 * Must not know of the page.
 */

import { isFields } from "../protocol.ts";

/** The first of the named fields that is a finite number. */
export function numberIn(data: unknown, ...names: readonly string[]): number | undefined {
  if (!isFields(data)) return undefined;
  return names.map((name) => data[name]).find((value): value is number => typeof value === "number" && Number.isFinite(value));
}

/** The first of the named fields that is a text with something in it. */
export function textIn(data: unknown, ...names: readonly string[]): string | undefined {
  if (!isFields(data)) return undefined;
  return names.map((name) => data[name]).find((value): value is string => typeof value === "string" && value !== "");
}
