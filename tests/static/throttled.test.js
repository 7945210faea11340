import assert from "node:assert/strict";
import { test } from "node:test";
import { throttled } from "../../static/js/throttled.js";

test("many calls are one at once and one afterwards", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let acts = 0;
  const call = throttled(100, () => {
    acts += 1;
  });
  for (let i = 0; i < 5; i += 1) call();
  assert.equal(acts, 1);
  context.mock.timers.tick(100);
  assert.equal(acts, 2, "the last call is not lost");
  context.mock.timers.tick(1000);
  assert.equal(acts, 2);
  call();
  assert.equal(acts, 3, "at once again");
});
