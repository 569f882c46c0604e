import assert from "node:assert/strict";
import { test } from "node:test";

import { numberIn, textIn } from "../../appliance/web/src/watch/fields.ts";
import { clock, direction, money, plain, share, signed } from "../../appliance/web/src/watch/format.ts";

test("money shows as many digits as its size is worth", () => {
  assert.equal(money(43_250.754), "43,250.75");
  assert.equal(money(3), "3.00");
  assert.equal(money(0.51234), "0.5123");
  assert.equal(money(0.00001234), "0.00001234");
  assert.equal(money(0), "0.00");
});

test("a change shows its sign, and none when there is none", () => {
  assert.equal(signed(2.344, " %"), "+2.34 %");
  assert.equal(signed(-1), "-1.00");
  assert.equal(signed(0), "0.00");
});

test("other numbers are plain, shares are per cent", () => {
  assert.equal(plain(1_247), "1,247");
  assert.equal(plain(45.25), "45.25");
  assert.equal(share(0.856), "86%");
});

test("what is not there is a dash", () => {
  for (const text of [money(undefined), signed(undefined), plain(undefined), share(undefined), clock(undefined), clock("soon")]) {
    assert.equal(text, "–");
  }
});

test("a time is shown as the clock does", () => {
  assert.match(clock("2025-12-02T12:30:05Z"), /^\d\d:\d\d:05$/);
});

test("directions are three", () => {
  assert.deepEqual([1, -1, 0, undefined].map(direction), ["up", "down", "flat", "flat"]);
});

test("fields are taken by the first name that fits, and from nothing else", () => {
  const data = { change_24h: null, change_pct: 2, symbol: "", name: "BTC" };
  assert.equal(numberIn(data, "change_24h", "change_pct"), 2);
  assert.equal(textIn(data, "symbol", "name"), "BTC");
  assert.equal(numberIn({ price: Number.NaN }, "price"), undefined);
  for (const none of [null, "text", 3, [1], undefined]) assert.equal(numberIn(none, "0", "length"), undefined);
});
