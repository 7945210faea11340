import assert from "node:assert/strict";
import { test } from "node:test";
import { Line } from "../../static/js/lines.js";
import { pointsOf, report } from "./report.js";

const OPTIONS = { metric: "loss", axis: "round", weight: 0, epochs: 2, start: 0, joined: false };

function lineOf(points, options = {}) {
  return new Line(points.clients.get(1), { ...OPTIONS, start: points.start, ...options });
}

/** Two rounds of two steps, the first of which has ended. */
function twoRounds() {
  const points = pointsOf("ada");
  points.add(report({ round: 1, values: [4, 3] }));
  points.end({ client: { id: 1 }, round: 1, attempt: 1 });
  points.add(report({ round: 2, values: [2, 1] }));
  return points;
}

test("a line is laid along each axis", () => {
  const points = twoRounds();
  const xs = (axis) => [...lineOf(points, { axis }).x.all];
  assert.deepEqual(xs("round"), [0.5, 1, 1.5, 2]);
  assert.deepEqual(xs("epoch"), [1, 2, 3, 4]);
  assert.deepEqual(xs("step"), [1, 2, 3, 4]);
  assert.deepEqual(
    xs("time").filter(Number.isFinite),
    [1, 2, 2, 1, 2].map((s) => s / 60),
  );
});

test("a line has a gap between rounds on the time axis, and where a round was missed", () => {
  const points = twoRounds();
  points.add(report({ round: 4, values: [0] }));
  const gaps = (axis) => [...lineOf(points, { axis }).y.all].filter(Number.isNaN).length;
  assert.equal(gaps("round"), 1);
  assert.equal(gaps("time"), 2);
  assert.equal([...lineOf(points, { joined: true }).y.all].filter(Number.isNaN).length, 0);
});

test("a line takes in what is new, and is laid anew for an earlier round", () => {
  const points = twoRounds();
  const line = lineOf(points);
  points.add(report({ round: 2, step: 3, values: [0.5] }));
  assert.equal(line.take(points.clients.get(1).rounds.get(2)), true);
  assert.equal(line.y.length, 5);
  assert.equal(line.take(points.clients.get(1).rounds.get(1)), false);
});

test("a line that is laid again has the rounds before too", () => {
  const line = lineOf(twoRounds());
  assert.deepEqual([...line.again().x.all], [...line.x.all]);
});

test("the start of the smoothing is not pulled to zero", () => {
  const points = pointsOf("ada");
  points.add(report({ values: [10, 10, 10] }));
  for (const value of lineOf(points, { weight: 0.9 }).s.all) assert.ok(Math.abs(value - 10) < 1e-9);
});

test("a gap stays a gap and does not spoil the smoothing", () => {
  const points = pointsOf("ada");
  points.add(report({ values: [10, null, 10] }));
  const [first, gap, last] = lineOf(points, { weight: 0.9 }).s.all;
  assert.ok(Math.abs(first - 10) < 1e-9 && Math.abs(last - 10) < 1e-9);
  assert.ok(Number.isNaN(gap));
});

test("the smoothing continues where the server's ended", () => {
  const points = pointsOf("ada");
  const columns = [
    [1, 2],
    [8, 4],
    [1, 2],
    [8, 5],
  ];
  points.loadSeat({ client: 1, round: 1, attempt: 1, steps: 2, open: true, series: { loss: columns } });
  points.add(report({ step: 3, values: [5] }));
  const smooth = [...lineOf(points, { weight: 0.5 }).s.all];
  assert.deepEqual(smooth.slice(0, 2), [8, 5]);
  assert.ok(Math.abs(smooth[2] - 5) < 1e-9, String(smooth[2]));
});

test("the value under the pointer is that of the nearest point, and none beside the line", () => {
  const line = lineOf(twoRounds());
  assert.equal(line.near(0.7), 4);
  assert.equal(line.near(0.8), 3);
  assert.equal(line.near(2), 1);
  assert.ok(Number.isNaN(line.near(0.1)));
  assert.ok(Number.isNaN(line.near(3)));
});

test("the last value is the last that is a number", () => {
  const points = pointsOf("ada");
  points.add(report({ values: [2, 1, null] }));
  assert.equal(lineOf(points).last, 1);
  assert.ok(Number.isNaN(lineOf(pointsOf("ada")).last));
});
