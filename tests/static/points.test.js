import assert from "node:assert/strict";
import { test } from "node:test";
import { pointsOf, report } from "./report.js";

const stepsOf = (points, client, round, metric = "loss") => [
  ...points.clients.get(client).rounds.get(round).series.get(metric).steps.all,
];

test("a point that comes twice is held once", () => {
  const points = pointsOf("ada");
  assert.deepEqual([...points.add(report({ values: [3, 2] })).fresh], ["loss"]);
  assert.equal(points.add(report({ values: [3, 2] })), null);
  assert.deepEqual(stepsOf(points, 1, 1), [1, 2]);
  assert.deepEqual({ ...points.counts("loss") }, { ada: 2 });
});

test("a point that comes late is put in its place, and moves the curve", () => {
  const points = pointsOf("ada");
  points.add(report({ step: 1, values: [5] }));
  points.add(report({ step: 3, values: [3] }));
  assert.equal(points.add(report({ step: 2, values: [4] })).moved, true);
  const { steps, values } = points.clients.get(1).rounds.get(1).series.get("loss");
  assert.deepEqual([...steps.all], [1, 2, 3]);
  assert.deepEqual([...values.all], [5, 4, 3]);
});

test("a later attempt of a round replaces the earlier one", () => {
  const points = pointsOf("ada");
  points.add(report({ values: [9, 9, 9] }));
  assert.equal(points.retry(1, 2), true);
  assert.equal(points.add(report({ values: [9] })), null, "the first attempt is over");
  points.add(report({ attempt: 2, values: [1] }));
  assert.deepEqual(stepsOf(points, 1, 1), [1]);
  assert.equal(points.retry(1, 2), false);
});

test("the second attempt's report is enough to replace the first", () => {
  const points = pointsOf("ada");
  points.add(report({ values: [9, 9] }));
  assert.equal(points.add(report({ attempt: 2, values: [1] })).moved, true);
  assert.deepEqual(stepsOf(points, 1, 1), [1]);
});

test("work is as long as its last step and its share say, and as it got once it ended", () => {
  const points = pointsOf("ada");
  points.add(report({ step: 10, values: [1], fraction: 0.5 }));
  const seat = points.clients.get(1).rounds.get(1);
  assert.ok(Math.abs(seat.total - 20) <= 0.2, String(seat.total));
  assert.equal(points.end({ client: { id: 1 }, round: 1, attempt: 1 }), true);
  assert.equal(seat.total, 10);
  assert.equal(points.end({ client: { id: 1 }, round: 1, attempt: 1 }), false, "nothing moves twice");
  assert.equal(points.end({ client: { id: 7 }, round: 1, attempt: 1 }), false, "nobody knows client 7");
});

test("events count on from what the server left out", () => {
  const points = pointsOf();
  const loss = [[2, 8], [0.5, 0.4], null, null];
  points.load({
    start: 0,
    seq: 4,
    metric: "loss",
    thinned: true,
    names: ["loss", "accuracy"],
    attempts: [[1, 1]],
    clients: [{ id: 1, name: "ada", ordinal: 1 }],
    seats: [{ client: 1, round: 1, attempt: 1, steps: 8, open: true, series: { loss }, counts: { loss: 8 } }],
  });
  assert.equal(points.add(report({ step: 5, values: [1] })), null, "it is one of the eight");
  points.add(report({ step: 9, values: [1] }));
  assert.deepEqual({ ...points.counts("loss") }, { ada: 9 });
  assert.equal(points.holds("loss"), true);
  assert.equal(points.holds("accuracy"), false);
});

test("steps that do not rise are sorted with their values", () => {
  const points = pointsOf("ada");
  const columns = [[3, 1, 2], [30, 10, 20], null, null];
  points.loadSeat({ client: 1, round: 1, attempt: 1, steps: 3, open: false, series: { loss: columns } });
  const { steps, values } = points.clients.get(1).rounds.get(1).series.get("loss");
  assert.deepEqual([...steps.all], [1, 2, 3]);
  assert.deepEqual([...values.all], [10, 20, 30]);
});

test("a value that no chart bears is a gap", () => {
  const points = pointsOf("ada");
  points.add(report({ values: [1e101, null, -1e100] }));
  const { values } = points.clients.get(1).rounds.get(1).series.get("loss");
  assert.deepEqual([...values.all], [Number.NaN, Number.NaN, -1e100]);
});

test("a client may have any name", () => {
  const points = pointsOf("__proto__", "constructor");
  for (const client of [1, 2]) points.add(report({ client, values: [1] }));
  assert.deepEqual(Object.keys(points.counts("loss")), ["__proto__", "constructor"]);
});

test("a metric that comes once a round is joined, not smoothed", () => {
  const points = pointsOf("ada");
  points.add(report({ metric: "accuracy", values: [0.5] }));
  points.add(report({ values: [3, 2, 1] }));
  assert.equal(points.isSparse("accuracy"), true);
  assert.equal(points.isSparse("loss"), false);
});

test("clients come in the order in which they joined, and only those with the metric", () => {
  const points = pointsOf("ada", "bob", "cid");
  for (const client of [3, 1]) points.add(report({ client, round: client, values: [1] }));
  assert.deepEqual(
    points.having("loss").map(({ name }) => name),
    ["ada", "cid"],
  );
  assert.equal(points.rounds, 3);
});
