import assert from "node:assert/strict";
import { test } from "node:test";

import { backoff, hinted, retryAfterIn } from "../../appliance/web/src/backoff.ts";

test("waits double up to thirty seconds", () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 1_000].map((attempt) => backoff(1_000, attempt, 0));
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
});

test("chance cuts a wait by up to a half", () => {
  assert.equal(backoff(1_000, 3, 1), 2_000);
  assert.equal(backoff(1_000, 3, 0.5), 3_000);
});

test("a wait that the server asked for is never shortened, and never endless", () => {
  assert.equal(hinted(3.2, 0), 3_200);
  assert.equal(hinted(3.2, 1), 3_520);
  assert.equal(hinted(-1, 0), 0);
  assert.equal(hinted(1e12, 0), 3_600_000);
});

test("the hint is read from the reason of a close", () => {
  assert.equal(retryAfterIn("SERVER_RESTART retry_after=3.2"), 3.2);
  assert.equal(retryAfterIn("retry_after=60"), 60);
  assert.equal(retryAfterIn("SERVER_RESTART"), undefined);
  assert.equal(retryAfterIn("retry_after=soon"), undefined);
  assert.equal(retryAfterIn("no_retry_after=5"), undefined);
});
