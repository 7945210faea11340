import assert from "node:assert/strict";
import { test } from "node:test";
import { sent, size } from "../../static/js/wording.js";

test("a size is short, as the server writes it", () => {
  const sizes = { 0: "0 B", 999: "999 B", 1000: "1.00 kB", 28400000: "28.4 MB", 284000000: "284 MB", 2e13: "20.0 TB" };
  for (const [bytes, said] of Object.entries(sizes)) assert.equal(size(Number(bytes)), said);
});

test("progress is in per cent and bytes, and not whole before it is", () => {
  assert.equal(sent(9_999, 10_000), "99 %, 10.00 kB of 10.0 kB sent.");
  assert.equal(sent(0, 10), "0 %, 0 B of 10 B sent.");
});
