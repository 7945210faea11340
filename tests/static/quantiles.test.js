import assert from "node:assert/strict";
import { test } from "node:test";
import { Line } from "../../static/js/lines.js";
import { band, quantile, robustRange } from "../../static/js/quantiles.js";
import { pointsOf, report } from "./report.js";

/** A line over the steps from 1 on. */
function line(values) {
  const points = pointsOf("ada");
  points.add(report({ values }));
  const options = { metric: "loss", axis: "step", weight: 0, epochs: 1, start: 0, joined: false };
  return new Line(points.clients.get(1), options);
}

test("a quantile lies between two values where need be", () => {
  assert.equal(quantile([1, 2, 3, 4, 5], 0.5), 3);
  assert.equal(quantile([0, 10], 0.1), 1);
  assert.equal(quantile([7], 0.9), 7);
});

test("a band holds the middle of many lines", () => {
  const lines = [1, 2, 3, 4, 5].map((value) => line(Array.from({ length: 20 }, () => value)));
  const { x, low, mid, high } = band(lines, null);
  assert.equal(x[0], 1);
  assert.equal(x.at(-1), 20);
  assert.ok(mid.every((value) => value === 3));
  assert.ok(low.every((value) => Math.abs(value - 1.4) < 1e-9));
  assert.ok(high.every((value) => Math.abs(value - 4.6) < 1e-9));
});

test("one line is no band", () => {
  assert.deepEqual(band([line([1, 2, 3])], null), { x: [], low: [], mid: [], high: [] });
  assert.deepEqual(band([], null), { x: [], low: [], mid: [], high: [] });
});

test("a few spikes do not set the range", () => {
  const values = Array.from({ length: 1000 }, (_, i) => 1 + (i % 10) / 10);
  values[500] = 1000;
  const [low, high] = robustRange([line(values)], null);
  assert.ok(low <= 1 && high >= 1.9 && high < 5, `${low} to ${high}`);
});

test("without spikes the picture needs no range", () => {
  const values = Array.from({ length: 1000 }, (_, i) => 1 + (i % 10) / 10);
  assert.equal(robustRange([line(values)], null), null);
  assert.equal(robustRange([], null), null);
});

test("a stretch of few values is not hidden as if it were spikes", () => {
  const busy = Array.from({ length: 60 }, (_, i) => 1 + (i % 10) / 10);
  const calm = Array.from({ length: 12 }, (_, i) => 50 + i);
  const one = line([...busy, ...calm]);
  const stretched = { x: { ...one.x, data: one.x.data.map((x, i) => (i < 60 ? x : 60 + 20 * (i - 60))) }, y: one.y };
  assert.equal(robustRange([stretched], null), null);
});

test("of a thousand lines fewer values each are looked at, and all set the range", () => {
  const lines = Array.from({ length: 1000 }, (_, n) => line(Array.from({ length: 200 }, (_, i) => n + (i % 10) / 10)));
  lines.push(line(Array.from({ length: 200 }, (_, i) => (i === 100 ? 1e6 : 1))));
  const [low, high] = robustRange(lines, null);
  assert.ok(low <= 50 && high >= 950 && high < 2000, `${low} to ${high}`);
});
