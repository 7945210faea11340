import assert from "node:assert/strict";
import { test } from "node:test";
import { breath } from "../../static/js/breath.js";

test("long work lets what waits come first, short work does not", async () => {
  const order = [];
  setTimeout(() => order.push("what waited"));
  await breath(performance.now());
  order.push("short work");
  await breath(performance.now() - 1000);
  order.push("long work");
  assert.deepEqual(order, ["short work", "what waited", "long work"]);
});
