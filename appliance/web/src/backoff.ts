/**
 * How long to wait before connecting again.
 * Must not know of timers: chance comes in as an argument, and a wait goes out in milliseconds.
 */

const LONGEST = 30_000;
const LONGEST_HINT = 3_600_000;

/** The wait before attempt 1, 2, 3…: doubling up to 30 seconds, cut by up to a half by `chance` (0 to 1). */
export function backoff(first: number, attempt: number, chance: number): number {
  const longest = Math.min(LONGEST, first * 2 ** Math.min(attempt - 1, 32));
  return Math.round(longest * (1 - chance / 2));
}

/** The wait that the server asked for. Never shorter, a little longer by chance: others may have been given the same. */
export function hinted(seconds: number, chance: number): number {
  return Math.min(LONGEST_HINT, Math.round(Math.max(0, seconds) * 1_000 * (1 + chance / 10)));
}

/** The seconds in the reason of a close, as in `SERVER_RESTART retry_after=3.2`. */
export function retryAfterIn(reason: string): number | undefined {
  const found = /\bretry_after=(\d+(?:\.\d+)?)/.exec(reason)?.[1];
  return found === undefined ? undefined : Number(found);
}
