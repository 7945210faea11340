import assert from "node:assert/strict";
import { test } from "node:test";
import { makePage, Part } from "./page.js";
import { pointsOf, report } from "./report.js";

const { document } = makePage();
Object.assign(document, { createElement: () => ({}), body: { append() {} } });
const { Curves } = await import("../../static/js/curves.js");

test("a drawing that fails stops no later one", async () => {
  const points = pointsOf("ada");
  points.add(report({ round: 1, values: [4, 3] }));
  const curves = new Curves(new Part(), points, { readout: {}, legend: {}, epochs: 1, measureOf: (name) => name });
  const painted = [];
  curves.paint = async (added) => {
    painted.push(added);
    if (painted.length === 1) throw new Error("the chart was in the middle of something");
  };
  await assert.rejects(curves.draw([]), /in the middle/);
  await curves.draw();
  assert.deepEqual(painted, [[], null]);
});
