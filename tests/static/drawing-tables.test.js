import assert from "node:assert/strict";
import { test } from "node:test";
import { tableOfDots, tableOfLines } from "../../static/js/drawing-tables.js";

test("lines are a table of their points", () => {
  const series = [{ name: "spam", colour: "run-1", x: [0, 0.5], y: [0, 1], sizes: [] }];
  const shown = { kind: "lines", title: "ROC", columns: "False alarms", rows: "Recall", diagonal: true, series };
  assert.deepEqual(tableOfLines(shown), {
    heads: ["Line", "False alarms", "Recall"],
    rows: [
      ["spam", "0.000", "0.000"],
      ["spam", "0.500", "1.000"],
    ],
  });
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
