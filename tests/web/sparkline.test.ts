import assert from "node:assert/strict";
import { test } from "node:test";

import { points } from "../../appliance/web/src/watch/sparkline.ts";

test("the lowest value is at the bottom, the oldest at the left", () => {
  assert.equal(points([1, 3, 2], 100, 20), "0.0,20.0 50.0,0.0 100.0,10.0");
});

test("a value that never moved runs in the middle", () => {
  assert.equal(points([5, 5], 100, 20), "0.0,10.0 100.0,10.0");
  assert.equal(points([5], 100, 20), "0.0,10.0");
  assert.equal(points([], 100, 20), "");
});
