import assert from "node:assert/strict";
import { test } from "node:test";
import { Column } from "../../static/js/column.js";
import { thinned, within } from "../../static/js/thinning.js";

const upTo = (n) => new Column(Array.from({ length: n }, (_, i) => i));

test("a few points are kept as they are", () => {
  const [x, y, whole] = thinned(upTo(6), new Column([1, 2, 3, 4, 5, 6]), null, 3);
  assert.deepEqual([...x], [0, 1, 2, 3, 4, 5]);
  assert.deepEqual([...y], [1, 2, 3, 4, 5, 6]);
  assert.equal(whole, 6);
});

test("of many the lowest and the highest of each stretch stay, and the last of all", () => {
  const values = Array.from({ length: 1000 }, () => 0);
  values[137] = 50;
  values[138] = -50;
  const [x, y, whole] = thinned(upTo(1000), new Column(values), null, 10);
  assert.equal(whole, 1000);
  assert.ok(x.length <= 4 * 10, String(x.length));
  assert.ok([...y].includes(50) && [...y].includes(-50));
  assert.equal(x.at(-1), 999);
  assert.deepEqual(
    [...x],
    [...x].sort((a, b) => a - b),
  );
});

test("a line breaks where it broke", () => {
  const values = Array.from({ length: 100 }, (_, i) => (i === 42 ? null : i));
  const [x, y] = thinned(upTo(100), new Column(values), null, 4);
  assert.ok(Number.isNaN(y[[...x].indexOf(42)]));
});

test("in sight is one point more at both ends", () => {
  assert.deepEqual(within(upTo(10), [3, 5]), [2, 7]);
  assert.deepEqual(within(upTo(10), [-5, 50]), [0, 10]);
  assert.deepEqual(within(upTo(10), null), [0, 10]);
});
