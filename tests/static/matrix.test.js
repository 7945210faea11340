import assert from "node:assert/strict";
import { test } from "node:test";
import { asTable, said, shade, shares, short, steps, texts } from "../../static/js/matrix.js";

const COUNTS = [
  [8, 2],
  [0, 0],
];
const CONFUSION = { kind: "matrix", title: "Confusion matrix", rows: "Label", columns: "Predicted", by_row: true };

test("a cell is shaded by its share of the row, or of the largest cell", () => {
  assert.deepEqual(shares(COUNTS, true), [
    [0.8, 0.2],
    [0, 0],
  ]);
  assert.deepEqual(shares(COUNTS, false), [
    [1, 0.25],
    [0, 0],
  ]);
});

test("nothing alone has the first shade, and everything the last", () => {
  assert.deepEqual([0, 1e-9, 0.5, 1].map(shade), [0, 1, 4, 7]);
});

test("the scale has a step for each shade", () => {
  assert.deepEqual(steps(["a", "b"]), [
    [0, "a"],
    [0.5, "a"],
    [0.5, "b"],
    [1, "b"],
  ]);
});

test("numbers stand in the cells where they fit", () => {
  assert.deepEqual(texts(COUNTS, { width: 300, height: 300 }), [
    ["8", "2"],
    ["0", "0"],
  ]);
  assert.equal(texts(COUNTS, { width: 20, height: 300 }), null);
  assert.equal(texts(COUNTS, { width: 300, height: 20 }), null);
  const hundred = Array.from({ length: 100 }, () => new Array(100).fill(1));
  assert.equal(texts(hundred, { width: 500, height: 500 }), null);
});

test("large counts are short", () => {
  assert.deepEqual([0, 9999, 12_345, 7_600_000, 3e12].map(short), ["0", "9999", "12k", "8M", "3000G"]);
});

test("a cell says what it stands for, and of how many", () => {
  const figure = { ...CONFUSION, counts: COUNTS };
  assert.equal(said(figure, 0, 1), "Label 0, predicted 1: 2 of 10");
  assert.equal(said(figure, 1, 1), "Label 1, predicted 1: 0");
  assert.equal(said({ ...figure, by_row: false }, 0, 0), "Label 0, predicted 0: 8");
});

test("the same is a table", () => {
  const { heads, rows } = asTable({ ...CONFUSION, counts: COUNTS });
  assert.deepEqual(heads.slice(1), ["0", "1"]);
  assert.deepEqual(rows, [
    ["0", "8", "2"],
    ["1", "0", "0"],
  ]);
  assert.deepEqual(asTable({ ...CONFUSION, kind: "bars", counts: [3, 1200] }).rows, [
    ["0", "3"],
    ["1", "1\u202f200"],
  ]);
});
