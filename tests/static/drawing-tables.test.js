import assert from "node:assert/strict";
import { test } from "node:test";
import { tableOfDots, tableOfLines } from "../../static/js/drawing-tables.js";

test("lines are a table of their points", () => {
  const series = [{ name: "spam", colour: "run-1", x: [0, 0.5], y: [0, 1], sizes: [] }];
  const axes = { columns: "False alarms", rows: "Recall", diagonal: true, bounded: true };
  const shown = { kind: "lines", title: "ROC", ...axes, series };
  assert.deepEqual(tableOfLines(shown), {
    heads: ["Line", "False alarms", "Recall"],
    rows: [
      ["spam", "0.000", "0.000"],
      ["spam", "0.500", "1.000"],
    ],
  });
});

test("what goes beyond the unit square is told by four digits", () => {
  const series = [{ name: "ages", colour: "run-1", x: [-12345.6, 0.1 + 0.2], y: [0.000012345, 2], sizes: [] }];
  const axes = { columns: "Predicted minus true", rows: "Share", diagonal: false, bounded: false };
  const { rows } = tableOfLines({ kind: "lines", title: "Residuals", ...axes, series });
  assert.deepEqual(rows, [
    ["ages", "-12350", "0.00001234"],
    ["ages", "0.3", "2"],
  ]);
});

test("each class is a row, with a dash where a number is not known", () => {
  const series = [
    { name: "Recall", colour: "run-1", x: [0.5, null] },
    { name: "F1", colour: "run-2", x: [0.25, 1] },
  ];
  const shown = { kind: "dots", title: "Each class", names: ["a", "b"], examples: [4, 0], series };
  assert.deepEqual(tableOfDots(shown), {
    heads: ["Class", "Recall", "F1", "Examples"],
    rows: [
      ["a", "0.500", "0.250", "4"],
      ["b", "–", "1.000", "0"],
    ],
  });
});

test("dots of several sessions have no column of examples", () => {
  const series = [{ name: "run 1", colour: "run-1", x: [0.5] }];
  const shown = { kind: "dots", title: "F1 of each class", names: ["a"], series };
  assert.deepEqual(tableOfDots(shown), { heads: ["Class", "run 1"], rows: [["a", "0.500"]] });
});
