import assert from "node:assert/strict";
import { test } from "node:test";
import { Detail, inRounds, question } from "../../static/js/detail.js";
import { pointsOf, report } from "./report.js";

const LOOK = { metric: "loss", x: "round", weight: 0.6, only: new Set(["bob", "ada"]), zoom: [1, 3, 0, 1] };
const EMPTY = { start: 0, seq: 0, names: [], attempts: [], clients: [], seats: [] };

test("the server is asked for the metric, the smoothing, and times where they are the axis", () => {
  assert.equal(String(question({ ...LOOK, metric: "" })), "metric=train_loss&smooth=0.6");
  assert.equal(String(question({ ...LOOK, x: "time" }, { from: 1 })), "metric=loss&smooth=0.6&from=1&timed=1");
});

test("a detail covers what lies within it, seen the same way", () => {
  const detail = new Detail(LOOK, EMPTY);
  assert.equal(detail.covers({ ...LOOK, zoom: [1.5, 2, 0, 9] }), true);
  assert.equal(detail.covers({ ...LOOK, only: new Set(["ada", "bob"]) }), true);
  assert.equal(detail.covers({ ...LOOK, zoom: [0.5, 2, 0, 1] }), false);
  assert.equal(detail.covers({ ...LOOK, weight: 0.9 }), false);
  assert.equal(detail.covers({ ...LOOK, only: new Set() }), false);
  assert.equal(detail.covers({ ...LOOK, zoom: null }), false);
});

/** Two rounds: of four steps and of two. */
function curves(x) {
  const points = pointsOf("ada");
  points.add(report({ round: 1, values: [4, 3, 2, 1] }));
  points.add(report({ round: 2, step: 1, values: [2, 1] }));
  return { points, metric: "loss", x, epochs: 5 };
}

test("a stretch of any axis is one of rounds", () => {
  assert.deepEqual(inRounds(curves("round"), [0.5, 1.5]), [0.5, 1.5]);
  assert.deepEqual(inRounds(curves("epoch"), [2.5, 7.5]), [0.5, 1.5]);
  assert.deepEqual(inRounds(curves("step"), [2, 5]), [0.5, 1.5]);
  assert.deepEqual(inRounds(curves("step"), [90, 95]), [0, 0]);
});

test("a stretch of time has some room, for steps are not even in it", () => {
  const [from, to] = inRounds(curves("time"), [1 / 60, 4 / 60]);
  assert.ok(from < 0 && to > 1, `${from} to ${to}`);
});
