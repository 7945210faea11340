import assert from "node:assert/strict";
import { test } from "node:test";
import { Column, countBelow } from "../../static/js/column.js";
import { estimated } from "../../static/js/series.js";

test("an estimate is within 1 % of the truth", () => {
  for (const total of [3, 100, 317, 10_000, 123_457]) {
    for (const last of [1, Math.ceil(total / 3), total - 1]) {
      const found = estimated(last, last / total);
      assert.ok(Math.abs(found - total) <= Math.max(1, 0.01 * total), `${last} of ${total}: ${found}`);
    }
  }
});

test("an estimate does not move with every report", () => {
  const found = new Set();
  for (let last = 5000; last < 5100; last += 1) found.add(estimated(last, last / 10_000));
  assert.ok(found.size <= 2, [...found].join());
});

test("work is never shorter than its last step", () => {
  assert.equal(estimated(10, 0.999999), 10);
  assert.equal(estimated(0, 0.5), 0);
});

test("a column grows, and keeps its order where something is put in between", () => {
  const column = new Column([1, null]);
  for (let i = 2; i < 200; i += 1) column.push(i);
  column.insert(2, 1.5);
  assert.equal(column.length, 201);
  assert.deepEqual([...column.all.slice(0, 5)], [1, Number.NaN, 1.5, 2, 3]);
  assert.equal(column.last, 199);
  assert.equal(new Column().last, undefined);
});

test("what comes before a place is counted with or without what is equal to it", () => {
  const column = new Column([1, 2, 2, 3]);
  assert.equal(countBelow(column, 2), 1);
  assert.equal(countBelow(column, 2, true), 3);
  assert.equal(countBelow(column, 9), 4);
  assert.equal(countBelow(column, 0), 0);
});
