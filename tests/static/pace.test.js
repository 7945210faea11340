import assert from "node:assert/strict";
import { test } from "node:test";
import { rest } from "../../static/js/pace.js";

test("what is drawn slowly is drawn less often", () => {
  assert.equal(rest(0), 100);
  assert.equal(rest(20), 240);
  assert.equal(rest(100), 2_000);
});

test("and never so seldom that the picture is old", () => {
  for (const cost of [250, 3_000, 60_000]) assert.equal(rest(cost), 5_000);
});
